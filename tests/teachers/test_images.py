import numpy as np
import pytest

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers.images import are_images, find_images

FRAMES = np.zeros((2, 8, 6, 3), np.uint8)
OFFERED = {"top": FRAMES, "qpos": np.zeros((2, 4)), "mask": np.zeros((2, 8, 8), np.uint8)}


def find(offered, name=None):
    return find_images(offered, name, seeker="The teacher", cure="Name one.")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (FRAMES, True),
        (FRAMES[..., :1], False),
        (FRAMES[0], False),
        (FRAMES.astype(np.float32), False),
        (FRAMES.transpose(0, 3, 1, 2), False),
    ],
)
def test_images_are_color_images_of_8_bits_with_channels_last(array, expected):
    assert are_images(array) == expected


def test_the_only_images_are_found_and_the_frame_among_several():
    assert find(OFFERED) == "top"
    assert find({**OFFERED, "frame": FRAMES}) == "frame"
    assert find({**OFFERED, "frame": FRAMES}, "top") == "top"


@pytest.mark.parametrize(
    ("offered", "name", "candidates"),
    [
        ({"qpos": OFFERED["qpos"]}, None, "none"),
        ({**OFFERED, "hand": FRAMES}, None, "'top', 'hand'"),
        (OFFERED, "hand", "'top'"),
        (OFFERED, "mask", "'top'"),
    ],
)
def test_what_is_missing_is_said_with_what_is_there(offered, name, candidates):
    with pytest.raises(
        TeacherError,
        match=rf"^The teacher looks at .*'qpos' \(float64 of shape \(4,\)\).* of which {candidates} could.*Name one\.$",
    ):
        find(offered, name)
