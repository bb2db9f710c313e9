"""The callback between SB3's collect_rollouts, the caller's callback and the labeling."""

from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import naming_env

from sb3_rpd.common.buffers import give_room_for_labels
from sb3_rpd.common.callbacks import CollectingGuard, LabelingCallback
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.input_tracker import REPLACED, TeacherInputTracker, View
from sb3_rpd.common.label_choice import LabelChoice
from sb3_rpd.common.teacher_inputs import TeacherInputReader

N_STEPS, N_ENVS = 6, 2


class Diary(BaseCallback):
    """Writes down what SB3 calls, and stops at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.calls: list[str] = []

    def _on_rollout_start(self) -> None:
        self.calls.append("start")

    def _on_step(self) -> bool:
        self.calls.append("step")
        assert self.locals["new_obs"].shape == (N_ENVS, 3)
        return self.n_calls != self.stop_at

    def _on_rollout_end(self) -> None:
        # SB3 gives the locals of the finished rollout once more
        assert self.locals["n_steps"] == N_STEPS
        self.calls.append("end")


class Submissions:
    """Stands for a RolloutLabeling."""

    def __init__(self) -> None:
        self.received: list[tuple[int, list[Any], list[bool]]] = []
        self.skipped: list[tuple[int, str | None]] = []

    def submit(self, step: int, inputs: list[Any], chosen: np.ndarray) -> None:
        # What is not asked about has not been read
        names = [info["observation"]["name"].tolist() if "observation" in info else None for info in inputs]
        self.received.append((step, names, chosen.tolist()))

    def skip(self, count: int, complaint: str | None) -> None:
        self.skipped.append((count, complaint))


def collect(stop_at: int | None = None, labels: bool = True, known: bool = True, every: int = 1) -> tuple[Any, ...]:
    env = DummyVecEnv([naming_env(index) for index in range(N_ENVS)])
    model = PPO("MlpPolicy", env, n_steps=N_STEPS, batch_size=N_STEPS, policy_kwargs={"net_arch": [4]}, device="cpu")
    diary, submissions, tracker = Diary(stop_at), Submissions(), TeacherInputTracker()
    _, callback = model._setup_learn(N_STEPS, diary)
    reader = TeacherInputReader(env)
    if known:
        tracker.keep(model._last_obs, View(reader.after_reset(model._last_obs)))
    choice = LabelChoice(every, 1.0, np.random.default_rng(0))
    wrapped = LabelingCallback(callback, model, reader, tracker, submissions if labels else None, choice, N_STEPS)
    give_room_for_labels(model.rollout_buffer)
    with model.rollout_buffer.announcing(wrapped.on_add):
        completed = model.collect_rollouts(env, wrapped, model.rollout_buffer, N_STEPS)
    return model, diary, submissions, tracker, completed


def test_caller_sees_what_it_always_sees() -> None:
    _, diary, _, _, completed = collect()
    assert completed
    assert diary.calls == ["start", *["step"] * N_STEPS, "end"]
    assert diary.num_timesteps == N_STEPS * N_ENVS


def test_entries_are_submitted_with_their_position_and_the_view_of_their_state() -> None:
    model, _, submissions, _, _ = collect()
    assert [step for step, _, _ in submissions.received] == list(range(N_STEPS))
    names = np.array([names for _, names, _ in submissions.received])
    np.testing.assert_array_equal(names, model.rollout_buffer.observations)
    assert all(chosen == [True] * N_ENVS for _, _, chosen in submissions.received)


def test_choice_is_passed_on() -> None:
    model, _, submissions, _, _ = collect(every=2)
    pattern = [[True, False], [False, True]] * (N_STEPS // 2)
    assert [chosen for _, _, chosen in submissions.received] == pattern
    # The first states were shown by the reset, of the others those that are asked about only
    _, *others = [names for _, names, _ in submissions.received]
    for names, states, chosen in zip(others, model.rollout_buffer.observations[1:], pattern[1:], strict=True):
        assert names == [state.tolist() if is_chosen else None for state, is_chosen in zip(states, chosen, strict=True)]


def test_view_of_the_last_observation_is_known_afterwards() -> None:
    model, _, _, tracker, _ = collect()
    inputs = tracker.find(model._last_obs).inputs
    assert [info["observation"]["name"].tolist() for info in inputs] == model._last_obs.tolist()


def test_view_of_the_last_observation_can_be_had_after_a_rollout_without_labels() -> None:
    """The next one may have some."""
    model, _, submissions, tracker, _ = collect(labels=False)
    assert not submissions.received
    inputs = tracker.find(model._last_obs).inputs
    # A reset and six steps of each environment, and the resets within: after 2 and 3 steps, and after 4
    assert inputs == [{"unread": 1 + N_STEPS + 2}, {"unread": 1 + N_STEPS + 1}]
    fetched = TeacherInputReader(model.env).requests.fetch(inputs)
    assert [info["observation"]["name"].tolist() for info in fetched] == model._last_obs.tolist()


def test_step_at_which_the_caller_stops_is_not_submitted() -> None:
    model, diary, submissions, tracker, completed = collect(stop_at=3)
    assert not completed
    assert diary.calls == ["start"] + ["step"] * 3
    assert [step for step, _, _ in submissions.received] == [0, 1]
    # SB3 did not go on to the new observation, and neither did the tracker
    inputs = tracker.find(model._last_obs).inputs
    assert [info["observation"]["name"].tolist() for info in inputs] == model._last_obs.tolist()


def test_entry_whose_view_is_not_known_is_left_out() -> None:
    _, _, submissions, _, _ = collect(known=False)
    assert [step for step, _, _ in submissions.received] == list(range(1, N_STEPS))
    # As after loading, which says so
    assert submissions.skipped == [(N_ENVS, None)]


def test_it_is_no_callback_for_learn() -> None:
    callback = LabelingCallback(
        Diary(), None, None, TeacherInputTracker(), None, LabelChoice(1, 1.0, np.random.default_rng(0)), N_STEPS
    )
    with pytest.raises(NotImplementedError, match="on_step"):
        callback._on_step()


def test_observation_that_nobody_knows_is_skipped_with_the_reason() -> None:
    env = DummyVecEnv([naming_env(index) for index in range(N_ENVS)])
    submissions, tracker = Submissions(), TeacherInputTracker()
    tracker.keep(env.reset(), View([{"observation": {"name": np.zeros(3)}}] * N_ENVS))
    model = PPO("MlpPolicy", env, n_steps=N_STEPS, batch_size=N_STEPS, device="cpu")
    choice = LabelChoice(2, 1.0, np.random.default_rng(0))
    callback = LabelingCallback(Diary(), model, TeacherInputReader(env), tracker, submissions, choice, N_STEPS)
    callback.on_add(0, np.ones((N_ENVS, 3), np.float32), {})
    assert submissions.skipped == [(1, REPLACED)]
    assert not submissions.received


@pytest.mark.parametrize("is_labeled", [True, False])
def test_guard_lets_labeled_rollouts_begin_only(is_labeled: bool) -> None:
    guard = CollectingGuard(lambda: is_labeled)
    guard.model = PPO("MlpPolicy", DummyVecEnv([naming_env()]), n_steps=4, batch_size=4, device="cpu")
    if is_labeled:
        guard.on_rollout_start()
        assert guard.on_step()
    else:
        with pytest.raises(TeacherError, match=r"PPO has a collect_rollouts\(\) of its own"):
            guard.on_rollout_start()
