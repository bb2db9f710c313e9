"""Meta-World's environments for Stable-Baselines3, against Meta-World itself."""

from typing import Any

import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_rpd.envs.metaworld import make_metaworld_env, make_metaworld_vec_env
from sb3_rpd.teachers import MetaWorldTeacher

DRAWER = "drawer-open-v3"


def first_observations(seeds: list[int | None]) -> list[np.ndarray]:
    env = make_metaworld_env(DRAWER)
    return [env.reset(seed=seed)[0] for seed in seeds]


def follow_teacher(task: str, n_steps: int, **settings: Any) -> list[tuple[float, bool, bool, dict[str, Any]]]:
    """What the steps of an episode give."""
    env, teacher = make_metaworld_env(task, **settings), MetaWorldTeacher(task)
    observation, _ = env.reset(seed=0)
    steps = []
    while len(steps) < n_steps and not (steps and any(steps[-1][1:3])):
        observation, *step = env.step(teacher.predict(observation[np.newaxis])[0])
        steps.append(tuple(step))
    return steps


def test_it_is_meta_worlds_environment() -> None:
    theirs = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{DRAWER}-goal-observable"]()
    theirs._freeze_rand_vec, theirs.seeded_rand_vec = False, True
    theirs.seed(3)
    ours = make_metaworld_env(DRAWER)
    rng = np.random.default_rng(0)

    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset()[0].astype(np.float32))
    for _ in range(5):
        action = rng.uniform(-1, 1, 4).astype(np.float32)
        observation, reward, terminated, truncated, info = ours.step(action)
        their_observation, their_reward, _, _, their_info = theirs.step(action)
        np.testing.assert_array_equal(observation, their_observation.astype(np.float32))
        assert ours.observation_space.contains(observation)
        # A tenth of their reward, minus 1
        assert reward == pytest.approx(their_reward / 10 - 1, abs=1e-12)
        assert (terminated, truncated, info["is_success"]) == (False, False, bool(their_info["success"]))


def test_a_seed_decides_the_episodes() -> None:
    one = first_observations([7, None, None])
    np.testing.assert_array_equal(one, first_observations([7, None, None]))
    # Each episode has its drawer elsewhere
    assert len({observation.tobytes() for observation in one}) == 3
    assert not np.array_equal(first_observations([None]), first_observations([None]))


def test_success_ends_an_episode_and_is_the_best_that_there_is() -> None:
    *before, (reward, terminated, truncated, info) = follow_teacher(DRAWER, 200)
    assert len(before) > 20
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, True)
    assert all(short < 0 and not info["is_success"] for short, _, _, info in before)


def test_success_may_go_on() -> None:
    steps = follow_teacher(DRAWER, 120, end_on_success=False, reward="sparse")
    assert len(steps) == 120
    assert [reward for reward, *_ in steps] == [float(info["is_success"]) for *_, info in steps]
    assert steps[-1][3]["is_success"]
    assert not any(terminated for _, terminated, _, _ in steps)


@pytest.mark.parametrize("limit", [7, 500])
def test_time_is_up(limit: int) -> None:
    env = make_metaworld_env(DRAWER, max_episode_steps=limit)
    env.reset(seed=0)
    ends = [env.step(np.zeros(4, np.float32))[2:4] for _ in range(limit)]
    assert ends == [(False, False)] * (limit - 1) + [(False, True)]


def test_several_run_as_one() -> None:
    vec_env = make_metaworld_vec_env(DRAWER, 2, seed=5, max_episode_steps=3)
    first = vec_env.reset()
    np.testing.assert_array_equal(first, first_observations([5]) + first_observations([6]))

    for _ in range(3):
        observations, _, dones, infos = vec_env.step(np.zeros((2, 4), np.float32))
    assert dones.all()
    for observation, info in zip(observations, infos, strict=True):
        assert info["TimeLimit.truncated"]
        assert info["is_success"] is False
        assert info["episode"]["l"] == 3
        # The next episode has its drawer elsewhere
        assert not np.allclose(observation, info["terminal_observation"])


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task must be one of 'assembly-v3', .*; got 'drawer-open-v2'"):
        make_metaworld_vec_env("drawer-open-v2", vec_env_cls=SubprocVecEnv)
    with pytest.raises(ValueError, match="reward must be one of 'dense', 'sparse'; got 'big'"):
        make_metaworld_env(DRAWER, reward="big")
    for steps in (0, 501):
        with pytest.raises(ValueError, match=f"must be 1 to 500, where Meta-World ends; got {steps}"):
            make_metaworld_env(DRAWER, max_episode_steps=steps)
