"""Rewards of the real simulator, and which arguments are refused: `make test-maniskill3`."""

from typing import Any

import gymnasium as gym
import pytest
import torch as th
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_rpd.envs import make_maniskill3_env, make_maniskill3_vec_env
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


def test_hovering_is_warned_of_where_it_pays() -> None:
    with pytest.warns(UserWarning, match=r"0\.80 for each step .* in PickCube-v1, and 1 once.*gamma above 0\.20"):
        make_maniskill3_env("PickCube-v1", reward="maniskill3_dense").close()


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("PickCube-v9", {}, r"no task \"PickCube-v9\". The paper's: PickCube-v1, .*; others: .*TurnFaucet-v1"),
        ("PickCube-v1", {"obs": "rgbd"}, "obs must be one of 'state', 'rgb', 'rgb\\+state'; got 'rgbd'"),
        ("PickCube-v1", {"reward": "shaped"}, "reward must be one of 'dense', 'sparse', 'maniskill3_dense'; got 'shaped'"),
        ("PickCube-v1", {"render_mode": "human"}, "render_mode must be one of None, 'rgb_array'; got 'human'"),
        ("PlugCharger-v1", {}, 'PlugCharger-v1 has no reward="dense".*take reward="sparse"'),
        ("PickCube-v1", {"reward_mode": "sparse"}, "reward_mode= is ManiSkill3's own option, which reward= sets here"),
        ("PickCube-v1", {"num_envs": 2}, "num_envs= is ManiSkill3's own option, which n_envs= sets here"),
        ("PickCube-v1", {"sensor_configs": {"width": 64}}, "sensor_configs sets 'width', which image_size="),
        ("PickCube-v1", {"camera": "roof_camera"}, 'no camera of that name.*"human".*"base_camera"'),
        (
            "PickCube-v1",
            {"max_steps": 9},
            "neither make_maniskill3_env nor ManiSkill3's PickCube-v1 has .* 'max_steps'",
        ),
        ("PickCube-v1", {"control_mode": "pd_pose"}, "PickCube-v1 has no control_mode='pd_pose'; it has .*'pd_ee_delta_pose'"),
        ("PickCube-v1", {"robot_uids": "panda2"}, "no robot_uids='panda2'; most tasks have 'panda'"),
    ],
)
def test_what_is_unknown_is_refused(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_maniskill3_env(task, **options)


@pytest.mark.parametrize(
    ("task", "options", "asset"),
    [
        ("TurnFaucet-v1", {"reward": "sparse"}, "TurnFaucet-v1"),
        ("PickCube-v1", {"robot_uids": "xarm6_robotiq"}, "xarm6_robotiq"),
    ],
)
def test_missing_assets_name_the_download(task: str, options: dict[str, Any], asset: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"^{asset} needs.*python -m mani_skill.utils.download_asset {asset}`"):
        make_maniskill3_env(task, **options)


def test_a_gpu_is_asked_for_where_there_is_none_or_processes_are() -> None:
    with pytest.raises(ValueError, match="backend must be one of 'auto', 'cpu', 'gpu'; got 'cuda'"):
        make_maniskill3_vec_env("PickCube-v1", 2, backend="cuda")
    with pytest.raises(ValueError, match=r'backend="gpu" needs an NVIDIA GPU'):
        make_maniskill3_vec_env("PickCube-v1", 2, backend="gpu")
    with pytest.raises(ValueError, match="leave out vec_env_cls=SubprocVecEnv"):
        make_maniskill3_vec_env("PickCube-v1", 2, backend="gpu", vec_env_cls=SubprocVecEnv)
    with pytest.raises(ValueError, match="forkserver"):
        make_maniskill3_vec_env("PickCube-v1", vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "fork"})
    # What is wrong with the arguments shows in this process
    with pytest.raises(ValueError, match="which reward= sets here"):
        make_maniskill3_vec_env("PickCube-v1", 2, vec_env_cls=SubprocVecEnv, reward_mode="dense")
