"""
ManiSkill3's environments as Stable-Baselines3 sees them, with the real simulator: `make test-maniskill3`.

It has an environment of its own, since it cannot be installed beside ManiSkill2.
"""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.envs import (
    PAPER_TASKS,
    CubeState,
    make_maniskill3_env,
    make_maniskill3_vec_env,
    privileged_state,
    proprioception,
    task_instruction,
)
from sb3_rpd.envs.maniskill3 import INSTRUCTIONS, recipe
from sb3_rpd.envs.maniskill3.tasks import HOVERING_REWARDS
from sb3_rpd.envs.maniskill3.vec_env import ManiSkill3VecEnv
from sb3_rpd.teachers import FunctionTeacher, ScriptedTeacher

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


@pytest.fixture(scope="module")
def pick_cube() -> Iterator[gym.Env]:
    env = make_maniskill3_env("PickCube-v1")
    yield env
    env.close()


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


@pytest.fixture
def one_simulator(monkeypatch: pytest.MonkeyPatch) -> VecEnv:
    """What a machine with a GPU makes, with the physics on the CPU, where one environment is all that ManiSkill3 has."""
    monkeypatch.setattr(th.cuda, "is_available", lambda: True)
    monkeypatch.setitem(recipe._SIM_BACKENDS, "gpu", "physx_cpu")
    return make_maniskill3_vec_env("PickCube-v1", 1, seed=5, max_episode_steps=4, render_backend="cpu")


def test_one_simulator_for_all_gives_the_same(one_simulator: VecEnv) -> None:
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


# ------------------------------------------------------------------ what a teacher sees


def test_sources_are_what_the_state_says(pick_cube: gym.Env) -> None:
    pick_cube.reset(seed=2)
    for action in random_actions(3):
        observation = pick_cube.step(action)[0]
    positions, velocities, grasped, hand, goal, cube = np.split(observation, [9, 18, 19, 26, 29])
    np.testing.assert_array_equal(proprioception(pick_cube), np.hstack([positions, velocities, hand]))
    state = CubeState.unpack(privileged_state(pick_cube))
    np.testing.assert_array_equal(np.hstack([state.tcp_position, state.tcp_quaternion]), hand)
    np.testing.assert_array_equal(state.finger_positions, positions[7:])
    np.testing.assert_array_equal(state.joint_velocities, velocities)
    np.testing.assert_array_equal(np.hstack([state.cube_position, state.cube_quaternion]), cube[:7])
    np.testing.assert_array_equal(state.goal_position, goal)
    assert (state.is_grasped, state.acts_by_delta_pose) == (grasped[0], 1) == (0, 1)


def test_the_stack_and_tasks_without_a_privileged_state() -> None:
    env = make_maniskill3_env("StackCube-v1", control_mode="pd_joint_delta_pos", instruction="build a tower")
    observation, _ = env.reset(seed=0)
    state = CubeState.unpack(privileged_state(env))
    np.testing.assert_array_equal(np.hstack([state.cube_position, state.cube_quaternion]), observation[25:32])
    np.testing.assert_allclose(state.goal_position, observation[32:35] + np.array([0, 0, 0.04]), atol=1e-7)
    assert state.acts_by_delta_pose == 0
    assert task_instruction(env) == "build a tower"
    env.close()
    other = make_maniskill3_env("RollBall-v1")
    with pytest.raises(ValueError, match="knows PickCube-v1 and StackCube-v1, not RollBallEnv"):
        privileged_state(other)
    other.close()


def test_rpd_trains_with_the_labels_of_the_states_that_it_visits(one_simulator: VecEnv) -> None:
    """The teacher answers with the cube's pose, which the student's observation has too."""

    def show_teacher(env: gym.Env) -> TeacherActionWrapper:
        return TeacherActionWrapper(env, observation={"privileged": privileged_state}, instruction=task_instruction)

    told = []

    def answer(observations: dict[str, np.ndarray], instructions: Any) -> np.ndarray:
        told.extend(instructions)
        return observations["privileged"][:, 9:16]

    one_simulator.close()
    for backend in ("cpu", "gpu"):
        vec_env = make_maniskill3_vec_env(
            "PickCube-v1", 1, seed=0, max_episode_steps=7, backend=backend, wrap=show_teacher, render_backend="cpu"
        )
        model = RPD(
            "MlpPolicy", vec_env, teacher=FunctionTeacher(answer), n_steps=50, batch_size=25, n_epochs=2, seed=0, device="cpu"
        )
        model.learn(100)
        states, labels = model.rollout_buffer.observations.reshape(50, 42), model.rollout_buffer.teacher_actions[:, 0]
        np.testing.assert_allclose(labels, np.clip(states[:, 29:36], -1, 1), atol=1e-6)
        # The second half of 14 episodes, each with the cube elsewhere
        assert len(np.unique(states[::7, 29])) > 5
        vec_env.close()
    assert set(told) == {"pick up the cube"}


@pytest.mark.parametrize("task", ["PickCube-v1", "StackCube-v1"])
def test_the_scripted_teacher_solves_it(task: str) -> None:
    env, teacher = make_maniskill3_env(task), ScriptedTeacher(task)
    teacher.setup(env.action_space)
    env.reset(seed=0)
    for _ in range(3):
        ended = False
        while not ended:
            _, _, terminated, truncated, info = env.step(teacher.predict({"privileged": privileged_state(env)[np.newaxis]})[0])
            ended = terminated or truncated
        assert info["is_success"]
        env.reset()
    env.close()


# ------------------------------------------------------------------ rewards


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


# ------------------------------------------------------------------ what is refused


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
