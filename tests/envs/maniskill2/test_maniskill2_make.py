"""The ManiSkill2 environments as Stable-Baselines3 sees them (sb3_rpd/envs/maniskill2/make.py and its wrapper)."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_rpd.envs import ASSET_FREE_TASKS, INSTRUCTIONS, make_maniskill2_env, make_maniskill2_vec_env
from sb3_rpd.envs.maniskill2.installation import import_maniskill2
from sb3_rpd.envs.maniskill2.physics_only import physics_only

pytestmark = pytest.mark.maniskill2

#: Joint positions and velocities (9 each), base pose and tcp pose (7 each).
ROBOT_STATE = 9 + 9 + 7 + 7
STATE_SIZES = {
    "LiftCube-v0": ROBOT_STATE + 7 + 3,  # cube pose, tcp to cube
    "PickCube-v0": ROBOT_STATE + 3 + 3 + 7 + 3 + 3,  # goal, tcp to goal, cube pose, tcp to cube, cube to goal
    "StackCube-v0": ROBOT_STATE + 7 + 7 + 3 + 3 + 3,  # two cube poses, tcp to each, one to the other
    "PegInsertionSide-v0": ROBOT_STATE + 7 + 3 + 7 + 1,  # peg pose and half size, hole pose and radius
    "PlugCharger-v0": ROBOT_STATE + 7 + 7 + 7,  # charger, receptacle and goal pose
}


def make_bare_env(task: str, reward_mode: str = "normalized_dense") -> gym.Env:
    import_maniskill2()
    with physics_only():
        return gym.make(task, obs_mode="state", control_mode="pd_ee_delta_pose", reward_mode=reward_mode)


#: ManiSkill2's dense reward is warned of, which is tested in test_rewards.py.
OWN_REWARD_IS_MEANT = pytest.mark.filterwarnings("ignore:reward=.maniskill2_dense. pays:UserWarning")


def random_actions(steps: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (steps, 7)).astype(np.float32)


def lift_the_cube(env: gym.Env) -> None:
    """Put LiftCube's cube so high that the next step ends in success: the fall of one control step does not matter."""
    import sapien.core as sapien

    env.unwrapped.obj.set_pose(sapien.Pose([0.3, 0.3, 0.6]))


@pytest.mark.parametrize("task", ASSET_FREE_TASKS)
def test_spaces(task: str) -> None:
    env = make_maniskill2_env(task)
    check_env(env)
    assert env.observation_space == spaces.Box(-np.inf, np.inf, (STATE_SIZES[task],), np.float32)
    assert env.action_space == spaces.Box(-1, 1, (7,), np.float32)
    assert env.get_wrapper_attr("instruction") == INSTRUCTIONS[task]
    env.close()


@OWN_REWARD_IS_MEANT
@pytest.mark.parametrize("task", ASSET_FREE_TASKS)
def test_each_step_is_the_bare_environments(task: str) -> None:
    bare, ours = make_bare_env(task), make_maniskill2_env(task, reward="maniskill2_dense")
    for seed in (7, None):  # the second episode follows from the first one's seed
        observations = bare.reset(seed=seed)[0], ours.reset(seed=seed)[0]
        np.testing.assert_array_equal(observations[0].astype(np.float32), observations[1])
        for action in random_actions(25):
            expected, got = bare.step(action), ours.step(action)
            np.testing.assert_array_equal(expected[0].astype(np.float32), got[0])
            assert expected[1:4] == got[1:4]
            assert got[4].pop("is_success") is bool(expected[4]["success"])
            np.testing.assert_equal(got[4], expected[4])


@OWN_REWARD_IS_MEANT
@pytest.mark.parametrize(
    ("reward", "reward_mode", "on_success"),
    [("dense", "normalized_dense", 0.0), ("maniskill2_dense", "normalized_dense", 1.0), ("sparse", "sparse", 1.0)],
)
def test_success_ends_the_episode(reward: str, reward_mode: str, on_success: float) -> None:
    bare, ours = make_bare_env("LiftCube-v0", reward_mode), make_maniskill2_env("LiftCube-v0", reward=reward)
    hold = np.zeros(7, np.float32)
    for env in (bare, ours):
        env.reset(seed=0)
        _, before, terminated, _, info = env.step(hold)
        assert before < 0.5
        assert not terminated
        assert not info["success"]
        lift_the_cube(env)
    expected, got = bare.step(hold), ours.step(hold)
    assert expected[1] == 1.0
    assert got[1] == on_success
    assert got[2] is expected[2] is True
    assert got[4]["is_success"] is True


@pytest.mark.parametrize(("reward", "on_success"), [("dense", 0.0), ("maniskill2_dense", 1.0), ("sparse", 1.0)])
def test_success_need_not_end_the_episode(reward: str, on_success: float) -> None:
    ours = make_maniskill2_env("LiftCube-v0", reward=reward, end_on_success=False, max_episode_steps=4)
    hold = np.zeros(7, np.float32)
    ours.reset(seed=0)
    ends, successes = [], []
    for _ in range(4):
        lift_the_cube(ours)
        _, got, terminated, truncated, info = ours.step(hold)
        assert got == on_success
        ends.append((terminated, truncated))
        successes.append(info["is_success"])
    assert successes == [True] * 4
    assert ends == [(False, False)] * 3 + [(False, True)]


def test_sparse_reward_is_zero_before_success() -> None:
    env = make_maniskill2_env("PickCube-v0", reward="sparse")
    env.reset(seed=0)
    assert [env.step(action)[1] for action in random_actions(10)] == [0.0] * 10


def test_time_limit() -> None:
    env = make_maniskill2_env("LiftCube-v0", max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(action)[3] for action in random_actions(3)] == [False, False, True]
    assert env.spec.max_episode_steps == 3
    assert make_maniskill2_env("LiftCube-v0").spec.max_episode_steps == 200


def test_options_reach_maniskill2() -> None:
    env = make_maniskill2_env("LiftCube-v0", control_mode="pd_ee_delta_pos", control_freq=10)
    assert env.action_space.shape == (4,)
    assert env.unwrapped.control_freq == 10


def test_wrap_is_outermost_and_instruction_can_be_overridden() -> None:
    env = make_maniskill2_env(
        "LiftCube-v0", instruction="raise it", wrap=lambda inner: gym.wrappers.TransformReward(inner, lambda r: r - 7.0)
    )
    assert isinstance(env, gym.wrappers.TransformReward)
    assert env.get_wrapper_attr("instruction") == "raise it"
    env.reset(seed=0)
    plain = make_maniskill2_env("LiftCube-v0")
    plain.reset(seed=0)
    hold = np.zeros(7, np.float32)
    assert env.step(hold)[1] == plain.step(hold)[1] - 7.0


def test_unseeded_environments_play_different_episodes() -> None:
    first, second = make_maniskill2_env("PickCube-v0"), make_maniskill2_env("PickCube-v0")
    starts = [env.reset()[0] for env in (first, second, first, second)]
    assert len({start.tobytes() for start in starts}) == 4


def test_a_seed_decides_all_further_episodes() -> None:
    first, second = make_maniskill2_env("PickCube-v0"), make_maniskill2_env("PickCube-v0")
    second.reset()  # the past does not matter
    starts = [[env.reset(seed=3)[0], env.reset()[0], env.reset()[0]] for env in (first, second)]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert len({start.tobytes() for start in starts[0]}) == 3


def test_vec_env_seeds_each_environment_with_its_own() -> None:
    vec_env = make_maniskill2_vec_env("PickCube-v0", 3, seed=40)
    single = make_maniskill2_env("PickCube-v0")
    np.testing.assert_array_equal(vec_env.reset(), [single.reset(seed=40 + index)[0] for index in range(3)])
    unseeded = make_maniskill2_vec_env("PickCube-v0", 2)
    assert not np.array_equal(*unseeded.reset())


def test_terminal_observation_is_the_old_episodes_last() -> None:
    vec_env = make_maniskill2_vec_env("PickCube-v0", 2, seed=0, max_episode_steps=4)
    vec_env.reset()
    bare = [make_bare_env("PickCube-v0"), make_bare_env("PickCube-v0")]
    for index, env in enumerate(bare):
        env.reset(seed=index)
    for action in random_actions(4):
        last = [env.step(action)[0] for env in bare]
        observations, _, dones, infos = vec_env.step(np.stack([action, action]))
    assert dones.all()
    for index, env in enumerate(bare):
        np.testing.assert_array_equal(infos[index]["terminal_observation"], np.float32(last[index]))
        assert infos[index]["TimeLimit.truncated"]
        np.testing.assert_array_equal(observations[index], np.float32(env.reset()[0]))


@pytest.mark.slow
def test_subprocesses_give_the_same_as_one_process() -> None:
    one = make_maniskill2_vec_env("LiftCube-v0", 2, seed=5, max_episode_steps=6)
    many = make_maniskill2_vec_env("LiftCube-v0", 2, seed=5, max_episode_steps=6, vec_env_cls=SubprocVecEnv)
    assert isinstance(one, DummyVecEnv)
    try:
        np.testing.assert_array_equal(one.reset(), many.reset())
        for action in random_actions(9):
            expected, got = one.step(np.stack([action, -action])), many.step(np.stack([action, -action]))
            np.testing.assert_array_equal(expected[0], got[0])
            np.testing.assert_array_equal(expected[1], np.float32(got[1]))  # DummyVecEnv keeps rewards in float32
            np.testing.assert_array_equal(expected[2], got[2])
    finally:
        many.close()


def test_ppo_counts_successes() -> None:
    def lift_after_reset(env: gym.Env) -> gym.Env:
        class Lifted(gym.Wrapper):
            def reset(self, **kwargs):
                result = self.env.reset(**kwargs)
                lift_the_cube(self)
                return result

        return Lifted(env)

    vec_env = make_maniskill2_vec_env("LiftCube-v0", 2, seed=0, max_episode_steps=5, wrap=lift_after_reset)
    model = PPO("MlpPolicy", vec_env, n_steps=10, batch_size=20, n_epochs=1, seed=0, device="cpu")
    model.policy.mlp_extractor.requires_grad_(False)
    model.policy.action_net.weight.data.zero_()
    model.policy.log_std.data.fill_(-20.0)  # the robot stands still, so that each first step is a success
    model.learn(20)
    assert list(model.ep_success_buffer) == [True] * 20


def test_unknown_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"no task \"PickCube-v9\".*PickCube-v0.*TurnFaucet-v0"):
        make_maniskill2_env("PickCube-v9")
    with pytest.raises(ValueError, match="obs must be one of 'state', 'rgb', 'rgb\\+state'; got 'rgbd'"):
        make_maniskill2_env("PickCube-v0", "rgbd")
    with pytest.raises(ValueError, match="reward must be one of 'dense', 'sparse', 'maniskill2_dense'; got 'shaped'"):
        make_maniskill2_env("PickCube-v0", reward="shaped")
    with pytest.raises(ValueError, match="render_mode must be one of None, 'rgb_array'; got 'human'"):
        make_maniskill2_env("PickCube-v0", render_mode="human")


@pytest.mark.parametrize("make", [make_maniskill2_env, make_maniskill2_vec_env])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward_mode": "sparse"}, "reward_mode= is ManiSkill2's own option, which reward= sets here"),
        ({"obs_mode": "state_dict"}, "obs_mode= is ManiSkill2's own option, which obs= sets here"),
        ({"render_camera_cfgs": {"width": 64}}, "render_camera_cfgs sets 'width', which image_size="),
        ({"camera_cfgs": {"base_camera": {"height": 64}}}, "camera_cfgs sets 'height', which image_size="),
    ],
)
def test_other_names_are_refused(make: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("PickCube-v0", **options)


def test_subprocess_errors_show_in_this_process() -> None:
    with pytest.raises(FileNotFoundError, match="download_asset TurnFaucet-v0"):
        make_maniskill2_vec_env("TurnFaucet-v0", 2, vec_env_cls=SubprocVecEnv)
    with pytest.raises(ValueError, match="which reward= sets here"):
        make_maniskill2_vec_env("PickCube-v0", 2, vec_env_cls=SubprocVecEnv, reward_mode="dense")
    with pytest.raises(ValueError, match="forkserver"):
        make_maniskill2_vec_env("PickCube-v0", vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "fork"})
