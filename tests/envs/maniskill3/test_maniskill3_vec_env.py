"""
Several environments in one simulator, as Stable-Baselines3 sees them (sb3_rpd/envs/maniskill3/vec_env.py and env.py), by a
stand-in for the simulator. ``real_maniskill3.py`` has the real one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stand_in import StandIn, frame_of

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.envs import StepCostWrapper, camera_frame, human_frame
from sb3_rpd.envs.downscaling import Downscaling
from sb3_rpd.envs.maniskill3.env import EnvSettings, ManiSkill3Env
from sb3_rpd.envs.maniskill3.simulation import Simulation
from sb3_rpd.envs.maniskill3.vec_env import ManiSkill3VecEnv
from sb3_rpd.teachers import FunctionTeacher

NEVER = 10_000


def make(
    solved_after: Sequence[int],
    *,
    obs: str = "state",
    limit: int = 5,
    end_on_success: bool = True,
    downscaling: Downscaling | None = None,
    wrap: Callable[[gym.Env], gym.Env] = lambda env: env,
    seed: int | None = 0,
) -> tuple[ManiSkill3VecEnv, Any]:
    """The vectorized environment, and the stand-in in it."""
    simulation = Simulation(StandIn(list(solved_after), shows_state=obs == "state"))
    size = (4, 5) if downscaling is None else downscaling.new_size
    settings = EnvSettings(obs, "human", size, downscaling, "count", "dense", end_on_success, "rgb_array")

    def make_one(index: int) -> gym.Env:
        return Monitor(wrap(gym.wrappers.TimeLimit(ManiSkill3Env(simulation, index, settings), limit)))

    vec_env = ManiSkill3VecEnv([lambda i=i: make_one(i) for i in range(len(solved_after))], simulation)
    vec_env.seed(seed)
    return vec_env, simulation.simulator


def random_actions(n_envs: int, n_steps: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (n_steps, n_envs, 2)).astype(np.float32)


@given(solved_after=st.lists(st.integers(1, 8), min_size=1, max_size=4), limit=st.integers(1, 6))
def test_each_environment_is_one_of_its_own(solved_after: list[int], limit: int) -> None:
    """Against environments that are stepped one by one, by hand."""
    vec_env, simulator = make(solved_after, limit=limit)
    n_envs = len(solved_after)
    observations = vec_env.reset()
    steps, sums, returns = np.zeros(n_envs, int), np.zeros(n_envs, np.float32), np.zeros(n_envs)
    drawn = observations[:, 0].copy()
    for actions in random_actions(n_envs, 12):
        observations, rewards, dones, infos = vec_env.step(actions)
        for i in range(n_envs):
            steps[i] += 1
            sums[i] += actions[i].sum(dtype=np.float32)
            returns[i] += sums[i] / 10
            last = np.array([drawn[i], steps[i], sums[i]], np.float32)
            is_solved, is_over = steps[i] == solved_after[i], steps[i] == limit
            assert rewards[i] == pytest.approx(sums[i] / 10, abs=1e-6)
            assert dones[i] == (is_solved or is_over)
            assert infos[i]["TimeLimit.truncated"] == (is_over and not is_solved)
            assert infos[i]["is_success"] is bool(is_solved)
            assert infos[i]["steps"] == steps[i]
            assert not {"progress", "reconfigure"} & infos[i].keys()
            assert ("episode" in infos[i]) == ("terminal_observation" in infos[i]) == dones[i]
            if not dones[i]:
                np.testing.assert_allclose(observations[i], last, atol=1e-6)
                continue
            np.testing.assert_allclose(infos[i]["terminal_observation"], last, atol=1e-6)
            assert infos[i]["episode"]["l"] == steps[i]
            assert infos[i]["episode"]["r"] == pytest.approx(returns[i], abs=1e-5)
            np.testing.assert_array_equal(observations[i, 1:], [0, 0])
            drawn[i], steps[i], sums[i], returns[i] = observations[i, 0], 0, 0, 0
        if dones.any():
            assert simulator.resets[-1] == np.flatnonzero(dones).tolist()


def test_what_was_given_out_is_not_written_over() -> None:
    vec_env, _ = make([2, NEVER], limit=NEVER)
    given_out = [vec_env.reset()]
    for actions in random_actions(2, 2):
        observations, _, _, infos = vec_env.step(actions)
        given_out += [observations, infos[0]["steps"], infos[0].get("terminal_observation", np.zeros(3))]
    kept = [np.array(array) for array in given_out]
    for actions in random_actions(2, 4):
        vec_env.step(actions)
    for array, before in zip(given_out, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def episodes(seed: int | None, n_steps: int = 12) -> np.ndarray:
    vec_env, _ = make([2, 3, NEVER], seed=seed)
    starts = [vec_env.reset()]
    for actions in random_actions(3, n_steps):
        th.rand(1)  # what a student draws
        starts.append(vec_env.step(actions)[0])
    return np.array(starts)


def test_a_seed_decides_all_episodes() -> None:
    one = episodes(7)
    th.manual_seed(1)
    np.testing.assert_array_equal(one, episodes(7))
    assert not np.array_equal(one, episodes(8))
    assert not np.array_equal(episodes(None), episodes(None))
    # The environments' first episodes, and those of the first environment: each its own
    assert len(set(one[0, :, 0])) == 3
    assert len(set(one[:, 0, 0])) == 1 + 12 // 2


def test_each_environment_has_the_next_seed() -> None:
    vec_env, simulator = make([NEVER] * 3, seed=40)
    vec_env.reset()
    assert simulator.seeds == [[40, 41, 42]]
    vec_env.reset()
    assert simulator.seeds[-1] == np.random.default_rng([40, 41, 42]).integers(2**31, size=3).tolist()
    assert simulator.resets[-1] == [0, 1, 2]


def test_success_need_not_end_an_episode() -> None:
    vec_env, _ = make([2], limit=3, end_on_success=False)
    vec_env.reset()
    seen = [vec_env.step(actions)[2:] for actions in random_actions(1, 3)]
    assert [(dones[0], infos[0]["is_success"], infos[0]["TimeLimit.truncated"]) for dones, infos in seen] == [
        (False, False, False),
        (False, True, False),
        (True, False, True),
    ]


def test_a_reward_wrapper_goes_around_each_environment() -> None:
    vec_env, _ = make([2, 4], wrap=lambda env: StepCostWrapper(env, max_reward=1.0))
    vec_env.reset()
    push = np.full((2, 2), 0.5, np.float32)
    # They are paid 0.1 and 0.2, and the first one is solved in the second step
    np.testing.assert_allclose([vec_env.step(push)[1] for _ in range(2)], [[-0.9, -0.9], [0.0, -0.8]], atol=1e-6)


def test_attributes_methods_and_wrappers() -> None:
    vec_env, simulator = make([NEVER, NEVER], wrap=lambda env: TeacherActionWrapper(env, observation={"frame": human_frame}))
    vec_env.reset()
    assert vec_env.get_attr("instruction") == ["count", "count"]
    assert vec_env.get_attr("index", [1]) == [1]
    assert vec_env.get_attr("simulator") == [simulator, simulator]
    vec_env.set_attr("instruction", "count on", indices=[1])
    assert vec_env.get_attr("instruction") == ["count", "count on"]
    assert vec_env.env_is_wrapped(Monitor) == vec_env.env_is_wrapped(TeacherActionWrapper) == [True, True]
    assert vec_env.env_is_wrapped(StepCostWrapper) == [False, False]
    np.testing.assert_array_equal(vec_env.env_method("camera_frame", indices=[0])[0], frame_of(vec_env.buf_obs[None][0]))
    assert [set(info) for info in vec_env.reset_infos] == [{"success", "steps", "is_success", "teacher"}] * 2
    vec_env.close()
    assert simulator.n_closed == 1


def test_frames_are_rendered_once_for_all() -> None:
    vec_env, simulator = make([2, NEVER], obs="rgb")
    images = vec_env.reset()
    before = simulator.n_frames
    frames = vec_env.get_images()
    assert vec_env.render_mode == "rgb_array"
    assert simulator.n_frames == before
    np.testing.assert_array_equal(images, frames)
    np.testing.assert_array_equal(images, [frame_of(state) for state in simulator.state])
    _, _, _, _ = vec_env.step(np.ones((2, 2), np.float32))
    images, _, dones, infos = vec_env.step(np.ones((2, 2), np.float32))
    assert dones.tolist() == [True, False]
    np.testing.assert_array_equal(infos[0]["terminal_observation"][..., 1:], np.broadcast_to([20, 40], (4, 5, 2)))
    np.testing.assert_array_equal(images, [frame_of(state) for state in simulator.state])
    # One for each step, and one for the first state of the new episode
    assert simulator.n_frames == before + 3


def test_a_student_sees_the_frames_scaled_down() -> None:
    vec_env, _ = make([NEVER], obs="rgb", downscaling=Downscaling((4, 5), (2, 5)))
    assert vec_env.observation_space.shape == (2, 5, 3)
    images = vec_env.reset()
    np.testing.assert_array_equal(images[0], vec_env.get_images()[0][:2])
    np.testing.assert_array_equal(camera_frame(vec_env.envs[0]), images[0])


def test_a_wrapper_that_changes_actions_is_refused() -> None:
    vec_env, _ = make([NEVER], wrap=lambda env: gym.wrappers.TransformAction(env, lambda a: -a, env.action_space))
    vec_env.reset()
    with pytest.raises(ValueError, match=r"cannot change its actions.*VecEnvWrapper.*backend='cpu'"):
        vec_env.step(np.ones((1, 2), np.float32))


def test_reset_options_are_refused() -> None:
    vec_env, _ = make([NEVER])
    vec_env.set_options({"reconfigure": True})
    with pytest.raises(ValueError, match="options are for a whole simulator"):
        vec_env.reset()


@pytest.mark.parametrize("label_every", [1, 3])
def test_labels_are_of_the_states_that_the_student_visits(label_every: int) -> None:
    """The teacher answers with the frame that it sees, so that each label tells which state it is of."""

    def look(observations: dict[str, np.ndarray]) -> np.ndarray:
        return observations["frame"][:, 0, 0, :2].astype(np.float32) / 255

    vec_env, _ = make([2, 3, NEVER], wrap=lambda env: TeacherActionWrapper(env, observation={"frame": human_frame}))
    model = RPD(
        "MlpPolicy", vec_env, teacher=FunctionTeacher(look), n_steps=20, batch_size=30, n_epochs=1, seed=0, device="cpu",
        label_every=label_every,
    )  # fmt: skip
    for _ in range(2):
        model.learn(60, reset_num_timesteps=False)
        buffer = model.rollout_buffer
        states = buffer.observations.reshape(3, 20, 3).swapaxes(0, 1)
        has_label = ~np.isnan(buffer.teacher_actions[..., 0])
        assert has_label.sum() >= 60 // label_every
        # What is drawn differs from episode to episode, and the second number counts steps
        expected = np.rint(states[..., :2] * 10) / np.float32(255)
        np.testing.assert_allclose(buffer.teacher_actions[has_label], expected[has_label], atol=1e-6)
        assert has_label.all() == (label_every == 1)


def test_ppo_counts_episodes_and_successes() -> None:
    vec_env, _ = make([2, NEVER], limit=4)
    model = PPO("MlpPolicy", vec_env, n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu").learn(16)
    # In each four steps the first environment ends twice, and the second once, after the first
    assert list(model.ep_success_buffer) == [True, True, False, True, True, False]
    assert [episode["l"] for episode in model.ep_info_buffer] == [2, 2, 4, 2, 2, 4]
