"""Under the default reward success is the best; what ManiSkill2's own pays for hovering (envs/maniskill2/rewards.py)."""

import itertools
import warnings
from fractions import Fraction
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_rpd.envs import ASSET_FREE_TASKS, StepCostWrapper, make_maniskill2_env, make_maniskill2_vec_env
from sb3_rpd.envs.maniskill2.rewards import HOVERING_REWARDS, MAX_DENSE_REWARD, failure_reward

# exact: small powers of gamma would be lost in a sum of floats
GAMMAS = [Fraction(thousandths, 1000) for thousandths in (10, 300, 400, 410, 500, 800, 900, 990, 999, 1000)]
TIME_LIMITS = (1, 2, 3, 20, 100, 200, 500)
HOVERING = {task: Fraction(reward).limit_denominator(1000) for task, reward in HOVERING_REWARDS.items()}


def repeated(reward: Fraction, steps: int, gamma: Fraction) -> Fraction:
    """The discounted sum of a reward that is paid in so many steps."""
    return reward * steps if gamma == 1 else reward * (1 - gamma**steps) / (1 - gamma)


def test_every_asset_free_task_is_known() -> None:
    assert set(HOVERING_REWARDS) == set(ASSET_FREE_TASKS)
    assert max(HOVERING_REWARDS.values()) <= MAX_DENSE_REWARD


@pytest.mark.parametrize("task", ASSET_FREE_TASKS)
def test_success_is_the_best_under_the_default_reward(task: str) -> None:
    """Hovering at the most that the task pays for it until the time limit, against success at each step before."""
    cost = HOVERING[task] - 1
    for gamma, steps in itertools.product(GAMMAS, TIME_LIMITS):
        hovering = repeated(cost, steps, gamma)
        succeeding = [repeated(cost, k, gamma) for k in range(steps)]  # and 0 for success itself
        assert min(succeeding) >= hovering
        assert succeeding == sorted(succeeding, reverse=True)
        if task != "LiftCube-v0":  # there the bound itself is approached, but not reached
            assert min(succeeding) > hovering


def quietly(task: str, **kwargs: Any) -> gym.Env:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_maniskill2_env(task, reward="maniskill2_dense", **kwargs)


class NearlySolved:
    """Puts a task into random states that are close to its solution, the object in the fingers; some of them are solved."""

    def __init__(self, env: gym.Env, seed: int) -> None:
        self.bare: Any = env.unwrapped
        self.rng = np.random.default_rng(seed)

    def near(self, scale: float, *, straight: bool) -> Any:
        import sapien.core as sapien

        axis, angle = self.rng.normal(size=3), 0.0 if straight else self.rng.normal() * scale * 5
        turn = np.r_[np.cos(angle / 2), axis / np.linalg.norm(axis) * np.sin(angle / 2)]
        return sapien.Pose(self.rng.normal(size=3) * (0 if straight else scale), turn)

    def shuffle(self) -> None:
        import sapien.core as sapien

        scale = 10.0 ** self.rng.uniform(-5, -1)
        self.bare.agent.robot.set_qvel(np.ones(9))  # PickCube and LiftCube are solved by a robot at rest only
        look_down = sapien.Pose(q=[0, 1, 0, 0])
        grasped = self.bare.tcp.pose * look_down * self.near(scale, straight=self.rng.random() < 0.5)
        getattr(self, type(self.bare).__name__)(grasped, scale)

    def PickCubeEnv(self, grasped: Any, scale: float) -> None:
        self.bare.obj.set_pose(grasped)
        self.bare.goal_pos = grasped.p + self.rng.normal(size=3) * scale

    def LiftCubeEnv(self, grasped: Any, scale: float) -> None:
        self.bare.obj.set_pose(grasped)
        self.bare.goal_height = grasped.p[2] - 0.02 + self.rng.normal() * scale

    def StackCubeEnv(self, grasped: Any, scale: float) -> None:
        import sapien.core as sapien

        self.bare.cubeA.set_pose(grasped)
        self.bare.cubeB.set_pose(sapien.Pose(grasped.p - [0, 0, 0.04] + self.rng.normal(size=3) * scale))

    def PegInsertionSideEnv(self, grasped: Any, scale: float) -> None:
        import sapien.core as sapien

        peg = grasped * sapien.Pose([self.rng.uniform(0, 0.06), 0, 0])
        short_of_the_hole = sapien.Pose([self.rng.uniform(0.015, 0.03), 0, 0])
        goal = peg * self.near(scale, straight=self.rng.random() < 0.5) * short_of_the_hole
        self.bare.peg.set_pose(peg)
        self.bare.box.set_pose(goal * self.bare.peg_head_offset * self.bare.box_hole_offset.inv())
        self.bare.goal_pose = goal

    def PlugChargerEnv(self, grasped: Any, scale: float) -> None:
        import sapien.core as sapien

        self.bare.charger.set_pose(grasped * self.bare.charger.cmass_local_pose.inv())
        short_of_the_goal = sapien.Pose([self.rng.uniform(0.0045, 0.01), 0, 0])
        self.bare.goal_pose = self.bare.charger.pose * self.near(scale, straight=False) * short_of_the_goal


@pytest.mark.maniskill2
@pytest.mark.parametrize("task", ASSET_FREE_TASKS)
def test_the_simulator_pays_no_more_than_that_short_of_success(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = quietly(task)
    env.reset(seed=0)
    bare: Any = env.unwrapped
    monkeypatch.setattr(type(bare.agent), "check_grasp", lambda *_, **__: True)  # the most that a grasp may pay, everywhere
    states = NearlySolved(env, seed=0)
    hovering = []
    for i in range(1500):
        if i % 100 == 0:
            env.reset()
        states.shuffle()
        info = bare.get_info()
        reward = bare.compute_normalized_dense_reward(info=info, action=None)
        if info["success"]:
            assert reward == MAX_DENSE_REWARD
        else:
            hovering.append(reward)
    assert len(hovering) > 500
    assert max(hovering) <= HOVERING_REWARDS[task] + 1e-9
    assert max(hovering) >= 0.95 * HOVERING_REWARDS[task]  # the states were close enough for the bound to mean something


@pytest.mark.maniskill2
@pytest.mark.parametrize("task", ASSET_FREE_TASKS)
def test_default_reward_is_maniskill2s_minus_one(task: str) -> None:
    env, own = make_maniskill2_env(task), quietly(task)
    assert isinstance(env, StepCostWrapper)
    env.reset(seed=3)
    own.reset(seed=3)
    for action in np.random.default_rng(2).uniform(-1, 1, (20, 7)).astype(np.float32):
        reward, own_reward = env.step(action)[1], own.step(action)[1]
        assert own_reward < HOVERING_REWARDS[task]
        assert reward == own_reward - 1.0 < 0


@pytest.mark.maniskill2
@pytest.mark.parametrize("reward", ["dense", "sparse", "maniskill2_dense"])
def test_environment_reports_its_reward(reward: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        venv = make_maniskill2_vec_env(
            "LiftCube-v0", 2, reward=reward, wrap=lambda env: gym.wrappers.TransformReward(env, abs)
        )
    assert venv.get_attr("reward_mode") == [reward, reward]


@pytest.mark.slow
@pytest.mark.maniskill2
def test_environment_in_another_process_reports_its_reward() -> None:
    venv = make_maniskill2_vec_env("LiftCube-v0", 1, vec_env_cls=SubprocVecEnv)
    try:
        assert venv.get_attr("reward_mode") == ["dense"]
    finally:
        venv.close()


@pytest.mark.maniskill2
def test_maniskill2s_own_reward_is_warned_of_where_hovering_pays() -> None:
    message = r'0\.60 for each step short of success in PickCube-v0.*gamma above 0\.40.*"dense"'
    with pytest.warns(UserWarning, match=message) as told:
        make_maniskill2_env("PickCube-v0", reward="maniskill2_dense")
    assert [warning.filename for warning in told if "gamma" in str(warning.message)] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_maniskill2_env("PickCube-v0", reward="maniskill2_dense", end_on_success=False)
        make_maniskill2_env("PickCube-v0", reward="maniskill2_dense", max_episode_steps=1)
        make_maniskill2_env("PickCube-v0")
        make_maniskill2_env("PickCube-v0", reward="sparse")


@pytest.mark.maniskill2
def test_a_crash_costs_as_much_as_waiting_for_the_time_limit() -> None:
    assert failure_reward(make_maniskill2_env("LiftCube-v0", max_episode_steps=70)) == -70.0


@pytest.mark.maniskill2
def test_a_task_of_ones_own_needs_no_time_limit() -> None:
    from mani_skill2.envs.pick_and_place.pick_cube import LiftCubeEnv
    from mani_skill2.utils.registration import REGISTERED_ENVS, register_env

    name = "LiftCubeWithoutLimit-v0"
    if name not in REGISTERED_ENVS:
        register_env(name)(type("LiftCubeWithoutLimit", (LiftCubeEnv,), {}))
    assert failure_reward(make_maniskill2_env(name)) is None
    with pytest.warns(UserWarning, match=f"up to 1.00 for each step short of success in {name}"):
        make_maniskill2_env(name, reward="maniskill2_dense")
