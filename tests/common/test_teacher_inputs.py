"""What the teacher gets to see, taken from a vectorized environment."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from toy_envs import naming_env

from sb3_rpd import TeacherActionWrapper
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher_inputs import (
    TeacherInputReader,
    raw_student_observation,
    teacher_inputs_after_reset,
)


def dummy(kind: str = "vector", wrapped: bool = True, n_envs: int = 2) -> DummyVecEnv:
    return DummyVecEnv([naming_env(index, kind, wrapped) for index in range(n_envs)])


def step(env: Any) -> Any:
    return env.step(np.zeros((env.num_envs, 3), np.float32))


def names(inputs: list[dict[str, Any]]) -> list[list[float]]:
    return [info["observation"]["name"].tolist() for info in inputs]


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: VecMonitor(VecNormalize(env))], ids=["plain", "wrapped"])
def test_after_a_reset_and_after_each_step_also_one_that_ends_an_episode(wrap: Any) -> None:
    env = wrap(dummy())
    reader = TeacherInputReader(env)
    assert names(reader.after_reset(env.reset())) == [[0, 0, 0], [1, 0, 0]]
    # The first episode of environment 0 has two steps, that of environment 1 four
    seen = []
    for _ in range(4):
        observations, _, dones, infos = step(env)
        seen.append(names(reader.after_step(observations, dones, infos)))
    assert seen == [
        [[0, 0, 1], [1, 0, 1]],
        [[0, 1, 0], [1, 0, 2]],
        [[0, 1, 1], [1, 0, 3]],
        [[0, 1, 2], [1, 1, 0]],
    ]


def test_without_the_wrapper_it_is_the_students_observation() -> None:
    env = dummy(wrapped=False)
    inputs = teacher_inputs_after_reset(env, env.reset())
    assert [info["observation"].tolist() for info in inputs] == [[0, 0, 0], [1, 0, 0]]
    env = dummy("dict", wrapped=False)
    inputs = teacher_inputs_after_reset(env, env.reset())
    assert [info["observation"]["vector"].tolist() for info in inputs] == [[0, 0, 0], [1, 0, 0]]
    assert inputs[0]["observation"]["image"].shape == (36, 36, 1)


def test_some_with_and_some_without_the_wrapper() -> None:
    env = DummyVecEnv([naming_env(0), naming_env(1, wrapped=False), naming_env(2, wrapped=False)])
    with pytest.raises(TeacherError, match="1 of 3 environments"):
        teacher_inputs_after_reset(env, env.reset())


def test_vec_env_without_infos_still_shows_the_students_observation() -> None:
    """As PPO lets it; SB3's own environments always have them."""
    env = dummy(wrapped=False)
    env.reset()
    del env.reset_infos
    observations = np.array([[0, 0, 1], [1, 0, 1]], np.float32)
    reader = TeacherInputReader(env)
    for inputs in (reader.after_reset(observations), reader.after_step(observations, np.array([True, False]), ())):
        assert [info["observation"].tolist() for info in inputs] == observations.tolist()


RAW: dict[str, tuple[str, Any, tuple[int, ...]]] = {
    "plain": ("vector", lambda env: env, (2, 3)),
    "normalized": ("vector", VecNormalize, (2, 3)),
    "stacked": ("vector", lambda env: VecFrameStack(env, 3), (2, 9)),
    "normalized_over_stacked": ("vector", lambda env: VecNormalize(VecFrameStack(env, 3)), (2, 9)),
    # The frames are stacked after they were normalized: only the latest is still to be had as it was
    "stacked_over_normalized": ("vector", lambda env: VecFrameStack(VecNormalize(env), 3), (2, 3)),
    "stacked_over_normalized_rewards": ("vector", lambda env: VecFrameStack(VecNormalize(env, norm_obs=False), 3), (2, 9)),
    "image": ("image", lambda env: env, (2, 4, 4, 1)),
    "transposed": ("image", VecTransposeImage, (2, 4, 4, 1)),
    "stacked_over_transposed": ("image", lambda env: VecFrameStack(VecTransposeImage(env), 3), (2, 4, 4, 3)),
    "transposed_over_stacked": ("image", lambda env: VecTransposeImage(VecFrameStack(env, 3)), (2, 4, 4, 3)),
    "normalized_over_transposed": ("image", lambda env: VecNormalize(VecTransposeImage(env)), (2, 4, 4, 1)),
    "skipped_transpose": ("image", lambda env: VecTransposeImage(env, skip=True), (2, 4, 4, 1)),
    "extracted": ("dict", lambda env: VecExtractDictObs(env, "vector"), (2, 3)),
}


@pytest.mark.parametrize("case", RAW)
def test_raw_observation_is_not_normalized_and_has_its_channels_last(case: str) -> None:
    kind, wrap, shape = RAW[case]
    inner = dummy(kind, wrapped=False)
    env = wrap(inner)
    env.reset()
    for _ in range(3):
        observations, *_ = step(env)
        raw = raw_student_observation(env, observations)
        assert raw.shape == shape
        current = inner.buf_obs["vector"] if kind == "dict" else inner.buf_obs[None]
        np.testing.assert_array_equal(raw[..., -current.shape[-1] :], current)


def test_raw_dict_observation_is_transposed_where_it_is_an_image() -> None:
    inner = dummy("dict", wrapped=False)
    env = VecNormalize(VecTransposeImage(inner), norm_obs_keys=["vector"])
    raw = raw_student_observation(env, env.reset())
    assert raw["image"].shape == (2, 36, 36, 1)
    for name, array in raw.items():
        np.testing.assert_array_equal(array, inner.buf_obs[name])


def controlled(index: int) -> Any:
    return lambda: TeacherActionWrapper(naming_env(index, wrapped=False)(), controller=lambda env: np.zeros(3))


@pytest.mark.parametrize(
    ("builders", "expected"),
    [([controlled(0), controlled(1)], True), ([naming_env(0), controlled(1)], True), ([naming_env(0), naming_env(1)], False)],
)
def test_reader_knows_whether_an_environment_gives_its_action(builders: list[Any], expected: bool) -> None:
    """Also before the first reset, as after loading."""
    env = DummyVecEnv(builders)
    assert TeacherInputReader(env).has_controller is expected
    env.reset()
    assert TeacherInputReader(env).has_controller is expected


def test_reader_knows_of_controllers_of_a_vec_env_that_is_not_sb3s() -> None:
    env = dummy(wrapped=False)
    env.reset()
    env.reset_infos = [{"teacher": {"action": np.zeros(3)}}] * 2
    assert TeacherInputReader(env).has_controller


PRESENT: dict[str, tuple[str, Any]] = {
    "plain": ("vector", lambda env: env),
    "normalized": ("vector", lambda env: VecMonitor(VecNormalize(env))),
    "stacked": ("vector", lambda env: VecFrameStack(env, 2)),
    "stacked_over_normalized": ("vector", lambda env: VecFrameStack(VecNormalize(env), 2)),
    "image": ("image", lambda env: VecTransposeImage(VecNormalize(env, norm_obs=False))),
    "dict": ("dict", lambda env: VecFrameStack(VecTransposeImage(env), 2)),
}


@pytest.mark.parametrize("case", PRESENT)
@pytest.mark.parametrize("wrapped", [True, False])
def test_present_view_is_given_for_what_the_environments_returned_last_only(case: str, wrapped: bool) -> None:
    kind, wrap = PRESENT[case]
    env = wrap(dummy(kind, wrapped))
    reader = TeacherInputReader(env)
    earlier = deepcopy(env.reset())
    reader.after_reset(earlier)
    env.reset()
    later, *_ = step(env)
    present = reader.present(deepcopy(later), certain=True)
    if wrapped:
        assert names(present) == [[0, 1, 1], [1, 1, 1]]
    else:
        expected = raw_student_observation(env, later)
        for index, info in enumerate(present):
            raw = info["observation"]
            for name in raw if kind == "dict" else [None]:
                assert_equal = np.testing.assert_array_equal
                assert_equal(raw[name], expected[name][index]) if name else assert_equal(raw, expected[index])
    assert reader.present(earlier, certain=False) is None


def test_present_view_where_nobody_can_tell() -> None:
    class Own(VecExtractDictObs):
        """A wrapper that is not SB3's."""

    env = Own(dummy("dict"), "vector")
    reader = TeacherInputReader(env)
    observations = env.reset()
    reader.after_reset(observations)
    assert names(reader.present(observations, certain=False)) == [[0, 0, 0], [1, 0, 0]]
    assert reader.present(observations, certain=True) is None
