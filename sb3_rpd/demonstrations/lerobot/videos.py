"""Videos of a LeRobot data set: written at once, read frame by frame."""

from pathlib import Path
from typing import Any

import numpy as np

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.demonstrations.errors import DemonstrationsError

# every second frame can be decoded without an earlier one, as in LeRobot's own videos: learners jump about in them
_OPTIONS = {"g": "2", "crf": "23"}
CODEC, PIXELS = "h264", "yuv420p"


def import_av() -> Any:
    """
    :return: The module ``av``.
    :raises ImportError: if it is missing; names the extra.
    """
    return import_optional("av", extra="demonstrations")


def write_video(path: Path, images: np.ndarray, fps: int) -> None:
    """
    :param path: Where to.
    :param images: uint8 of shape (n, height, width, 3).
    :param fps: Images a second.
    :raises ValueError: if a side is odd.
    """
    av = import_av()
    height, width, _ = images.shape[1:]
    if height % 2 or width % 2:
        raise ValueError(f"A video's sides are even, and the images have {height} x {width} pixels: take another size.")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXELS
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


class VideoReader:
    """
    Frames of one video, by time.

    :param path: The video.
    :raises DemonstrationsError: if there is no such file, or it is not whole.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DemonstrationsError(f"A file of the data set is missing: {path}.")
        av = import_av()
        try:
            self._container = av.open(str(path))
            # a file that was cut may have none
            self._stream = self._container.streams.video[0]
        except (av.error.InvalidDataError, IndexError):
            raise DemonstrationsError(f"{path} is no whole video: record or fetch it again.") from None
        # A forked process would wait for threads that it does not have
        self._stream.codec_context.thread_count = 1

    def read(self, time: float) -> np.ndarray:
        """
        :param time: In seconds from the video's start.
        :return: The image shown then, uint8 of shape (height, width, 3).
        :raises DemonstrationsError: if the video ends before.
        """
        half_a_frame = 0.5 / float(self._stream.average_rate)
        self._container.seek(max(0, round(time / self._stream.time_base)), stream=self._stream, backward=True)
        for frame in self._container.decode(self._stream):
            if frame.time >= time - half_a_frame:
                return _to_array(frame)
        raise DemonstrationsError(f"The video {self._container.name} ends before {time:.3f} s.")


def _to_array(frame: Any) -> np.ndarray:
    try:
        array: np.ndarray = frame.to_ndarray(format="rgb24", threads=1)
    except TypeError:
        # Older releases of PyAV convert without threads, and have no such argument
        array = frame.to_ndarray(format="rgb24")
    return array
