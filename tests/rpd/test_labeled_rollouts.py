"""How a rollout is labeled: once for each entry, in batches, beside the environments, with frames held until then."""

import gc
import threading
import time
import weakref
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import ACTION_SPACES, NamingTeacher, SpacesEnv, naming_env, scripted_teacher

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.common import label_statistics
from sb3_rpd.common.gates import SuccessGate
from sb3_rpd.common.schedules import CosineCoef

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
BOX = ACTION_SPACES["box"]
N_STEPS, N_ENVS = 10, 3
TIMEOUT = 20.0


def make_model(teacher: Any, env: Any = None, **kwargs: Any) -> RPD:
    env = DummyVecEnv([naming_env(index) for index in range(N_ENVS)]) if env is None else env
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": 16, "n_epochs": 2, "seed": 0, "device": "cpu"}
    arguments |= {"policy_kwargs": {"net_arch": [4]}, "label_batch_size": 4}
    return RPD("MlpPolicy", env, teacher=teacher, **(arguments | kwargs))


@pytest.mark.parametrize("arguments", [{}, {"label_every": 3}, {"label_fraction": 0.3}], ids=["all", "every", "fraction"])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_asynchronous_is_synchronous_to_the_last_bit(batch_size: int, arguments: dict[str, Any]) -> None:
    """Same questions in the same order, same labels, same parameters."""
    models, teachers = [], []
    for asynchronous in (True, False):
        teachers.append(NamingTeacher())
        model = make_model(teachers[-1], label_asynchronously=asynchronous, label_batch_size=batch_size, **arguments)
        models.append(model.learn(3 * N_STEPS * N_ENVS))
    assert teachers[0].asked == teachers[1].asked
    np.testing.assert_array_equal(models[0].rollout_buffer.teacher_actions, models[1].rollout_buffer.teacher_actions)
    for name, parameter in models[0].policy.state_dict().items():
        assert th.equal(parameter, models[1].policy.state_dict()[name]), name


def test_labels_do_not_depend_on_how_fast_the_teacher_is() -> None:
    pauses = iter([0.03, 0.0, 0.0, 0.02] * 10)
    teach = NamingTeacher().predict

    def moody(observations: Any) -> np.ndarray:
        time.sleep(next(pauses))
        return teach(observations)

    slow, fast = (make_model(teacher).learn(N_STEPS * N_ENVS) for teacher in (moody, NamingTeacher()))
    for name, parameter in slow.policy.state_dict().items():
        assert th.equal(parameter, fast.policy.state_dict()[name]), name


def test_batches_reach_over_environments_and_time() -> None:
    teacher = NamingTeacher()
    make_model(teacher, label_batch_size=4).learn(2 * N_STEPS * N_ENVS)
    # 30 entries a rollout: full batches, and the rest at its end
    assert [len(query) for query in teacher.asked] == ([4] * 7 + [2]) * 2
    environments = {int(name[0]) for name in teacher.asked[0]}
    assert environments == {0, 1, 2}


def test_rollout_smaller_than_a_batch_is_one_query() -> None:
    teacher = NamingTeacher()
    make_model(teacher, label_batch_size=256).learn(2 * N_STEPS * N_ENVS)
    assert [len(query) for query in teacher.asked] == [N_STEPS * N_ENVS] * 2


def test_environments_run_while_the_teacher_thinks() -> None:
    """The first answer waits for a step of the environments that comes long after the question."""
    later_step = threading.Event()
    waited: list[bool] = []
    teach = NamingTeacher().predict

    def thoughtful(observations: Any) -> np.ndarray:
        if not waited:
            waited.append(later_step.wait(TIMEOUT))
        return teach(observations)

    class Announce(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == N_STEPS - 1:
                later_step.set()
            return True

    make_model(thoughtful).learn(N_STEPS * N_ENVS, callback=Announce())
    assert waited == [True]


@pytest.mark.parametrize("asynchronous", [True, False])
def test_thread_in_which_the_teacher_is_asked(asynchronous: bool) -> None:
    threads: set[threading.Thread] = set()
    teach = NamingTeacher().predict

    def nosy(observations: Any) -> np.ndarray:
        threads.add(threading.current_thread())
        return teach(observations)

    make_model(nosy, label_asynchronously=asynchronous).learn(N_STEPS * N_ENVS)
    assert (threads == {threading.current_thread()}) is not asynchronous
    assert len(threads) == 1


class FrameCensus(BaseCallback):
    """
    Counts at each step how many of the frames that came with the steps so far are still alive.

    :param asynchronous: Whether to give the labeling thread the time to answer what it has been asked.
    :param expected: The largest number that may be.
    """

    def __init__(self, asynchronous: bool, expected: int) -> None:
        super().__init__()
        self.asynchronous = asynchronous
        self.expected = expected
        self.frames: list[weakref.ref] = []

    def count(self) -> int:
        return sum(frame() is not None for frame in self.frames)

    def _on_step(self) -> bool:
        self.frames += [weakref.ref(info["teacher"]["observation"]["frame"]) for info in self.locals["infos"]]
        deadline = time.monotonic() + TIMEOUT
        while self.asynchronous and self.count() > self.expected and time.monotonic() < deadline:
            time.sleep(0.001)
        assert self.count() <= self.expected
        return True


def test_quick_teacher_is_asked_in_place_until_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_statistics, "QUICK_BATCH_SECONDS", 0.5)
    in_place: list[list[bool]] = []
    teach = NamingTeacher().predict

    def quick(observations: Any) -> np.ndarray:
        in_place[-1].append(threading.current_thread() is threading.main_thread())
        time.sleep(0.6 if (len(in_place), len(in_place[-1])) == (3, 2) else 0.0)
        return teach(observations)

    model = make_model(quick, label_batch_size=10)
    for _ in range(4):
        in_place.append([])
        model.learn(N_STEPS * N_ENVS, reset_num_timesteps=False)
    # At first nobody knows; the second batch of the third rollout is slow, but not the rollout as a whole
    assert in_place == [[False] * 3, [True] * 3, [True, True, False], [True] * 3]


@pytest.mark.parametrize("asynchronous", [True, False])
def test_frames_are_held_only_until_they_are_labeled(asynchronous: bool) -> None:
    def build() -> gym.Env:
        return TeacherActionWrapper(SpacesEnv(BOX), observation={"frame": lambda env: np.zeros((16, 16, 3), np.uint8)})

    def teach(observations: dict[str, np.ndarray]) -> np.ndarray:
        return np.zeros((len(observations["frame"]), 2))

    # At a step: the new frames, those on which the action was taken, and of those before less than one batch
    expected = 2 * N_ENVS + 3
    census = FrameCensus(asynchronous, expected)
    model = make_model(teach, DummyVecEnv([build] * N_ENVS), label_asynchronously=asynchronous, label_batch_size=4, n_steps=40)
    gc.disable()
    try:
        model.learn(2 * 40 * N_ENVS, callback=census)
    finally:
        gc.enable()
    assert len(census.frames) == 80 * N_ENVS


# ---------------------------------------------------------------- which entries are labeled


def labeled(model: RPD) -> np.ndarray:
    return ~np.isnan(model.rollout_buffer.teacher_actions).any(axis=2)


def test_every_kth_step_of_each_environment_in_turn() -> None:
    teacher = NamingTeacher()
    model = make_model(teacher, label_every=4).learn(N_STEPS * N_ENVS)
    pattern = labeled(model)
    for env in range(N_ENVS):
        assert np.flatnonzero(pattern[:, env]).tolist() == [t for t in range(N_STEPS) if (t + env) % 4 == 0]
    assert sum(len(query) for query in teacher.asked) == pattern.sum()


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("every", [4, 7, 13])
def test_every_kth_step_counts_on_from_rollout_to_rollout(every: int, n_envs: int) -> None:
    """Also where a rollout is shorter than k, as with many environments."""
    env = DummyVecEnv([naming_env(index) for index in range(n_envs)])
    model = make_model(NamingTeacher(), env, label_every=every, n_steps=6, batch_size=6)
    patterns = [labeled(model.learn(6 * n_envs, reset_num_timesteps=False)) for _ in range(5)]
    expected = (np.arange(30)[:, None] + np.arange(n_envs)) % every == 0
    np.testing.assert_array_equal(np.concatenate(patterns), expected)


def test_random_fraction_has_its_own_seeded_generator() -> None:
    models = [make_model(NamingTeacher(), label_fraction=0.4, seed=seed) for seed in (0, 0, 1)]
    patterns = [labeled(model.learn(N_STEPS * N_ENVS)) for model in models]
    np.testing.assert_array_equal(patterns[0], patterns[1])
    assert (patterns[0] != patterns[2]).any()
    expected = np.random.default_rng(0).random((N_STEPS, N_ENVS)) < 0.4
    np.testing.assert_array_equal(patterns[0], expected)


def test_loss_is_over_what_is_labeled() -> None:
    model = make_model(scripted_teacher(BOX), DummyVecEnv([lambda: SpacesEnv(BOX)]), label_every=3)
    model.learn(N_STEPS)
    batch = next(model.rollout_buffer.get(None))
    assert batch.teacher_labels.labeled.sum() == 4
    assert not batch.teacher_labels.actions.isnan().any()
    observations = batch.observations.numpy()
    wanted = scripted_teacher(BOX)(observations) * batch.teacher_labels.labeled.numpy()[:, None]
    np.testing.assert_allclose(batch.teacher_labels.actions.numpy(), wanted, atol=1e-6)


def test_rollout_that_begins_at_coefficient_0_is_not_labeled() -> None:
    teacher = NamingTeacher()
    # The coefficient falls to 0 with the second half of training
    model = make_model(teacher, imitation_coef=lambda left: float(left > 0.5))
    model.learn(4 * N_STEPS * N_ENVS)
    assert sum(len(query) for query in teacher.asked) == 2 * N_STEPS * N_ENVS
    assert not labeled(model).any()


@pytest.mark.parametrize(("arguments", "share"), [({}, 1.0), ({"label_every": 7}, 1 / 7)], ids=["all", "every"])
def test_teacher_is_asked_only_while_the_gate_is_open(arguments: dict[str, Any], share: float) -> None:
    """Of the one environment's episodes of 7, 5, 7, 5, ... steps every second one is a success; the last one counts."""
    teacher = scripted_teacher(BOX)
    asked: list[int] = []

    def counting(observations: np.ndarray) -> np.ndarray:
        asked.append(len(observations))
        return teacher(observations)

    gate = SuccessGate(0.5, coef=2.0)
    settings = {"imitation_coef": gate, "n_steps": 7, "batch_size": 7, "stats_window_size": 1} | arguments
    model = make_model(counting, DummyVecEnv([lambda: SpacesEnv(BOX)]), **settings)
    shares = [labeled(model.learn(7, reset_num_timesteps=False)).mean() for _ in range(6)]
    # Episodes end after steps 7 (failure), 12 (success), 19 (failure), 24 (success), 31 (failure); rollouts after 7, 14, ...
    is_open = np.array([True, True, False, True, False, True])
    np.testing.assert_allclose(shares, share * is_open)
    assert sum(asked) == round(7 * share * is_open.sum())


@pytest.mark.parametrize("coef", [1e-9, CosineCoef(1.0, 0.01, timesteps=1)], ids=["tiny", "annealed_to_a_rest"])
def test_teacher_is_asked_at_any_coefficient_above_0(coef: Any) -> None:
    teacher = NamingTeacher()
    model = make_model(teacher, imitation_coef=coef).learn(3 * N_STEPS * N_ENVS)
    assert 0 < model._current_imitation_coef <= 1.0
    assert sum(len(query) for query in teacher.asked) == 3 * N_STEPS * N_ENVS
