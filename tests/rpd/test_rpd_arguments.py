"""The arguments of RPD: PPO's in PPO's order, its own after them, and what is said of wrong ones."""

import inspect
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_envs import ACTION_SPACES, IMAGE_SPACE, SpacesEnv, scripted_teacher

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.common.schedules import CoefSchedule, ConstantCoef, TrainingProgress
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.rpd import CnnPolicy, MlpPolicy, MultiInputPolicy
from sb3_rpd.teachers.sb3 import SB3Teacher

BOX = ACTION_SPACES["box"]
TEACH = scripted_teacher(BOX)
N_STEPS = 6
FACTORY_CALLS: list[None] = []


def make_model(teacher: Any = TEACH, space: gym.Space = BOX, **kwargs: Any) -> RPD:
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": N_STEPS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    arguments |= {"policy_kwargs": {"net_arch": [4]}, "env": DummyVecEnv([lambda: SpacesEnv(space)])}
    return RPD("MlpPolicy", teacher=teacher, **(arguments | kwargs))


def test_ppos_arguments_come_first_with_ppos_defaults() -> None:
    of_ppo = list(inspect.signature(PPO.__init__).parameters.values())
    of_rpd = list(inspect.signature(RPD.__init__).parameters.values())
    own = of_rpd[len(of_ppo) :]
    for theirs, ours in zip(of_ppo, of_rpd, strict=False):
        assert (theirs.name, theirs.default, theirs.kind) == (ours.name, ours.default, ours.kind)
    assert {parameter.name: parameter.default for parameter in own} == {
        "teacher": None,
        "imitation_loss": "auto",
        "imitation_coef": 1.0,
        "label_every": 1,
        "label_fraction": 1.0,
        "label_batch_size": 256,
        "label_asynchronously": True,
        "max_missing_labels": 0.5,
        "label_debiasing": None,
        "label_memory": None,
        "wait_for_reward": False,
        "fast": None,
        "bf16": False,
    }
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in own)


@pytest.mark.parametrize("method", ["collect_rollouts", "save", "load", "train", "predict", "set_env"])
def test_methods_are_called_as_those_of_ppo(method: str) -> None:
    theirs, ours = (inspect.signature(getattr(algorithm, method)).parameters for algorithm in (PPO, RPD))
    assert [(p.name, p.default) for p in theirs.values()] == [(p.name, p.default) for p in ours.values()]


def test_learn_has_a_default_for_the_timesteps() -> None:
    theirs, ours = (inspect.signature(algorithm.learn).parameters for algorithm in (PPO, RPD))
    assert list(theirs) == list(ours)
    assert ours["total_timesteps"].default == 1_000_000
    assert ours["tb_log_name"].default == "RPD"
    assert "a million" in RPD.learn.__doc__


def test_every_argument_is_documented() -> None:
    for function, text in ((RPD.__init__, RPD.__doc__), (RPD.learn, RPD.learn.__doc__), (RPD.load, RPD.load.__doc__)):
        for name in inspect.signature(function).parameters:
            assert name in ("self", "cls") or f":param {name}:" in text


def test_the_promised_call_works_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RPD.learn, "__defaults__", (4, *RPD.learn.__defaults__[1:]))
    env = SpacesEnv(ACTION_SPACES["discrete"], IMAGE_SPACE)
    teacher = scripted_teacher(env.action_space)
    model = RPD("CnnPolicy", env, n_steps=4, batch_size=4, n_epochs=1, teacher=teacher).learn()
    assert model.num_timesteps == 4
    assert model.rollout_buffer.labeled_fraction() == 1.0


def test_environment_given_by_its_name() -> None:
    def swing(observations: np.ndarray) -> np.ndarray:
        assert observations.shape[1:] == (3,)
        return np.sign(observations[:, 2:])

    RPD("MlpPolicy", "Pendulum-v1", n_steps=8, batch_size=8, teacher=swing).learn(8)


def test_policies_are_ppos() -> None:
    assert RPD.policy_aliases == PPO.policy_aliases
    assert {"MlpPolicy": MlpPolicy, "CnnPolicy": CnnPolicy, "MultiInputPolicy": MultiInputPolicy} == PPO.policy_aliases


# ---------------------------------------------------------------- kinds of teachers


class Steady(Teacher):
    """Counts its set-ups."""

    n_setups = 0

    def setup(self, action_space: gym.Space) -> None:
        assert action_space == BOX
        self.n_setups += 1

    def predict(self, observations: Any, instructions: Any = None) -> np.ndarray:
        return np.tile([0.25, 1.0], (len(observations), 1))


def make_steady() -> Steady:
    FACTORY_CALLS.append(None)
    return Steady()


@pytest.mark.parametrize(
    "teacher", [Steady(), Steady().predict, "test_rpd_arguments:make_steady"], ids=["object", "function", "factory"]
)
def test_kinds_of_teachers(teacher: Any) -> None:
    FACTORY_CALLS.clear()
    model = make_model(teacher)
    model.learn(2 * N_STEPS)
    np.testing.assert_array_equal(model.rollout_buffer.teacher_actions[:, 0], np.tile(np.float32([0.25, 1.0]), (N_STEPS, 1)))
    assert model.teacher is teacher
    model.learn(N_STEPS)
    # A factory and a set-up are called once for as long as the teacher stays
    assert len(FACTORY_CALLS) == (1 if isinstance(teacher, str) else 0)
    assert model._labeler.teacher is teacher or not isinstance(teacher, Steady)
    assert getattr(model._labeler.teacher, "n_setups", 1) == 1


@pytest.mark.parametrize("space", ACTION_SPACES)
def test_sb3_model_as_teacher(space: str) -> None:
    expert = PPO("MlpPolicy", DummyVecEnv([lambda: SpacesEnv(ACTION_SPACES[space])]), n_steps=8, batch_size=8, seed=3)
    student = make_model(expert, ACTION_SPACES[space])
    student.learn(N_STEPS)
    batch = next(student.rollout_buffer.get(None))
    wanted = expert.predict(batch.observations.numpy(), deterministic=True)[0].reshape(N_STEPS, -1)
    np.testing.assert_allclose(batch.teacher_labels.actions.numpy(), wanted, atol=1e-6)


def test_sb3_model_with_its_own_statistics_sees_what_it_was_trained_on() -> None:
    raw = DummyVecEnv([lambda: SpacesEnv(BOX)])
    expert_env = VecNormalize(DummyVecEnv([lambda: SpacesEnv(BOX)]))
    expert = PPO("MlpPolicy", expert_env, n_steps=8, batch_size=8, seed=3).learn(8)
    seen: list[np.ndarray] = []

    class Listening(SB3Teacher):
        def predict(self, observations: Any, instructions: Any = None) -> Any:
            seen.append(observations)
            return super().predict(observations, instructions)

    # The student's statistics are others than the teacher's
    model = make_model(Listening(expert, expert_env), env=VecNormalize(raw), label_asynchronously=False, label_batch_size=100)
    model.learn(N_STEPS)
    normalized = (seen[0] - expert_env.obs_rms.mean) / np.sqrt(expert_env.obs_rms.var + expert_env.epsilon)
    wanted = expert.predict(normalized, deterministic=True)[0]
    np.testing.assert_allclose(model.rollout_buffer.teacher_actions[:, 0], wanted, atol=1e-5)
    assert np.abs(seen[0]).max() <= 1.0


def test_another_teacher_between_two_calls_of_learn() -> None:
    model = make_model(Steady())
    model.learn(N_STEPS)
    other = Steady()
    other.predict = lambda observations, instructions=None: np.zeros((len(observations), 2))
    model.teacher = other
    model.learn(N_STEPS, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.rollout_buffer.teacher_actions, np.zeros((N_STEPS, 1, 2)))
    model.teacher = None
    with pytest.warns(UserWarning, match="RPD has no teacher"):
        model.learn(N_STEPS, reset_num_timesteps=False)
    assert model.rollout_buffer.labeled_fraction() == 0.0
    # A teacher that is gone is not held
    assert not [value for value in vars(model).values() if value is other]


def test_first_teacher_after_training_without_one() -> None:
    """The observation that waits for the next action was there before the teacher: it is the one entry without a label."""
    model = make_model(None)
    with pytest.warns(UserWarning, match="RPD has no teacher"):
        model.learn(N_STEPS)
    model.teacher = TEACH
    model.learn(N_STEPS, reset_num_timesteps=False)
    assert np.isnan(model.rollout_buffer.teacher_actions[0]).all()
    assert np.isfinite(model.rollout_buffer.teacher_actions[1:]).all()


def test_instruction_reaches_the_teacher() -> None:
    told: list[list[str]] = []

    def obey(observations: dict[str, np.ndarray], instructions: list[str]) -> np.ndarray:
        told.append(instructions)
        assert observations["state"].shape == (len(instructions), 4)
        return np.zeros((len(instructions), 2))

    def build() -> gym.Env:
        sources = {"state": lambda env: np.ones(4)}
        return TeacherActionWrapper(SpacesEnv(BOX), observation=sources, instruction=lambda env: f"step {env.steps_left}")

    make_model(obey, env=DummyVecEnv([build])).learn(N_STEPS)
    assert told == [["step 7", "step 6", "step 5", "step 4", "step 3", "step 2"]]


# ---------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_every": 0}, "label_every must be a whole number of steps, at least 1; it is 0"),
        ({"label_every": 1.5}, r"it is 1\.5"),
        ({"label_fraction": 0.0}, r"label_fraction must be in \(0, 1\].*imitation_coef=0\.0"),
        ({"label_fraction": 1.1}, r"label_fraction must be in \(0, 1\]; it is 1\.1"),
        ({"label_every": 2, "label_fraction": 0.5}, "use one of them"),
        ({"label_batch_size": 0}, "label_batch_size must be at least 1; it is 0"),
        ({"max_missing_labels": 1.5}, r"must be in \[0, 1\]; it is 1\.5"),
        ({"imitation_coef": -1.0}, "finite and >= 0"),
        ({"imitation_coef": float("nan")}, "finite and >= 0"),
        ({"imitation_loss": "bogus"}, "'bogus'.*'mse'"),
        ({"imitation_loss": "cosine"}, "7-dimensional"),
    ],
)
def test_wrong_values_are_refused_at_once_and_at_learn(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_model(**arguments)
    model = make_model()
    for name, value in arguments.items():
        setattr(model, name, value)
    with pytest.raises(ValueError, match=message):
        model.learn(N_STEPS)


def test_loss_that_does_not_fit_the_action_space_is_refused() -> None:
    with pytest.raises(ValueError, match="'nll'"):
        make_model(space=ACTION_SPACES["discrete"], imitation_loss="mse")


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_schedule_of_ones_own_that_gives_nonsense_is_named(value: float) -> None:
    class Nonsense(CoefSchedule):
        def __call__(self, training: TrainingProgress) -> float:
            return value

    with pytest.raises(ValueError, match=r"finite and >= 0.*Nonsense"):
        make_model(imitation_coef=Nonsense()).learn(N_STEPS)


def test_schedule_sees_the_progress_of_this_run() -> None:
    seen: list[TrainingProgress] = []

    class Attentive(ConstantCoef):
        def __call__(self, training: TrainingProgress) -> float:
            seen.append(training)
            return 1.0

    env = gym.wrappers.RecordEpisodeStatistics(SpacesEnv(BOX))
    model = RPD("MlpPolicy", env, n_steps=12, batch_size=12, n_epochs=1, teacher=TEACH, imitation_coef=Attentive())
    model.learn(36)
    model.learn(24)
    assert [progress.num_timesteps for progress in seen] == [0, 12, 24, 0, 12]
    assert [progress.progress_remaining for progress in seen] == pytest.approx([1, 2 / 3, 1 / 3, 1, 1 / 2])
    # Twelve steps are one episode of 7 and one of 5 steps; one of the two ends well
    assert seen[0].success_rate is None
    assert seen[0].mean_return is None
    assert seen[1].success_rate == 0.5
    assert seen[1].mean_return == pytest.approx(np.mean([episode["r"] for episode in [*model.ep_info_buffer]]), abs=50)
    assert seen[3].success_rate is None


@pytest.mark.parametrize("timesteps", [0, 1])
def test_hardly_any_timesteps(timesteps: int) -> None:
    model = make_model().learn(timesteps)
    assert model.num_timesteps == timesteps * N_STEPS


def test_collect_rollouts_called_by_the_user() -> None:
    """A buffer of the model gets labels, a foreign one is filled without."""
    model = make_model()
    _, callback = model._setup_learn(2 * N_STEPS)
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, N_STEPS)
    assert model.rollout_buffer.labeled_fraction() == 1.0
    foreign = RolloutBuffer(N_STEPS, model.observation_space, model.action_space)
    assert model.collect_rollouts(model.env, callback, foreign, N_STEPS)
    assert foreign.full
    model.train()
