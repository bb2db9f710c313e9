"""Under the default reward success is the best in each of the paper's tasks (sb3_rpd/envs/maniskill3/tasks.py)."""

import itertools

import pytest

from sb3_rpd.envs import PAPER_TASKS
from sb3_rpd.envs.hovering import hovering_pays_from
from sb3_rpd.envs.maniskill3.tasks import HOVERING_REWARDS, hovering_reward, max_reward, success_reward


def test_each_of_the_papers_tasks_but_one_has_a_dense_reward() -> None:
    assert set(PAPER_TASKS) - set(HOVERING_REWARDS) == {"PlugCharger-v1"}
    assert len(PAPER_TASKS) == 10


@pytest.mark.parametrize("task", HOVERING_REWARDS)
def test_success_is_the_best_under_the_default_reward(task: str) -> None:
    """Hovering at the most that the task pays for it until the time limit, against success at each step before."""
    cost, success = hovering_reward(task) - max_reward(task), max(success_reward(task) - max_reward(task), 0.0)
    assert cost <= 0 <= success
    for gamma, steps in itertools.product((0.1, 0.8, 0.99, 1.0), (1, 2, 50, 200)):
        hovering = sum(cost * gamma**k for k in range(steps))
        for solved_in in range(steps):
            assert sum(cost * gamma**k for k in range(solved_in)) + success * gamma**solved_in >= hovering


def test_from_which_gamma_hovering_pays_under_maniskill3s_own_reward() -> None:
    # 1.7 / (1 - gamma) = 2.7, and 0.8 / (1 - gamma) = 1
    ratio = hovering_reward("PullCubeTool-v1") / success_reward("PullCubeTool-v1")
    assert hovering_pays_from(ratio, 10_000) == pytest.approx(1 - 1.7 / 2.7, abs=1e-5)
    assert hovering_pays_from(hovering_reward("PickCube-v1"), 10_000) == pytest.approx(0.2, abs=1e-5)
