"""Videos: what is written as PyAV reads it, and any frame of those that others have written."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_rpd.demonstrations import DemonstrationsError
from sb3_rpd.demonstrations.lerobot.videos import VideoReader, write_video


def gray(levels, height=16, width=32):
    """Images that are told apart by their gray."""
    return np.tile(np.array(levels, np.uint8)[:, np.newaxis, np.newaxis, np.newaxis], (1, height, width, 3))


def encode(path, images, fps, options):
    """A video of somebody else's."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = *images.shape[1:3], "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.height, stream.width) == (7, 16, 32)
        return list(container.decode(stream))


def test_what_is_written_are_the_images_at_their_times(tmp_path):
    images = gray(range(0, 200, 20))
    write_video(tmp_path / "video.mp4", images, 7)
    frames = decode(tmp_path / "video.mp4")
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(10) / 7, atol=1e-3)
    np.testing.assert_allclose([frame.to_ndarray(format="rgb24") for frame in frames], images, atol=4)


def test_every_second_frame_is_a_key_frame(tmp_path):
    # always the same noise, of which the encoder makes none of its own accord
    noise = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "video.mp4", np.stack([noise] * 10), 7)
    assert [frame.key_frame for frame in decode(tmp_path / "video.mp4")] == [True, False] * 5


@pytest.mark.parametrize(("height", "width"), [(15, 16), (16, 15)])
def test_videos_have_even_sides(height, width, tmp_path):
    with pytest.raises(ValueError, match=f"{height} x {width} pixels: take another size"):
        write_video(tmp_path / "video.mp4", gray([0], height, width), 10)
    assert not list(tmp_path.iterdir())


@settings(max_examples=15)
@given(
    fps=st.sampled_from([1, 5, 10, 24, 30, 50]),
    group=st.sampled_from(["1", "2", "250"]),
    between=st.sampled_from(["0", "3"]),
    order=st.permutations(range(12)),
)
def test_any_frame_is_found_by_its_time(fps, group, between, order, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    images = gray(range(10, 250, 20))
    # "bf": frames that are decoded from later ones
    encode(path, images, fps, {"g": group, "bf": between, "b_strategy": "0"})
    reader = VideoReader(path)
    for index in order:
        # a time as a table has it
        image = reader.read(float(np.float32(index / fps)))
        assert (image.shape, image.dtype) == ((16, 32, 3), np.uint8)
        np.testing.assert_allclose(image, images[index], atol=6)


def test_no_frame_is_shown_after_the_end(tmp_path):
    encode(tmp_path / "video.mp4", gray([0, 100, 200]), 10, {})
    reader = VideoReader(tmp_path / "video.mp4")
    with pytest.raises(DemonstrationsError, match=r"video\.mp4 ends before 0\.300 s"):
        reader.read(0.3)
    np.testing.assert_allclose(reader.read(0.2), 200, atol=6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_file_that_is_not_whole_is_named(share, tmp_path):
    path = tmp_path / "video.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    encode(path, noise, 10, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DemonstrationsError, match=r"video\.mp4 is no whole video: record or fetch it again"):
        VideoReader(path)


def test_a_file_without_pictures_is_no_video(tmp_path):
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DemonstrationsError, match=r"video\.mp4 is no whole video"):
        VideoReader(tmp_path / "video.mp4")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DemonstrationsError, match=r"missing: .*video\.mp4"):
        VideoReader(tmp_path / "video.mp4")
