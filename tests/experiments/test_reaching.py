"""The reaching world: steps by hand, SB3's conventions for the ends of episodes, the teachers alone."""

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnv

from experiments.worlds import WORLDS
from experiments.worlds.reaching import ReachingTeacher
from experiments.worlds.reaching_env import EPISODE_STEPS, GRASP_RADIUS, ReachingVecEnv
from sb3_rpd.evaluation import evaluate_teacher

OPEN, CLOSE = 1.0, -1.0


def placed(hand: list[float], target: list[float], reward: str = "sparse", history: int = 0) -> ReachingVecEnv:
    """One copy, its hand and its object at these places."""
    env = ReachingVecEnv(1, reward, history)
    env.seed(0)
    env.reset()
    env.hand[0], env.object[0] = hand, target
    return env


def test_a_step_by_hand() -> None:
    env = placed([0, 0, 0], [0.5, 0, 0], "dense")
    observations, rewards, dones, infos = env.step(np.array([[2.0, -0.5, 0.25, OPEN]]))
    # 2 is cut to 1, and an action of 1 moves the hand by 0.1; the way that is left is (0.4, 0.05, -0.025)
    np.testing.assert_allclose(observations, [[1.6, 0.2, -0.1, 0.1, -0.05, 0.025, 1]], atol=1e-6)
    assert rewards[0] == pytest.approx(-0.05 * np.sqrt(0.4**2 + 0.05**2 + 0.025**2))
    assert not dones[0]
    np.testing.assert_array_equal(infos[0]["teacher"]["observation"]["state"], observations[0])


def test_the_hand_stays_in_its_box() -> None:
    env = placed([0.95, -0.95, 0], [0, 0, 0])
    env.step(np.array([[1.0, -1.0, 0.0, OPEN]]))
    np.testing.assert_allclose(env.hand[0], [1, -1, 0])


@pytest.mark.parametrize(("distance", "is_open", "success"), [(0.079, True, True), (0.081, True, False), (0.01, False, False)])
def test_open_fingers_must_close_at_the_object(distance: float, is_open: bool, success: bool) -> None:
    assert GRASP_RADIUS == 0.08
    env = placed([0, 0, 0], [distance, 0, 0])
    env.is_open[0] = is_open
    observations, rewards, dones, infos = env.step(np.array([[0.0, 0.0, 0.0, CLOSE]]))
    assert (rewards[0], dones[0], infos[0].get("is_success", False)) == (float(success), success, success)
    if success:
        # The observation is the next episode's; that of the step itself and the sums are in info, as SB3 has it
        assert infos[0]["TimeLimit.truncated"] == False  # noqa: E712 (it may be numpy's)
        np.testing.assert_allclose(infos[0]["terminal_observation"], [4 * distance, 0, 0, 0, 0, 0, -1], atol=1e-6)
        assert infos[0]["episode"] == {"r": 1.0, "l": 1}
        assert observations[0, 6] == 1.0
        np.testing.assert_array_equal(env.reset_infos[0]["teacher"]["observation"]["state"], observations[0])


def test_time_limit_truncates() -> None:
    env = placed([0, 0, 0], [0.5, 0, 0])
    for step in range(1, EPISODE_STEPS + 1):
        _, _, dones, infos = env.step(np.array([[0.0, 0.0, 0.0, OPEN]]))
        assert dones[0] == (step == EPISODE_STEPS)
    assert infos[0]["TimeLimit.truncated"] == True  # noqa: E712
    assert infos[0]["is_success"] is False
    assert env.steps[0] == 0


def test_past_holds_the_steps_before() -> None:
    env = placed([0, 0, 0], [0.5, 0, 0], history=2)
    first = env.step(np.array([[0.0, 0.0, 0.0, OPEN]]))[0]
    second, _, _, infos = env.step(np.array([[1.0, 0.0, 0.0, CLOSE]]))
    view = infos[0]["teacher"]["observation"]
    np.testing.assert_array_equal(view["state"], second[0])
    np.testing.assert_array_equal(view["state_past"][-1], first[0])
    env.steps[0] = EPISODE_STEPS - 1
    observations = env.step(np.array([[0.0, 0.0, 0.0, OPEN]]))[0]
    # before the first step of an episode lies its first observation
    np.testing.assert_array_equal(env.reset_infos[0]["teacher"]["observation"]["state_past"], [observations[0]] * 2)


def test_seeds_make_the_episodes_of_each_copy() -> None:
    def starts(env: VecEnv, n: int) -> list[np.ndarray]:
        return [env.reset()[:, :6] for _ in range(n)]

    two, same = ReachingVecEnv(2), ReachingVecEnv(2)
    two.seed(7)
    same.seed(7)
    np.testing.assert_array_equal(starts(two, 3), starts(same, 3))
    # the second copy's seed is the first one's plus 1
    one = ReachingVecEnv(1)
    one.seed(8)
    two.seed(7)
    np.testing.assert_array_equal(np.array(starts(two, 3))[:, 1], np.array(starts(one, 3))[:, 0])


def test_teacher_by_hand() -> None:
    def answer(way: list[float], fingers: float) -> np.ndarray:
        state = np.array([[*(4 * np.array(way)), 0, 0, 0, fingers]])
        return ReachingTeacher().predict({"state": state})[0]

    np.testing.assert_allclose(answer([0.5, -0.05, 0], OPEN), [1, -0.4, 0, 1], atol=1e-6)
    # half-way between 0.04 and 0.10 the fingers are half closed
    np.testing.assert_allclose(answer([0.07, 0, 0], OPEN), [0.56, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(answer([0, 0.03, 0], OPEN), [0, 0.24, 0, -1], atol=1e-6)
    np.testing.assert_allclose(answer([0, 0.03, 0], -1), [0, 0.24, 0, 1], atol=1e-6)


def test_each_error_but_noise_leaves_the_teacher_nearly_helpless() -> None:
    world = WORLDS["fast"]
    solved = evaluate_teacher(ReachingTeacher(), world.make_env("reach", None, "sparse", 32, 0), 64)
    assert solved.success_rate == 1.0
    rates = {}
    for error in world.errors:
        env = world.make_env("reach", error, "sparse", 32, 0)
        rates[error] = evaluate_teacher(world.make_teacher("reach", error, 0), env, 128).success_rate
    assert 0.3 < rates.pop("noise") < 0.7
    assert rates.pop("late gripper") < 0.3
    assert max(rates.values()) < 0.05, rates
