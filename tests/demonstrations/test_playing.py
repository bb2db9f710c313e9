import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from toy_painted_env import PaintedEnv, paint, to_the_middle

from sb3_rpd import TeacherActionWrapper
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.demonstrations import ActionNoise
from sb3_rpd.demonstrations.playing import Player
from sb3_rpd.teachers import make_teacher


def play(env, level=0.0, attempt=0, seed=0, teacher=to_the_middle, **kwargs):
    player = Player(env, None if teacher is None else make_teacher(teacher), **kwargs)
    return player.play(level, recording=0, attempt=attempt, seed=seed)


def test_an_episode_is_what_happened():
    env = PaintedEnv()
    episode = play(env)
    positions = episode.vectors["state"].astype(np.float64)
    np.testing.assert_allclose(episode.actions[:, :2], np.clip(-2.5 * positions, -1, 1), atol=1e-6)
    np.testing.assert_array_equal(episode.actions[:, 2], -1)
    np.testing.assert_array_equal(episode.executed_actions, episode.actions)
    # the next position is that to which the action leads
    np.testing.assert_allclose(positions[1:], positions[:-1] + 0.2 * episode.actions[:-1, :2], atol=1e-6)
    after = positions + 0.2 * episode.actions[:, :2]
    np.testing.assert_allclose(episode.rewards, -np.abs(after).max(axis=1), atol=1e-6)
    np.testing.assert_array_equal(episode.successes, np.abs(after).max(axis=1) < 0.1)
    np.testing.assert_array_equal(episode.images["frame"], [paint(position) for position in positions.astype(np.float32)])
    assert episode.dones.tolist() == [False] * (len(episode) - 1) + [True]
    assert (episode.success, episode.length, episode.instruction) == (True, len(episode), "go to the middle")
    # the same environment, from the seed that is written down
    np.testing.assert_array_equal(PaintedEnv().reset(seed=episode.seed)[0], episode.vectors["state"][0])


def test_noise_acts_and_the_clean_action_is_the_label():
    episode = play(PaintedEnv(), level=0.5, noise=ActionNoise((0.5,)))
    positions = episode.vectors["state"].astype(np.float64)
    np.testing.assert_allclose(episode.actions[:, :2], np.clip(-2.5 * positions, -1, 1), atol=1e-6)
    np.testing.assert_allclose(positions[1:], positions[:-1] + 0.2 * episode.executed_actions[:-1, :2], atol=1e-6)
    assert np.abs(episode.executed_actions - episode.actions).max() > 0.1
    assert episode.noise == 0.5


def test_an_episode_depends_on_its_numbers_alone():
    env = PaintedEnv()
    noise = ActionNoise((0.5,))
    first = play(env, 0.5, attempt=3, noise=noise, keep=0.5)
    play(env, 0.5, attempt=4, noise=noise)
    again, other = play(env, 0.5, attempt=3, noise=noise, keep=0.5), play(env, 0.5, attempt=3, seed=1, noise=noise)
    np.testing.assert_array_equal(first.steps, again.steps)
    np.testing.assert_array_equal(first.executed_actions, again.executed_actions)
    assert first.seed == again.seed != other.seed


def test_states_that_are_not_kept_are_not_rendered():
    env = PaintedEnv(max_steps=400)
    episode = play(env, teacher=lambda observations: np.zeros((len(observations), 3)), keep=0.25)
    assert episode.length == 400
    assert env.rendered == len(episode) == len(episode.images["frame"])
    # three standard deviations of 400 draws
    assert abs(len(episode) - 100) < 26
    assert episode.steps[0] == 0
    assert (np.diff(episode.steps) > 0).all()
    all_of_it = play(PaintedEnv(400), teacher=lambda observations: np.zeros((len(observations), 3)))
    np.testing.assert_array_equal(all_of_it.vectors["state"][episode.steps], episode.vectors["state"])


def test_the_chance_to_be_kept_may_depend_on_the_state():
    episode = play(PaintedEnv(), level=0.5, noise=ActionNoise((0.5,)), keep=lambda env: float(env.steps % 2 == 0))
    assert episode.steps.tolist() == list(range(0, episode.length, 2))


def test_a_whole_episode_has_the_state_after_the_last_action():
    episode = play(PaintedEnv(), whole=True)
    assert len(episode.vectors["state"]) == len(episode) + 1
    assert np.abs(episode.vectors["state"][-1]).max() < 0.1


def test_a_teacher_sees_what_the_wrapper_offers_and_its_instruction_is_recorded():
    asked = []

    def teach(observations, instructions):
        asked.append((observations, instructions))
        return to_the_middle(observations["where"])

    env = TeacherActionWrapper(PaintedEnv(), observation={"where": lambda env: env.position}, instruction="middle!")
    episode = play(env, teacher=teach)
    assert episode.instruction == "middle!"
    assert asked[0][1] == ["middle!"]
    np.testing.assert_array_equal([observations["where"][0] for observations, _ in asked], episode.vectors["state"])


def test_a_controller_in_the_environment_needs_no_teacher():
    env = TeacherActionWrapper(PaintedEnv(), controller=lambda env: to_the_middle(env.position[np.newaxis])[0])
    np.testing.assert_allclose(play(env, teacher=None).actions, play(PaintedEnv()).actions, atol=1e-6)


def test_without_teacher_and_controller_nobody_acts():
    with pytest.raises(TeacherError, match="no teacher, and the environments have no controller"):
        play(PaintedEnv(), teacher=None)


def test_a_teacher_without_an_answer_is_named():
    with pytest.raises(TeacherError, match=r"cannot act alone: 1 of 1 answers"):
        play(PaintedEnv(), teacher=lambda observations: np.full((len(observations), 3), np.nan))


def test_an_environment_without_instruction_needs_one(monkeypatch):
    monkeypatch.delattr(PaintedEnv, "instruction")
    with pytest.raises(ValueError, match=r"record\(instruction=...\)"):
        play(PaintedEnv())
    assert play(PaintedEnv(), instruction="go").instruction == "go"


class Choosing(gym.ActionWrapper):
    action_space = spaces.Discrete(3)

    def action(self, action):
        # as a key, too
        return {1: np.zeros(3, np.float32), 2: np.array([1, 0, 0], np.float32)}[action]


def test_integers_act_as_integers():
    episode = play(Choosing(PaintedEnv(5)), teacher=lambda observations: np.full(len(observations), 2))
    assert episode.actions.dtype == np.int64
    assert episode.actions.tolist() == [[2]] * 5
