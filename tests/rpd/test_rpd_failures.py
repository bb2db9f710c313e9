"""Teachers that fail: what stops the run, what is masked and counted, and that nothing is left behind."""

import pathlib
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_envs import ACTION_SPACES, NamingTeacher, SpacesEnv, naming_env, scripted_teacher

from sb3_rpd import RPD, TeacherActionWrapper, TeacherError
from sb3_rpd.common.teacher import Teacher

BOX = ACTION_SPACES["box"]
TEACH = scripted_teacher(BOX)
N_STEPS, N_ENVS = 12, 2
MODES = pytest.mark.parametrize("asynchronous", [True, False], ids=["asynchronous", "synchronous"])
pytestmark = pytest.mark.usefixtures("no_thread_left")


def make_model(teacher: Any, env: Any = None, **kwargs: Any) -> RPD:
    env = DummyVecEnv([lambda: SpacesEnv(BOX)] * N_ENVS) if env is None else env
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": N_STEPS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    arguments |= {"policy_kwargs": {"net_arch": [4]}, "label_batch_size": 4}
    return RPD("MlpPolicy", env, teacher=teacher, **(arguments | kwargs))


class FailsFrom:
    """Answers as ``TEACH`` does, but for some queries as ``failure`` does."""

    def __init__(self, failure: Callable[[np.ndarray], Any], queries: range) -> None:
        self.failure = failure
        self.queries = queries
        self.n_queries = 0

    def __call__(self, observations: np.ndarray) -> Any:
        self.n_queries += 1
        return (self.failure if self.n_queries - 1 in self.queries else TEACH)(observations)


def raises(observations: np.ndarray) -> Any:
    raise ConnectionError("the server is gone")


def wrong_shape(observations: np.ndarray) -> Any:
    return np.zeros((len(observations), 7))


def first_row_nan(observations: np.ndarray) -> Any:
    actions = TEACH(observations)
    actions[0, 1] = np.nan
    return actions


def first_row_outside(observations: np.ndarray) -> Any:
    actions = TEACH(observations)
    actions[0] = [0.0, 3.2]
    return actions


# ---------------------------------------------------------------- the first query

FIRST: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "exception": (raises, r"ConnectionError\('the server is gone'\)"),
    "shape": (wrong_shape, r"shape \(4, 7\), but shape \(4, 2\) is needed"),
    "one_action_for_all": (lambda observations: np.zeros(2), r"shape \(2,\), but shape \(4, 2\) is needed"),
    "dtype": (lambda observations: np.full((len(observations), 2), "left"), r"dtype <U4, not one of real numbers"),
    "nothing": (lambda observations: None, r"actions are None, but .* A `return` may be missing\.$"),
    "ragged": (lambda observations: [[0.0], [0.0, 1.0]] * 2, r"dtype object|are no array"),
}


@MODES
@pytest.mark.parametrize("case", FIRST)
@pytest.mark.filterwarnings("ignore:Creating an ndarray from ragged")
def test_first_query_that_fails_stops_the_run_with_the_cause(case: str, asynchronous: bool) -> None:
    failure, message = FIRST[case]
    teacher = FailsFrom(failure, range(1000))
    model = make_model(teacher, label_asynchronously=asynchronous)
    with pytest.raises(TeacherError, match=message):
        model.learn(10 * N_STEPS * N_ENVS)
    # It does not take a rollout to find out, unless labeling has not got there earlier
    assert model.num_timesteps <= (N_STEPS if asynchronous else 2) * N_ENVS
    # With another teacher the same model learns on
    model.teacher = TEACH
    model.learn(N_STEPS * N_ENVS)
    assert model.rollout_buffer.labeled_fraction() == 1.0


def test_cause_of_a_failed_first_query_is_chained() -> None:
    with pytest.raises(TeacherError) as caught:
        make_model(raises).learn(N_STEPS)
    assert isinstance(caught.value.__cause__, ConnectionError)


# ---------------------------------------------------------------- later queries

LATER: dict[str, tuple[Callable[[np.ndarray], Any], int, str]] = {
    "exception": (raises, 4, r"the server is gone"),
    "shape": (wrong_shape, 4, r"shape \(4, 7\), but shape \(4, 2\)"),
    "nan": (first_row_nan, 1, r"1 of 4 answers have NaN or infinity"),
    "outside": (first_row_outside, 1, r"1 of 4 answers have an action outside of Box.*3\.2"),
}


@MODES
@pytest.mark.parametrize("case", LATER)
def test_later_failure_masks_its_labels_and_warns_once(case: str, asynchronous: bool) -> None:
    failure, n_rows, message = LATER[case]
    # The second and third of six queries of each rollout
    teacher = FailsFrom(failure, range(1, 3))
    model = make_model(teacher, label_asynchronously=asynchronous)
    with pytest.warns(UserWarning, match=message) as caught:
        model.learn(N_STEPS * N_ENVS)
    assert len([warning for warning in caught if "Labels are missing" in str(warning.message)]) == 1
    missing = np.isnan(model.rollout_buffer.teacher_actions).any(axis=2)
    assert missing.sum() == 2 * n_rows
    # Queries are asked about in the order of the steps: four entries are two steps of two environments
    assert not missing[:2].any()
    assert not missing[6:].any()
    assert missing[2, 0]
    assert missing[4, 0]
    # The same happens again and is not said again
    teacher.n_queries = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(N_STEPS * N_ENVS)


def test_action_just_outside_of_the_box_is_clipped() -> None:
    model = make_model(lambda observations: np.full((len(observations), 2), [1.01, -2.04]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(N_STEPS * N_ENVS)
    np.testing.assert_array_equal(model.rollout_buffer.teacher_actions, np.broadcast_to([1.0, -2.0], (N_STEPS, N_ENVS, 2)))


# ---------------------------------------------------------------- too many failures


@MODES
def test_too_many_missing_labels_stop_the_run_with_everything_saved(asynchronous: bool, tmp_path: pathlib.Path) -> None:
    teacher = FailsFrom(raises, range(3, 1000))
    env = VecNormalize(DummyVecEnv([lambda: SpacesEnv(BOX)] * N_ENVS))
    model = make_model(teacher, env, tensorboard_log=str(tmp_path), label_asynchronously=asynchronous, max_missing_labels=0.4)
    model.set_logger(configure(str(tmp_path / "log"), ["csv"]))
    with (
        pytest.warns(UserWarning, match="Labels are missing"),
        pytest.raises(TeacherError, match=r"12 of 24 labels .* max_missing_labels=40%.*server is gone.*RPD\.load") as caught,
    ):
        model.learn(10 * N_STEPS * N_ENVS)
    path = tmp_path / "rpd_stopped_at_24_steps.zip"
    statistics_path = tmp_path / "rpd_stopped_at_24_steps.vecnormalize.pkl"
    assert str(path) in str(caught.value)
    assert str(statistics_path) in str(caught.value)
    columns, values = (tmp_path / "log" / "progress.csv").read_text().splitlines()
    assert float(values.split(",")[columns.split(",").index("teacher/missing")]) == 12.0

    env_again = VecNormalize.load(str(statistics_path), DummyVecEnv([lambda: SpacesEnv(BOX)] * N_ENVS))
    np.testing.assert_array_equal(env_again.obs_rms.mean, env.obs_rms.mean)
    resumed = RPD.load(path, env=env_again, teacher=TEACH)
    assert resumed.num_timesteps == 24
    resumed.set_logger(model.logger)
    resumed.learn(N_STEPS * N_ENVS, reset_num_timesteps=False)
    assert resumed.num_timesteps == 48
    assert resumed.rollout_buffer.labeled_fraction() == 1.0


def test_as_many_missing_labels_as_are_allowed_do_not_stop_the_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="Labels are missing"):
        make_model(FailsFrom(raises, range(3, 1000)), max_missing_labels=0.5).learn(N_STEPS * N_ENVS)
    assert not list(tmp_path.iterdir())


def test_labels_that_were_not_asked_for_are_not_missing() -> None:
    make_model(TEACH, label_every=4, max_missing_labels=0.0).learn(N_STEPS * N_ENVS)


# ---------------------------------------------------------------- what is left behind


class Raises(BaseCallback):
    """Raises at the n-th step."""

    def __init__(self, error: type[BaseException], step: int) -> None:
        super().__init__()
        self.error = error
        self.step = step

    def _on_step(self) -> bool:
        if self.n_calls == self.step:
            raise self.error
        return True


class BreaksAfter(gym.Wrapper):
    """An environment whose simulator crashes."""

    def step(self, action: Any) -> Any:
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps == 7:
            raise OSError("simulator crashed")
        return super().step(action)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_no_thread_and_no_frame_outlives_an_error_in_a_callback(error: type[BaseException]) -> None:
    """Ctrl-C comes out of a callback while the teacher is at work and more queries wait."""
    n_queries = 0

    def slow(observations: np.ndarray) -> np.ndarray:
        nonlocal n_queries
        n_queries += 1
        time.sleep(0.05)
        return TEACH(observations)

    def build() -> TeacherActionWrapper:
        return TeacherActionWrapper(SpacesEnv(BOX), observation={"state": lambda env: np.zeros(4, np.float32)})

    frames: list[weakref.ref] = []

    class Watch(Raises):
        def _on_step(self) -> bool:
            frames.extend(weakref.ref(info["teacher"]["observation"]["state"]) for info in self.locals["infos"])
            return super()._on_step()

    model = make_model(lambda observations: slow(observations["state"]), DummyVecEnv([build] * N_ENVS))
    with pytest.raises(error):
        model.learn(N_STEPS * N_ENVS, callback=Watch(error, step=10))
    # The one query under way was waited for, the others were dropped with their frames
    assert n_queries <= 2
    alive = [frame for frame in frames if frame() is not None]
    assert len(alive) <= 2 * N_ENVS
    model.learn(N_STEPS * N_ENVS, reset_num_timesteps=False)
    assert model.rollout_buffer.labeled_fraction() == 1.0


def test_no_thread_outlives_a_crash_of_the_environment() -> None:
    model = make_model(TEACH, DummyVecEnv([lambda: BreaksAfter(SpacesEnv(BOX))]))
    with pytest.raises(OSError, match="simulator crashed"):
        model.learn(N_STEPS)


def test_keyboard_interrupt_in_the_teachers_thread_ends_the_run() -> None:
    def interrupted(observations: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_model(interrupted).learn(N_STEPS * N_ENVS)


def test_thread_lives_for_a_rollout_only() -> None:
    names: set[str] = set()

    class Lists(BaseCallback):
        def _on_step(self) -> bool:
            names.update(thread.name for thread in threading.enumerate())
            return True

        def _on_rollout_start(self) -> None:
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("rpd-labeler")]

    make_model(TEACH).learn(2 * N_STEPS * N_ENVS, callback=Lists())
    assert any(name.startswith("rpd-labeler") for name in names)


# ---------------------------------------------------------------- teachers and environments that do not fit


def test_teacher_that_refuses_the_action_space_stops_before_the_rollout() -> None:
    class Picky(NamingTeacher):
        def setup(self, action_space: spaces.Space) -> None:
            raise TeacherError(f"I do not act in {action_space}.")

    model = make_model(Picky())
    with pytest.raises(TeacherError, match="I do not act in Box"):
        model.learn(N_STEPS)
    assert model.num_timesteps == 0


@pytest.mark.parametrize("space", [spaces.Discrete(3, start=2), spaces.MultiDiscrete([2, 3], start=[0, 1])])
def test_actions_that_do_not_begin_at_0_are_refused(space: spaces.Space) -> None:
    """SB3 trains there as if they did, and says so in its environment checker only."""
    model = make_model(lambda observations: None, DummyVecEnv([lambda: SpacesEnv(space)]))
    with pytest.raises(TeacherError, match="begin at 0"):
        model.learn(N_STEPS)


def test_loss_on_distributions_needs_a_teacher_with_one() -> None:
    with pytest.raises(TeacherError, match=r"imitation_loss='kl'.*gives actions only.*\"mse\""):
        make_model(TEACH, imitation_loss="kl").learn(N_STEPS)
    env = DummyVecEnv([lambda: TeacherActionWrapper(SpacesEnv(BOX), controller=lambda wrapped: np.zeros(2))])
    with pytest.raises(TeacherError, match="the controller in the environment gives actions only"):
        make_model(None, env, imitation_loss="kl").learn(N_STEPS)


def test_wrapper_around_some_environments_only_is_an_error() -> None:
    env = DummyVecEnv([naming_env(0), naming_env(1, wrapped=False)])
    with pytest.raises(TeacherError, match=r"1 of 2 environments have info\[\"teacher\"\]"):
        make_model(NamingTeacher(), env).learn(N_STEPS)


def test_vec_env_that_loses_the_infos_of_resets_is_an_error() -> None:
    class Forgetful(DummyVecEnv):
        @property
        def reset_infos(self) -> list[dict[str, Any]]:
            return [{} for _ in range(self.num_envs)]

        @reset_infos.setter
        def reset_infos(self, infos: Any) -> None: ...

    env = Forgetful([naming_env(0), naming_env(1)])
    with pytest.raises(TeacherError, match=r"offer different things to the teacher: a single array and name|reset_infos"):
        make_model(NamingTeacher(), env).learn(10 * N_STEPS)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda env: np.zeros(3), r"The controller in the environment's actions have shape \(2, 3\), but shape \(2, 2\)"),
        (lambda env: None, "gave None"),
        (lambda env: np.zeros(2 if env.first else 1), "different shapes"),
    ],
)
def test_controllers_first_action_that_does_not_fit_stops_the_run(action: Any, message: str) -> None:
    def build(first: bool) -> Callable[[], gym.Env]:
        def env() -> gym.Env:
            toy = SpacesEnv(BOX)
            toy.first = first
            return TeacherActionWrapper(toy, controller=action)

        return env

    with pytest.raises(TeacherError, match=message):
        make_model(None, DummyVecEnv([build(True), build(False)])).learn(N_STEPS)


def test_controllers_later_failure_masks_its_label() -> None:
    def controller(env: gym.Env) -> np.ndarray:
        steps_left = env.unwrapped.steps_left
        return np.zeros(3) if steps_left == 3 else np.array([0.0, np.nan if steps_left == 2 else 0.0])

    env = DummyVecEnv([lambda: TeacherActionWrapper(SpacesEnv(BOX), controller=controller)])
    model = make_model(None, env)
    with pytest.warns(UserWarning, match=r"shape \(1, 3\), but shape \(1, 2\)"):
        model.learn(N_STEPS)
    # Episodes of 7 and 5 steps: 7 6 5 4 3 2 1 | 5 4 3 2 1
    missing = np.isnan(model.rollout_buffer.teacher_actions).any(axis=(1, 2))
    assert np.flatnonzero(missing).tolist() == [4, 5, 9, 10]


def test_teacher_that_is_a_class_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="the class Teacher, not an instance"):
        make_model(Teacher).learn(N_STEPS)
