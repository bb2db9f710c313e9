"""Rewards of the real simulator: `make test-maniskill3`."""

from typing import Any

import gymnasium as gym
import pytest
import torch as th

from sb3_rpd.envs import make_maniskill3_env
from sb3_rpd.envs.maniskill3.tasks import HOVERING_REWARDS


class NearlySolved:
    """Puts a task into a state in which it pays the most that it does short of success, or about as much."""

    def __init__(self, env: gym.Env) -> None:
        self.simulator = env.unwrapped.simulator
        self.hand = self.simulator.agent.tcp.pose.p

    def put(self, actor: Any, *offset: float) -> None:
        pose = actor.pose.raw_pose.clone()
        pose[:, :3] = self.hand + th.tensor(offset)
        actor.set_pose(type(actor.pose).create(pose))

    def hurry(self) -> None:
        self.simulator.agent.robot.set_qvel(th.full((1, 9), 0.21))

    def PickCube(self) -> None:
        self.put(self.simulator.cube, 0.0, 0.0, 0.0)
        self.put(self.simulator.goal_site, 0.0, 0.0, 0.0)
        self.hurry()

    def StackCube(self) -> None:
        self.put(self.simulator.cubeA, 0.0, 0.0, 0.0)
        self.put(self.simulator.cubeB, 0.0, 0.0, -0.04)

    def PullCube(self) -> None:
        self.put(self.simulator.obj, -0.03, 0.0, 0.0)
        self.put(self.simulator.goal_region, -0.03 - 0.1001, 0.0, 0.0)

    def PushCube(self) -> None:
        self.put(self.simulator.obj, 0.025, 0.0, 0.0)
        self.put(self.simulator.goal_region, 0.025 + 0.1001, 0.0, 0.0)

    def PullCubeTool(self) -> None:
        self.put(self.simulator.l_shape_tool, -0.02, 0.0, 0.0)
        self.put(self.simulator.cube, -0.02 + 0.07, 0.067, 0.0)


@pytest.mark.parametrize("name", ["PickCube", "StackCube", "PullCube", "PushCube", "PullCubeTool"])
def test_the_simulator_pays_no_more_than_that_short_of_success(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = f"{name}-v1"
    env = make_maniskill3_env(task)
    env.reset(seed=0)
    simulator = env.unwrapped.simulator
    monkeypatch.setattr(type(simulator.agent), "is_grasping", lambda *_, **__: th.ones(1, dtype=th.bool))
    states = NearlySolved(env)
    getattr(states, name)()
    info = simulator.get_info()
    paid = simulator.compute_normalized_dense_reward(obs=None, action=None, info=info).item()
    assert not info["success"].item()
    assert 0.5 * HOVERING_REWARDS[task] < paid <= HOVERING_REWARDS[task] + 1e-6
    # Its scale is not its maximum
    assert (paid > 1) == (name == "PullCubeTool")
    env.close()
