"""The environments read for the teacher what will be labeled and nothing else; the labels are as if they read everything."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecNormalize
from toy_envs import NamingEnv, NamingTeacher
from toy_watched_env import N_ENVS, make_env, reads_of

from sb3_rpd import RPD, TeacherActionWrapper, check_teacher
from sb3_rpd.evaluation import evaluate_teacher

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
N_STEPS = 12


class Ledger(BaseCallback):
    """Writes down which states the actions were taken in."""

    def __init__(self) -> None:
        super().__init__()
        self.acted_on: list[np.ndarray] = []

    def _on_step(self) -> bool:
        self.acted_on.append(np.stack([info["acted_on"] for info in self.locals["infos"]]))
        return True


class LabelKeepingRPD(RPD):
    """Keeps the labels of all rollouts."""

    def train(self) -> None:
        self.__dict__.setdefault("kept_labels", []).append(self.rollout_buffer.teacher_actions.copy())
        super().train()


def make_model(env: VecEnv, teacher: Any, **kwargs: Any) -> LabelKeepingRPD:
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": N_STEPS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    arguments |= {"policy_kwargs": {"net_arch": [4]}, "label_batch_size": 5, "learning_rate": 1e-5}
    return LabelKeepingRPD("MlpPolicy", env, teacher=teacher, **(arguments | kwargs))


def learn(model: LabelKeepingRPD, rollouts: int, callback: BaseCallback | None = None) -> tuple[np.ndarray, np.ndarray]:
    """:return: The labels of all rollouts, and the states in which the actions were taken, (steps, environments, 3) each."""
    ledger = Ledger()
    model.learn(rollouts * N_STEPS * N_ENVS, callback=[ledger, *([callback] if callback else [])], log_interval=1000)
    return np.concatenate(model.kept_labels), np.stack(ledger.acted_on)


def labeled_states(labels: np.ndarray) -> list[list[tuple[float, ...]]]:
    return [[tuple(name) for name in column[~np.isnan(column[:, 0])].tolist()] for column in labels.swapaxes(0, 1)]


def every(k: int, steps: int) -> np.ndarray:
    return (np.arange(steps)[:, None] + np.arange(N_ENVS)) % k == 0


DRAWN = np.random.default_rng(0).random((3 * N_STEPS + 1, N_ENVS)) < 0.3
CHOICES: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "all": ({}, np.ones((3 * N_STEPS, N_ENVS), bool)),
    "every": ({"label_every": 5}, every(5, 3 * N_STEPS)),
    "fraction": ({"label_fraction": 0.3}, DRAWN[:-1]),
    "none": ({"imitation_coef": 0.0}, np.zeros((3 * N_STEPS, N_ENVS), bool)),
    # The coefficient is asked for before each rollout: open, shut, open
    "gate": (
        {"imitation_coef": lambda left: float(not 0.5 < left < 0.8)},
        np.repeat([True, False, True], N_STEPS)[:, None].repeat(N_ENVS, axis=1),
    ),
    "gate_and_every": (
        {"imitation_coef": lambda left: float(not 0.5 < left < 0.8), "label_every": 3},
        every(3, 3 * N_STEPS) & np.repeat([True, False, True], N_STEPS)[:, None],
    ),
}
#: What would have been chosen of the states that follow on rollouts with labels, where the next one has none.
FOLLOWING: dict[str, list[np.ndarray]] = {
    "all": [np.ones(N_ENVS)],
    "every": [every(5, 37)[36]],
    "fraction": [DRAWN[-1]],
    "none": [],
    "gate": [np.ones(N_ENVS)] * 2,
    "gate_and_every": [every(3, 37)[step] for step in (12, 36)],
}


def check_reads_and_labels(env: VecEnv, teacher: Any, choice: str) -> None:
    arguments, chosen = CHOICES[choice]
    env.env_method("forget_reads")
    labels, acted_on = learn(make_model(VecNormalize(env), teacher, **arguments), rollouts=3)
    np.testing.assert_array_equal(labels, np.where(chosen[..., None], acted_on, np.nan))
    for column, (read, expected) in enumerate(zip(reads_of(env), labeled_states(labels), strict=True)):
        # The reset shows what there is to offer
        first, *later = read
        assert first == tuple(acted_on[0, column])
        assert [name for name in read if name in expected or name == first] == list(dict.fromkeys([first, *expected]))
        surplus = [name for name in later if name not in expected]
        # Where everything is labeled, terminal states are read, too. The state after the last step of a rollout that has
        # labels is read as if the next one had some
        reads_all = np.repeat(chosen.reshape(3, -1).all(axis=1), N_STEPS)
        n_terminal = int((reads_all[:-1] & (acted_on[1:, column, 2] == 0)).sum())
        assert len(surplus) == n_terminal + sum(bool(row[column]) for row in FOLLOWING[choice])


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("controller", [False, True], ids=["observation", "controller"])
def test_what_is_labeled_is_read_and_nothing_else(choice: str, controller: bool) -> None:
    """Over the ends of episodes and of rollouts; the labels are the names of exactly the states that were chosen."""
    check_reads_and_labels(make_env(controller=controller), None if controller else NamingTeacher(), choice)


@pytest.mark.slow
def test_what_is_labeled_is_read_in_worker_processes_and_nothing_else() -> None:
    env = make_env(SubprocVecEnv)
    try:
        for choice in CHOICES:
            check_reads_and_labels(env, NamingTeacher(), choice)
    finally:
        env.close()


def test_plan_goes_on_where_training_does() -> None:
    """The state after the last step of a rollout is the first one of the next."""
    env = make_env()
    model = make_model(env, NamingTeacher(), label_every=4)
    for _ in range(3):
        model.learn(N_STEPS * N_ENVS, reset_num_timesteps=False)
    labels = np.concatenate(model.kept_labels)
    np.testing.assert_array_equal(~np.isnan(labels[..., 0]), every(4, 3 * N_STEPS))


def test_generator_of_the_choice_is_as_if_nobody_had_looked_ahead() -> None:
    model = make_model(make_env(), NamingTeacher(), label_fraction=0.3)
    learn(model, rollouts=2)
    expected = np.random.default_rng(0)
    expected.random((2 * N_STEPS, N_ENVS))
    assert model._label_generator.bit_generator.state == expected.bit_generator.state


def test_controllers_with_a_memory_label_as_few_states() -> None:
    """The label is how many states the controller has seen, terminal ones included."""

    def counting() -> gym.Env:
        seen: list[None] = []

        def count(env: gym.Env) -> np.ndarray:
            seen.append(None)
            return np.full(3, len(seen), np.float32)

        return TeacherActionWrapper(NamingEnv(ends=["termination"]), controller=count, every_state=True)

    model = make_model(DummyVecEnv([counting]), None, label_every=5)
    model.learn(2 * N_STEPS)
    # Episodes have 2, 3, 4, 5, 2, 3, ... steps, and as many states and one more
    first_states = np.cumsum([0, 2, 3, 4, 5, 2, 3, 4, 5])
    expected = [1 + step + np.searchsorted(first_states[1:], step, side="right") for step in range(0, 2 * N_STEPS, 5)]
    labels = np.concatenate(model.kept_labels)[:, 0, 0]
    assert labels[~np.isnan(labels)].tolist() == expected


class RepeatsActions(gym.Wrapper):
    """Two steps for one."""

    def step(self, action: Any) -> Any:
        *first, terminated, truncated, _ = self.env.step(action)
        return self.env.step(action) if not (terminated or truncated) else (*first, terminated, truncated, {})


class GoesOn(gym.Wrapper):
    """Hides that episodes end."""

    def step(self, action: Any) -> Any:
        observation, reward, _, _, info = self.env.step(action)
        return observation, reward, False, False, info


BETWEEN: dict[str, Callable[[gym.Env], gym.Env]] = {
    "time_limit": lambda env: Monitor(TimeLimit(env, 3)),
    "goes_on": GoesOn,
    "rescaled": lambda env: gym.wrappers.TransformObservation(env, lambda x: 2 * x, env.observation_space),
    "pairs": lambda env: RepeatsActions(GoesOn(env)),
}


@pytest.mark.parametrize("wrapper", BETWEEN)
@pytest.mark.parametrize("arguments", [{"label_every": 3}, {"label_fraction": 0.3}], ids=["every", "fraction"])
def test_wrappers_between_cost_no_label(wrapper: str, arguments: dict[str, Any]) -> None:
    """Also where they step the environment otherwise than the student does."""
    env = make_env(on_top=BETWEEN[wrapper])
    model = make_model(env, NamingTeacher(), **arguments)
    labels, acted_on = learn(model, rollouts=2)
    chosen = every(3, 2 * N_STEPS) if "label_every" in arguments else DRAWN[: 2 * N_STEPS]
    if wrapper == "pairs":
        # The info is of the second of two steps
        acted_on = acted_on - [0, 0, 1]
    np.testing.assert_array_equal(labels, np.where(chosen[..., None], acted_on, np.nan))
    total = sum(map(len, reads_of(env)))
    # What is read too much is found out after a few steps
    assert total <= chosen.sum() + 12


class Meddling(BaseCallback):
    """Evaluates on the training environments in the middle of a rollout, and lets the student go on from where it was."""

    def _on_step(self) -> bool:
        if self.n_calls % N_STEPS == 5:
            evaluate_policy(self.model, self.training_env, n_eval_episodes=3, warn=False)
        return True


def test_evaluation_on_the_training_environments_costs_no_label() -> None:
    env = make_env()
    model = make_model(env, NamingTeacher(), label_every=3)
    labels, acted_on = learn(model, rollouts=2, callback=Meddling())
    # The student's next observation is the one from before the evaluation, as under PPO; what follows is of the episodes begun
    chosen = every(3, 2 * N_STEPS)
    known = np.ones(2 * N_STEPS, bool)
    known[[5, 5 + N_STEPS]] = False
    np.testing.assert_array_equal(labels[known], np.where(chosen[..., None], acted_on, np.nan)[known])
    assert np.array_equal(np.isnan(labels[~known, :, 0]), ~chosen[~known])


def test_gate_that_opens_after_somebody_has_moved_the_environments_begins_without_labels() -> None:
    """The teacher was not shown the observation with which the student goes on, and nobody can any more."""

    class Moves(BaseCallback):
        def _on_rollout_end(self) -> None:
            self.training_env.step(np.zeros((N_ENVS, 3), np.float32))

        def _on_step(self) -> bool:
            return True

    arguments, chosen = CHOICES["gate"]
    model = make_model(make_env(), NamingTeacher(), **arguments)
    labels, _ = learn(model, rollouts=3, callback=Moves())
    expected = chosen.copy()
    expected[2 * N_STEPS] = False
    np.testing.assert_array_equal(~np.isnan(labels[..., 0]), expected)
    assert model.logger.name_to_value["teacher/missing"] == N_ENVS


def test_rollout_that_stops_leaves_no_plan_behind() -> None:
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.n_calls < 4

    env = make_env()
    make_model(env, NamingTeacher(), imitation_coef=0.0).learn(N_STEPS * N_ENVS, callback=Stop())
    env.step(np.zeros((N_ENVS, 3), np.float32))
    assert all("observation" in info for info in env.get_attr("teacher_info"))


@pytest.mark.parametrize("arguments", [{"imitation_coef": 0.0}, {"label_every": 5}])
def test_after_training_everything_is_read_again(arguments: dict[str, Any]) -> None:
    env = make_env()
    learn(make_model(env, NamingTeacher(), **arguments), rollouts=1)
    for _ in range(5):
        infos = env.step(np.zeros((N_ENVS, 3), np.float32))[3]
        assert all("observation" in info["teacher"] for info in infos)


def test_evaluation_and_check_of_the_teacher_see_everything_whatever_is_planned() -> None:
    plain, planned = make_env(), make_env()
    planned.env_method("plan_teacher_views", np.zeros((0, N_ENVS), bool), afterwards=False)
    checks = [str(check_teacher(NamingTeacher(), env)) for env in (plain, planned)]
    assert checks[0] == checks[1]

    class Succeeding(gym.Wrapper):
        def step(self, action: Any) -> Any:
            *result, info = self.env.step(action)
            return *result, {**info, "is_success": True}

    asked = []
    for forbids in (False, True):
        env = make_env(on_top=Succeeding)
        if forbids:
            env.env_method("plan_teacher_views", np.zeros((0, N_ENVS), bool), afterwards=False)
        teacher = NamingTeacher()
        evaluate_teacher(teacher, env, 4)
        asked.append(teacher.asked)
    assert asked[0] == asked[1]
    assert len(asked[0]) > 4


def test_plan_of_a_training_that_ended_with_an_error_is_ended() -> None:
    class Fails(BaseCallback):
        def _on_step(self) -> bool:
            raise RuntimeError("power cut")

    env = make_env()
    with pytest.raises(RuntimeError, match="power cut"):
        make_model(env, NamingTeacher(), imitation_coef=0.0).learn(N_STEPS * N_ENVS, callback=Fails())
    labels, acted_on = learn(make_model(env, NamingTeacher()), rollouts=1)
    np.testing.assert_array_equal(labels, acted_on)
    assert all("observation" in info for info in env.get_attr("teacher_info"))


def test_without_a_teacher_nothing_is_read() -> None:
    env = make_env()
    with pytest.warns(UserWarning, match="has no teacher"):
        RPD("MlpPolicy", env, n_steps=N_STEPS, batch_size=N_STEPS, device="cpu").learn(2 * N_STEPS * N_ENVS)
    assert reads_of(env) == [[(index, 0, 0)] for index in range(N_ENVS)]
