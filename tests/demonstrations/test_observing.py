import numpy as np
import pytest
from toy_painted_env import PaintedEnv, paint

from sb3_rpd.demonstrations.observing import observe

IMAGE = np.full((4, 5, 3), 7, np.uint8)


def made() -> PaintedEnv:
    env = PaintedEnv()
    env.reset(seed=0)
    return env


def test_a_vector_comes_with_the_rendered_frame():
    env = made()
    found = observe(env, env.position, None)
    assert found.keys() == {"state", "frame"}
    np.testing.assert_array_equal(found["frame"], paint(env.position))
    env.position += 1
    assert (found["state"] != env.position).all()


def test_an_image_is_not_rendered_again():
    env = made()
    assert observe(env, IMAGE, None).keys() == {"frame"}
    assert observe(env, {"camera": IMAGE, "joints": np.zeros(2)}, None).keys() == {"camera", "joints"}
    assert env.rendered == 0


def test_what_is_named_is_read_off_the_environment():
    env = made()
    found = observe(env, env.position, {"x": lambda env: env.position[0], "up": lambda env: env.steps == 0})
    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        "x": (np.float32, (1,)),
        "up": (np.float32, (1,)),
    }
    assert found["x"] == env.position[0]
    assert found["up"] == 1


@pytest.mark.parametrize("wrong", [np.zeros((4, 5, 3)), np.zeros((4, 5, 1), np.uint8), np.array(["red"]), None])
def test_what_is_neither_image_nor_vector_is_named(wrong):
    with pytest.raises(ValueError, match=r"'odd' is an array of .* record\(observation="):
        observe(made(), np.zeros(2), {"odd": lambda env: wrong})
