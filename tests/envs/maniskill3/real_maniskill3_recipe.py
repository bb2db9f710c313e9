"""
Arguments that are refused or warned of, and what becomes of the others (sb3_rpd/envs/maniskill3/recipe.py), with the real
simulator: `make test-maniskill3`.
"""

from typing import Any

import gymnasium as gym
import pytest
from mani_skill.envs.tasks import PickCubeEnv
from mani_skill.utils.registration import register_env

from sb3_rpd.envs import StepCostWrapper, make_maniskill3_env


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"obs": "rgbd"}, "obs must be one of 'state', 'rgb', 'rgb\\+state'; got 'rgbd'"),
        ({"reward": "shaped"}, "reward must be one of 'dense', 'sparse', 'maniskill3_dense'; got 'shaped'"),
        ({"render_mode": "human"}, "render_mode must be one of None, 'rgb_array'; got 'human'"),
        ({"reward_mode": "sparse"}, "reward_mode= is ManiSkill3's own option, which reward= sets here"),
        ({"num_envs": 2}, "num_envs= is ManiSkill3's own option, which n_envs= sets here"),
        ({"sensor_configs": {"width": 64}}, "sensor_configs sets 'width', which image_size="),
    ],
)
def test_unknown_values_and_other_names_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_maniskill3_env("PickCube-v1", **options)


def test_hovering_is_warned_of_where_it_pays() -> None:
    message = r"0\.80 for each step .* in PickCube-v1, and 1 once.*gamma above 0\.20"
    with pytest.warns(UserWarning, match=message) as told:
        make_maniskill3_env("PickCube-v1", reward="maniskill3_dense").close()
    assert [warning.filename for warning in told if "gamma" in str(warning.message)] == [__file__]


def test_a_task_of_ones_own_needs_neither_time_limit_nor_instruction() -> None:
    task = "PickCubeWithoutLimit-v1"
    register_env(task)(type("PickCubeWithoutLimit", (PickCubeEnv,), {}))
    env = make_maniskill3_env(task)
    assert isinstance(env, StepCostWrapper)
    # Nobody knows what to wait until the end would cost, nor what it pays short of success
    assert (env.failure_reward, env.max_reward, env.get_wrapper_attr("instruction")) == (None, 1.0, None)
    assert isinstance(env.env, type(env.unwrapped))
    env.close()
    with pytest.warns(UserWarning, match=f"up to 1.00 for each step .* in {task}.* gamma above 0.00"):
        env = make_maniskill3_env(task, reward="maniskill3_dense", max_episode_steps=70)
    assert isinstance(env, gym.wrappers.TimeLimit)
    env.close()


def test_a_failure_costs_what_waiting_for_the_time_limit_does() -> None:
    """With the most that PullCubeTool pays short of success, 8.5 / 5, as the cost of a step."""
    env = make_maniskill3_env("PullCubeTool-v1", max_episode_steps=70)
    assert env.get_wrapper_attr("failure_reward") == pytest.approx(-70 * 1.7)
    env.close()
