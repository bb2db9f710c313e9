"""DegradedTeacher: each fault by itself, its size within statistical bounds, seeds, and the late gripper in an environment."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.history import HistoryWrapper, read_past
from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.teachers import DegradedTeacher, FunctionTeacher, TeacherOutput

BOX = spaces.Box(np.array([-1.0, -1.0, -4.0], np.float32), np.array([1.0, 1.0, 4.0], np.float32))
WIDE = spaces.Box(-100, 100, (3,))
N = 20_000
OBSERVATIONS = {"x": np.zeros((N, 3), np.float32)}


def degraded(space: spaces.Box = WIDE, **faults: Any) -> DegradedTeacher:
    """An inner teacher that answers with its observation, made worse."""
    teacher = DegradedTeacher(lambda observations: observations["x"], **faults)
    teacher.setup(space)
    return teacher


def test_without_faults_nothing_changes() -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    answer = degraded(BOX).predict({"x": actions})
    np.testing.assert_array_equal(answer, actions)
    assert answer.dtype == np.float32


def test_noise_has_the_given_std_in_each_dimension() -> None:
    std = np.array([0.1, 1.0, 5.0])
    noise = degraded(noise_std=std).predict(OBSERVATIONS)
    # five standard errors of the mean and of the standard deviation of N samples
    np.testing.assert_array_less(np.abs(noise.mean(axis=0)), 5 * std / np.sqrt(N))
    np.testing.assert_array_less(np.abs(noise.std(axis=0) - std), 5 * std / np.sqrt(2 * N))
    correlation = np.corrcoef(noise.T)[np.triu_indices(3, 1)]
    np.testing.assert_array_less(np.abs(correlation), 5 / np.sqrt(N))
    np.testing.assert_array_less(np.abs(degraded(noise_std=0.5).predict(OBSERVATIONS).std(axis=0) - 0.5), 2.5 / np.sqrt(2 * N))


def test_bias_is_added_and_the_result_clipped() -> None:
    actions = np.array([[0.5, -0.5, 3.0]], np.float32)
    np.testing.assert_allclose(degraded(BOX, bias=[0.25, -0.25, 0.5]).predict({"x": actions}), [[0.75, -0.75, 3.5]])
    np.testing.assert_allclose(degraded(BOX, bias=2.0).predict({"x": actions}), [[1.0, 1.0, 4.0]])


def test_wrong_fraction_of_the_states_gets_uniform_actions() -> None:
    answer = degraded(BOX, wrong_fraction=0.3).predict(OBSERVATIONS)
    wrong = (answer != 0).any(axis=1)
    assert wrong.mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / N))
    scaled = answer[wrong] / BOX.high  # uniform on [-1, 1]: mean 0, variance 1/3
    assert np.abs(scaled).max() <= 1
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=5 * np.sqrt(1 / 3 / wrong.sum()))
    # the variance of the square of such a number is 1/5 - 1/9
    np.testing.assert_allclose((scaled**2).mean(axis=0), 1 / 3, atol=5 * np.sqrt((1 / 5 - 1 / 9) / wrong.sum()))
    assert (degraded(BOX, wrong_fraction=1.0).predict(OBSERVATIONS) != 0).all()


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 2**32))
def test_answers_do_not_depend_on_how_queries_are_batched(sizes: list[int], seed: int) -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (sum(sizes), 3))
    faults = {"noise_std": 0.2, "wrong_fraction": 0.4, "seed": seed}
    whole = degraded(BOX, **faults).predict({"x": actions})
    teacher = degraded(BOX, **faults)
    parts = [teacher.predict({"x": part}) for part in np.split(actions, np.cumsum(sizes)[:-1])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_seed_and_setup_start_the_sequence() -> None:
    faults = {"noise_std": 1.0, "wrong_fraction": 0.5}
    teacher = degraded(**faults, seed=3)
    first = teacher.predict(OBSERVATIONS)
    assert (teacher.predict(OBSERVATIONS) != first).any()
    teacher.setup(WIDE)
    np.testing.assert_array_equal(teacher.predict(OBSERVATIONS), first)
    np.testing.assert_array_equal(degraded(**faults, seed=3).predict(OBSERVATIONS), first)
    assert (degraded(**faults, seed=4).predict(OBSERVATIONS) != first).any(axis=1).all()


def test_only_the_action_of_a_distribution_is_used_and_no_answer_stays_none() -> None:
    actions = np.array([[np.nan] * 3, [0.5] * 3])
    inner = FunctionTeacher(lambda observations: TeacherOutput(actions, std=np.ones((2, 3))), gives_distribution=True)
    teacher = DegradedTeacher(inner, bias=0.25)
    teacher.setup(BOX)
    assert not teacher.gives_distribution
    np.testing.assert_array_equal(teacher.predict({}), [[np.nan] * 3, [0.75] * 3])


class RampEnv(gym.Env):
    """The state is the number of the step, from 1 on; the teacher below answers with it in all dimensions."""

    observation_space = spaces.Box(0, 100, (1,))
    action_space = WIDE

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.state = 1.0
        return np.array([self.state], np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.state += 1
        return np.array([self.state], np.float32), 0.0, False, False, {}


def ramp_state(env: gym.Env) -> np.ndarray:
    return np.full(3, env.unwrapped.state)


def test_gripper_says_what_the_teacher_would_have_said_two_steps_ago() -> None:
    env = TeacherActionWrapper(
        HistoryWrapper(RampEnv(), ramp_state, length=3), observation={"x": ramp_state, "x_past": read_past}
    )
    teacher = degraded(gripper_delay=2)
    infos = [env.reset()[1], *(env.step(np.zeros(3))[-1] for _ in range(4))]
    batch = {name: np.stack([info["teacher"]["observation"][name] for info in infos]) for name in ("x", "x_past")}
    np.testing.assert_array_equal(teacher.predict(batch), [[1, 1, 1], [2, 2, 1], [3, 3, 1], [4, 4, 2], [5, 5, 3]])


def test_missing_or_short_history_is_named() -> None:
    teacher = degraded(gripper_delay=2)
    with pytest.raises(TeacherError, match=r"offer 'x_past'.*HistoryWrapper\(env, source, length=2\)"):
        teacher.predict({"x": np.zeros((4, 3))})
    nameless = DegradedTeacher(lambda observations: observations, gripper_delay=2)
    nameless.setup(WIDE)
    with pytest.raises(TeacherError, match="named observations"):
        nameless.predict(np.zeros((4, 3)))
    with pytest.raises(TeacherError, match="further back than the 1 steps"):
        teacher.predict({"x": np.zeros((4, 3)), "x_past": np.zeros((4, 1, 3))})


def test_settings_out_of_range() -> None:
    inner = FunctionTeacher(lambda observations: observations)
    for faults, message in (
        ({"noise_std": [0.1, -0.1, 0]}, "noise_std"),
        ({"gripper_delay": -1}, "gripper_delay"),
        ({"wrong_fraction": 1.5}, "wrong_fraction"),
    ):
        with pytest.raises(ValueError, match=message):
            DegradedTeacher(inner, **faults)


def test_setup_refuses_what_does_not_fit() -> None:
    inner = FunctionTeacher(lambda observations: observations)
    with pytest.raises(TeacherError, match="in a Box, not in Discrete"):
        DegradedTeacher(inner).setup(spaces.Discrete(3))
    with pytest.raises(TeacherError, match=r"bias has the shape \(2,\), the environment's actions \(3,\)"):
        DegradedTeacher(inner, bias=[1, 2]).setup(BOX)
    with pytest.raises(TeacherError, match="needs bounds"):
        DegradedTeacher(inner, wrong_fraction=0.1).setup(spaces.Box(-np.inf, np.inf, (3,)))
    with pytest.raises(TeacherError, match=r"setup\(action_space\)"):
        DegradedTeacher(inner).predict(np.zeros((1, 3)))


def test_setup_and_close_reach_the_inner_teacher() -> None:
    calls: list[Any] = []

    class Inner(FunctionTeacher):
        def setup(self, action_space: spaces.Space) -> None:
            calls.append(action_space)

        def close(self) -> None:
            calls.append("close")

    inner = Inner(lambda observations: observations)
    teacher = DegradedTeacher(inner)
    teacher.setup(BOX)
    teacher.close()
    assert calls == [BOX, "close"]
