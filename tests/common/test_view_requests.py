"""What is asked of the environments before a rollout, and what is fetched when that did not fit."""

from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import naming_env

from sb3_rpd.common.view_requests import ViewRequests

N_ENVS = 2


class Calls(DummyVecEnv):
    """Writes down which methods of its environments are called."""

    def __init__(self) -> None:
        super().__init__([naming_env(index) for index in range(N_ENVS)])
        self.calls: list[str] = []

    def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:
        self.calls.append(method_name)
        return super().env_method(method_name, *args, **kwargs)

    def go(self) -> list[dict[str, Any]]:
        _, _, dones, infos = self.step(np.zeros((N_ENVS, 3), np.float32))
        return [(self.reset_infos[i] if done else infos[i])["teacher"] for i, done in enumerate(dones)]


@pytest.fixture
def env() -> Calls:
    env = Calls()
    env.reset()
    return env


def names(infos: list[dict[str, Any]]) -> list[Any]:
    return [info["observation"]["name"].tolist() if "observation" in info else None for info in infos]


def test_one_message_before_each_rollout(env: Calls) -> None:
    requests = ViewRequests(env, is_possible=True)
    for rollout in range(2):
        requests.begin(np.array([[True, False]]))
        offered = env.go()
        requests.compare(offered, np.array([True, False]))
        assert requests.fetch(offered, np.array([True, False])) == offered
        assert names(offered) == [[0, rollout, 1 - rollout], None]
        requests.end(is_complete=True)
    assert env.calls == ["set_teacher_view_place"] * N_ENVS + ["plan_teacher_views"] * 2


def test_none_where_everything_is_wanted_and_where_there_is_nobody_to_tell(env: Calls) -> None:
    ViewRequests(env, is_possible=True).begin(np.ones((3, N_ENVS), bool))
    ViewRequests(env, is_possible=False).begin(np.zeros((3, N_ENVS), bool))
    assert None not in names(env.go())
    assert not env.calls


def test_what_is_needed_is_fetched_of_the_state_at_which_it_was_left_out(env: Calls) -> None:
    requests = ViewRequests(env, is_possible=True)
    requests.begin(np.zeros((3, N_ENVS), bool))
    earlier, later = env.go(), env.go()
    # Environment 0 has begun another episode, by a step and a reset
    assert [[info["unread"] for info in infos] for infos in (earlier, later)] == [[2, 2], [4, 3]]
    assert names(requests.fetch(later, np.array([False, True]))) == [None, [1, 0, 2]]
    assert requests.fetch(earlier) == earlier


@pytest.mark.parametrize("is_planned", [True, False])
def test_plan_that_does_not_fit_is_ended(env: Calls, is_planned: bool) -> None:
    """Nothing is read any more but what is fetched; or everything again, where another's plan was at work."""
    requests = ViewRequests(env, is_possible=True)
    wanted = np.array([[True, True], [True, False], [False, True]])
    if not is_planned:
        env.env_method("plan_teacher_views", np.zeros((0, N_ENVS), bool), afterwards=False)
        wanted = np.ones_like(wanted)
    requests.begin(wanted)
    if is_planned:
        env.go()
    offered = env.go()
    requests.compare(offered, np.array([True, True]))
    assert None not in names(requests.fetch(offered, np.array([True, True])))
    assert names(env.go()).count(None) == (N_ENVS if is_planned else 0)
    n_calls = len(env.calls)
    requests.compare(offered, np.array([True, True]))
    assert len(env.calls) == n_calls
    requests.end(is_complete=True)
    assert None not in names(env.go())


def test_vec_env_that_cannot_call_its_environments() -> None:
    class Mute(Calls):
        def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:
            raise NotImplementedError

    env = Mute()
    env.reset()
    requests = ViewRequests(env, is_possible=True)
    requests.begin(np.zeros((2, N_ENVS), bool))
    offered = env.go()
    requests.compare(offered, np.zeros(N_ENVS, bool))
    assert names(offered) == [[0, 0, 1], [1, 0, 1]]
    requests.end(is_complete=False)
