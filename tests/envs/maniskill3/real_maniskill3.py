"""
ManiSkill3's environments as Stable-Baselines3 sees them, with the real simulator: `make test-maniskill3`.

It has an environment of its own, since it cannot be installed beside ManiSkill2.
"""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_rpd.envs import (
    PAPER_TASKS,
    make_maniskill3_env,
    make_maniskill3_vec_env,
    task_instruction,
)
from sb3_rpd.envs.maniskill3 import INSTRUCTIONS
from sb3_rpd.envs.maniskill3.vec_env import ManiSkill3VecEnv

HOLD = np.zeros(7, np.float32)
TIME_LIMITS = dict.fromkeys(PAPER_TASKS, 50) | {
    "PegInsertionSide-v1": 100,
    "PlugCharger-v1": 200,
    "RollBall-v1": 80,
    "PullCubeTool-v1": 100,
}
#: Joint positions and velocities of the Panda, and the pose of its hand.
ROBOT = 9 + 9 + 7
STATE_SIZES = {
    "PickCube-v1": ROBOT + 1 + 3 + 7 + 3 + 3,  # grasped, goal, cube pose, hand to cube, cube to goal
    "StackCube-v1": ROBOT + 7 + 7 + 3 + 3 + 3,  # two cube poses, hand to each, one to the other
    "PegInsertionSide-v1": ROBOT + 7 + 3 + 7 + 1,  # peg pose and half size, hole pose and radius
    "PlugCharger-v1": ROBOT + 7 + 7 + 7,  # charger, receptacle and goal pose
    "LiftPegUpright-v1": ROBOT + 7,  # peg pose
    "PullCube-v1": ROBOT + 3 + 7,  # goal, cube pose
    "PushCube-v1": ROBOT + 3 + 7,
    "RollBall-v1": ROBOT + 3 + 7 + 3 + 3 + 3,  # goal, ball pose and velocity, hand to ball, ball to goal
    "PokeCube-v1": ROBOT + 7 + 7 + 3 + 3 + 3 + 3 + 3,  # cube and peg pose, goal, hand to peg, peg to cube, cube to goal, head
    "PullCubeTool-v1": ROBOT + 7 + 7,  # cube and tool pose
}


def random_actions(n_steps: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (n_steps, 7)).astype(np.float32)


def put_goal_on_cube(env: gym.Env) -> None:
    """So that the next step in which the robot stands still is a success."""
    simulator = env.unwrapped.simulator
    simulator.goal_site.set_pose(simulator.cube.pose)


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_the_papers_tasks(task: str) -> None:
    reward = "sparse" if task == "PlugCharger-v1" else "dense"
    env = make_maniskill3_env(task, reward=reward)
    assert env.observation_space == spaces.Box(-np.inf, np.inf, (STATE_SIZES[task],), np.float32)
    assert env.action_space == spaces.Box(-1, 1, (7,), np.float32)
    assert task_instruction(env) == INSTRUCTIONS[task]
    first, _ = env.reset(seed=1)
    ends = []
    for action in random_actions(4):
        observation, paid, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(observation)
        assert (paid, terminated, info["is_success"]) == (min(paid, 0.0), False, False)
        ends.append(truncated)
    assert not any(ends)
    np.testing.assert_array_equal(env.reset(seed=1)[0], first)
    assert not np.array_equal(env.reset()[0], first)
    assert env.get_wrapper_attr("_max_episode_steps") == TIME_LIMITS[task]
    env.close()


def test_each_step_is_maniskill3s(pick_cube: gym.Env) -> None:
    """And each episode: the second one has a seed that the first one's decides."""
    theirs = gym.make(
        "PickCube-v1", num_envs=1, obs_mode="state", control_mode="pd_ee_delta_pose", reward_mode="normalized_dense",
        sim_backend="physx_cpu", render_backend="cpu",
    )  # fmt: skip
    (second,) = np.random.default_rng([7]).integers(2**31, size=1).tolist()
    for ours_seed, their_seed in ((7, 7), (None, second)):
        th.rand(1)
        observation, info = pick_cube.reset(seed=ours_seed)
        np.testing.assert_array_equal(observation, theirs.reset(seed=their_seed)[0][0].numpy())
        assert info["is_success"] is False
        for action in random_actions(5):
            observation, reward, terminated, truncated, info = pick_cube.step(action)
            their_observation, their_reward, their_terminated, _, their_info = theirs.step(action)
            np.testing.assert_array_equal(observation, their_observation[0].numpy())
            assert reward == pytest.approx(their_reward.item() - 1, abs=1e-6)
            assert (terminated, truncated) == (their_terminated.item(), False)
            assert info.pop("is_success") == their_info["success"].item()
            assert info == {key: value.item() for key, value in their_info.items()}
    theirs.close()


def test_it_is_an_environment(pick_cube: gym.Env) -> None:
    check_env(pick_cube)


@pytest.mark.filterwarnings("ignore:reward=.maniskill3_dense. pays:UserWarning")
@pytest.mark.parametrize(
    ("reward", "end_on_success", "paid"),
    [("dense", True, 0.0), ("maniskill3_dense", True, 1.0), ("sparse", False, 1.0)],
)
def test_success(reward: str, end_on_success: bool, paid: float) -> None:
    env = make_maniskill3_env("PickCube-v1", reward=reward, end_on_success=end_on_success, max_episode_steps=2)
    env.reset(seed=0)
    short_of_it, terminated, _, info = env.step(HOLD)[1:]
    assert (short_of_it < paid, terminated, info["is_success"]) == (True, False, False)
    put_goal_on_cube(env)
    assert env.step(HOLD)[1:4] == (paid, end_on_success, True)
    env.close()


def test_several_run_as_one(pick_cube: gym.Env) -> None:
    vec_env = make_maniskill3_vec_env("PickCube-v1", 2, seed=5, max_episode_steps=3, backend="cpu")
    assert type(vec_env) is DummyVecEnv
    firsts = vec_env.reset()
    for i, first in enumerate(firsts):
        np.testing.assert_array_equal(first, pick_cube.reset(seed=5 + i)[0])
    for action in random_actions(3):
        observations, _, dones, infos = vec_env.step(np.stack([action, action]))
    assert dones.all()
    for i in range(2):
        pick_cube.reset(seed=5 + i)
        last = [pick_cube.step(action)[0] for action in random_actions(3)][-1]
        np.testing.assert_array_equal(infos[i]["terminal_observation"], last)
        np.testing.assert_array_equal(observations[i], pick_cube.reset()[0])
        assert infos[i]["TimeLimit.truncated"]
        assert (infos[i]["is_success"], infos[i]["episode"]["l"]) == (False, 3)
    vec_env.close()


@pytest.mark.usefixtures("gpu_is_the_cpu")
def test_one_simulator_for_all_gives_the_same() -> None:
    one_simulator = make_maniskill3_vec_env("PickCube-v1", 1, seed=5, max_episode_steps=4, render_backend="cpu")
    assert isinstance(one_simulator, ManiSkill3VecEnv)
    separate = make_maniskill3_vec_env("PickCube-v1", 1, seed=5, max_episode_steps=4, backend="cpu")
    np.testing.assert_array_equal(one_simulator.reset(), separate.reset())
    for i, action in enumerate(random_actions(10)):
        if i == 5:
            for vec_env in (one_simulator, separate):
                put_goal_on_cube(vec_env.envs[0])
        action = HOLD if i in (4, 5) else action
        ours, theirs = one_simulator.step(action[np.newaxis]), separate.step(action[np.newaxis])
        for mine, other in zip(ours[:3], theirs[:3], strict=True):
            np.testing.assert_array_equal(mine, other)
        for info in (ours[3][0], theirs[3][0]):
            info.get("episode", {}).pop("t", None)
        np.testing.assert_equal(ours[3], theirs[3])
        np.testing.assert_equal(one_simulator.reset_infos, separate.reset_infos)
    # By time after 4 steps, by success in the sixth, by time again
    assert ours[2][0]
    one_simulator.close()
    separate.close()


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


@pytest.mark.slow
def test_processes_give_the_same_and_end() -> None:
    many = make_maniskill3_vec_env("PushCube-v1", 1, seed=5, max_episode_steps=3, vec_env_cls=SubprocVecEnv)
    one = make_maniskill3_vec_env("PushCube-v1", 1, seed=5, max_episode_steps=3, backend="cpu")
    try:
        np.testing.assert_array_equal(one.reset(), many.reset())
        for action in random_actions(4):
            for mine, other in zip(one.step(action[np.newaxis])[:3], many.step(action[np.newaxis])[:3], strict=True):
                np.testing.assert_array_equal(mine, np.float32(other))
    finally:
        many.close()
