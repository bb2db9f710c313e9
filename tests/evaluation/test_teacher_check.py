"""check_teacher: what it shows, what it refuses, and what it leaves alone."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize, VecTransposeImage
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, NamingTeacher, SpacesEnv, naming_env, scripted_teacher

import sb3_rpd
from sb3_rpd import RPD, TeacherActionWrapper, TeacherError, check_teacher
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.evaluation import TeacherCheck
from sb3_rpd.teachers import DegradedTeacher, ScriptedTeacher

BOX = ACTION_SPACES["box"]


def test_report_says_what_was_offered_and_answered() -> None:
    def teach(observations: dict[str, np.ndarray], instructions: list[str]) -> np.ndarray:
        assert instructions == ["lift"] * 2
        # The Box is [-1, 1] x [-2, 3]: at a bound, and within 1% of the width beyond one
        return np.array([[1.0, 0.5], [-0.25, 3.04]])

    def build() -> gym.Env:
        return TeacherActionWrapper(
            SpacesEnv(BOX), observation={"state": lambda env: np.ones(4, np.float32)}, instruction="lift"
        )

    report = check_teacher(teach, DummyVecEnv([build, build]))
    here = f"{teach.__qualname__} at test_teacher_check.py:{teach.__code__.co_firstlineno}"
    assert report == TeacherCheck(
        teacher=f"FunctionTeacher({here})",
        offered="'state' (float32 of shape (4,))",
        instruction="the instruction 'lift'",
        action_space="Box([-1. -2.], [1. 3.], (2,), float32)",
        asked=2,
        usable=2,
        lowest=-0.25,
        highest=3.0,
        clipped_share=0.25,
        bound_share=0.5,
        gives_distribution=False,
        complaint=None,
    )
    assert str(report).splitlines() == [
        f"teacher       FunctionTeacher({here})",
        "offered       'state' (float32 of shape (4,))",
        "told          the instruction 'lift'",
        "acts in       Box([-1. -2.], [1. 3.], (2,), float32)",
        "answered      2 of 2 states",
        "numbers       from -0.25 to 3, 50% of them at a bound of the Box, 25% clipped to it",
        "distribution  not given (only the loss 'kl' needs it)",
    ]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.asked = 3


def test_answers_that_are_no_labels_are_counted() -> None:
    report = check_teacher(lambda observations: np.array([[0.0, 0.0], [0.0, 30.0]]), SpacesEnv(BOX))
    assert (report.asked, report.usable, report.lowest, report.highest, report.bound_share) == (2, 1, 0.0, 0.0, 0.0)
    assert "1 of 2 states: 1 of 2 answers have an action outside of Box" in str(report)
    nothing = check_teacher(lambda observations: np.full((2, 2), np.nan), SpacesEnv(BOX))
    assert nothing.usable == 0
    assert np.isnan(nothing.lowest)
    assert nothing.bound_share is None


@pytest.mark.parametrize("space", ["discrete", "multidiscrete", "multibinary"])
def test_discrete_spaces_have_no_bounds(space: str) -> None:
    action_space = ACTION_SPACES[space]
    report = check_teacher(scripted_teacher(action_space), SpacesEnv(action_space))
    assert report.bound_share is None
    assert "bound" not in str(report)
    assert report.usable == 2


def test_it_sees_what_it_will_see_in_training() -> None:
    offers = []

    def teach(observations: Any) -> np.ndarray:
        offers.append(observations)
        return np.zeros((len(observations), 2))

    env = VecFrameStack(VecTransposeImage(DummyVecEnv([lambda: SpacesEnv(BOX, IMAGE_SPACE)] * 3)), 2)
    report = check_teacher(teach, env)
    assert report.offered == "one array without a name (uint8 of shape (36, 36, 2))"
    RPD("CnnPolicy", env, n_steps=2, batch_size=2, n_epochs=1, teacher=teach).learn(6)
    assert {offered.shape[1:] for offered in offers} == {(36, 36, 2)}
    by_name = check_teacher(lambda o: np.zeros((len(o["state"]), 2)), SpacesEnv(BOX, DICT_SPACE))
    assert by_name.offered == "'image' (uint8 of shape (36, 36, 1)), 'state' (float32 of shape (3,))"


def test_statistics_of_a_normalization_stay() -> None:
    env = VecNormalize(DummyVecEnv([lambda: SpacesEnv(BOX)] * 2))
    env.reset()
    before = (env.obs_rms.mean.copy(), env.obs_rms.var.copy(), env.obs_rms.count)
    report = check_teacher(scripted_teacher(BOX), env)
    assert report.usable == 2
    np.testing.assert_array_equal(env.obs_rms.mean, before[0])
    np.testing.assert_array_equal(env.obs_rms.var, before[1])
    assert (env.obs_rms.count, env.training) == (before[2], True)


def test_controller_needs_no_teacher() -> None:
    report = check_teacher(None, TeacherActionWrapper(SpacesEnv(BOX), controller=lambda env: np.array([1.0, 1.0])))
    assert report.teacher == "the controller in the environment"
    assert report.offered == "a finished action"
    assert (report.bound_share, report.clipped_share) == (0.5, 0.0)
    with pytest.raises(TeacherError, match="There is no teacher to check"):
        check_teacher(None, SpacesEnv(BOX))


class Gaussian(Teacher):
    gives_distribution = True

    def __init__(self, std: Any) -> None:
        self.std = std

    def predict(self, observations: Any, instructions: Any = None) -> TeacherOutput:
        return TeacherOutput(np.zeros((len(observations), 2)), std=self.std)


def test_distribution_that_was_promised_must_come() -> None:
    assert check_teacher(Gaussian(np.ones((2, 2))), SpacesEnv(BOX)).gives_distribution
    with pytest.raises(
        TeacherError, match=r"gives_distribution=True and gave actions only: return TeacherOutput\(actions, std="
    ):
        check_teacher(Gaussian(None), SpacesEnv(BOX))
    with pytest.raises(TeacherError, match=r"std have shape \(2, 3\)"):
        check_teacher(Gaussian(np.ones((2, 3))), SpacesEnv(BOX))


def test_setup_and_space_are_checked() -> None:
    teacher = PPO("MlpPolicy", SpacesEnv(ACTION_SPACES["discrete"]), n_steps=2, batch_size=2)
    with pytest.raises(TeacherError, match=r"The teacher model acts in Discrete\(3\)"):
        check_teacher(teacher, SpacesEnv(BOX))
    with pytest.raises(TeacherError, match="as if it began at 0"):
        check_teacher(lambda o: np.zeros(len(o)), SpacesEnv(spaces.Discrete(3, start=1)))


# ---------------------------------------------------------------- what users write


def with_names() -> gym.Env:
    return TeacherActionWrapper(SpacesEnv(BOX), observation={"state": lambda env: np.ones(4, np.float32)})


MISUNDERSTANDINGS: dict[str, tuple[Any, Any, str]] = {
    "name_without_wrapper": (
        lambda o: o["state"][:, :2],
        lambda: SpacesEnv(BOX),
        r"IndexError.*given one array without a name \(float32 of shape \(4,\)\).*as a numpy array, or give names.*Wrapper\(",
    ),
    "column_without_wrapper": (
        lambda o: o[:, 7:9].reshape(2, 2),
        lambda: SpacesEnv(BOX),
        r"ValueError.*float32 of shape \(4,\)",
    ),
    "array_with_wrapper": (
        lambda o: o[:, :2],
        with_names,
        r"given 'state' \(float32 of shape \(4,\)\).*observations\['state'\]",
    ),
    "arithmetic_with_wrapper": (lambda o: -0.1 * o, with_names, r"TypeError.*observations\['state'\]"),
    "method_with_wrapper": (lambda o: o.mean(), with_names, r"AttributeError.*observations\['state'\]"),
    "typo": (lambda o: o["stat"], with_names, r"KeyError\('stat'\).*'state'.*observations\['state'\]"),
    "instructions_of_none": (
        lambda o, instructions: [text.upper() for text in instructions],
        with_names,
        r"NoneType.*and no instruction",
    ),
    "predict": (lambda o: (np.zeros((2, 2)), None), with_names, r"tuple \(ndarray, NoneType\).*pass the model itself"),
    "nothing": (lambda o: None, with_names, r"are None, but .* A `return` may be missing\.$"),
}


@pytest.mark.filterwarnings("ignore:Creating an ndarray from ragged")
@pytest.mark.parametrize("case", MISUNDERSTANDINGS)
def test_misunderstandings_are_explained_by_the_check_and_by_learn(case: str) -> None:
    function, make_env, message = MISUNDERSTANDINGS[case]
    name = rf"FunctionTeacher\(<lambda> at test_teacher_check\.py:{function.__code__.co_firstlineno}\) failed: "
    with pytest.raises(TeacherError, match=name + ".*" + message) as caught:
        check_teacher(function, make_env())
    assert len(str(caught.value)) < 1000
    model = RPD("MlpPolicy", make_env(), n_steps=2, batch_size=2, n_epochs=1, teacher=function, label_batch_size=2)
    with pytest.raises(TeacherError, match=name + ".*" + message):
        model.learn(2)


def test_errors_of_the_teachers_own_are_not_explained_away() -> None:
    def disconnected(observations: np.ndarray) -> np.ndarray:
        raise ConnectionError("the server is gone")

    with pytest.raises(TeacherError, match=r"it raised ConnectionError\('the server is gone'\)\.$") as caught:
        check_teacher(disconnected, SpacesEnv(BOX))
    assert isinstance(caught.value.__cause__, ConnectionError)


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(1, 2000),
    name=st.text(min_size=1, max_size=2000),
    n_names=st.integers(1, 40),
    offset=st.sampled_from([0.0, 1e-3, 5.0, np.nan]),
    kind=st.sampled_from(["answers", "raises", "misnames", "misshapes"]),
)
def test_no_report_and_no_message_is_long(size: int, name: str, n_names: int, offset: float, kind: str) -> None:
    low = -np.linspace(1.0, 2.0, size, dtype=np.float32)
    sources = {f"{name}{i}": lambda env: np.zeros((2,) * 9, np.float32) for i in range(n_names)}

    def teach(observations: dict[str, np.ndarray]) -> np.ndarray:
        if kind == "raises":
            raise ValueError(str(low.tolist()))
        if kind == "misnames":
            observations["x" * 5000]
        return np.full((2, size + (kind == "misshapes")), -1.0 - offset)

    env = TeacherActionWrapper(SpacesEnv(spaces.Box(low, -low)), observation=sources, instruction=name * 100)
    try:
        text = str(check_teacher(teach, env))
    except TeacherError as error:
        text = str(error)
        assert len(text) < 1000
    assert len(text) < 2000


LARGE_BOX = spaces.Box(-np.linspace(1.0, 2.0, 900, dtype=np.float32), np.ones(900, np.float32))
LARGE_CHOICE = spaces.MultiDiscrete(np.arange(1, 901))
LARGE_VIEW = spaces.Dict({f"{'camera' * 50} {i}": spaces.Box(-1.0, 1.0, (2,), np.float32) for i in range(50)})


@pytest.mark.parametrize(
    ("teacher", "action_space", "observation_space"),
    [
        (lambda: ScriptedTeacher("PickCube-v0"), LARGE_BOX, None),
        (lambda: ScriptedTeacher("PickCube-v0"), spaces.Box(-1.0, 1.0, (7,), np.float32), LARGE_VIEW),
        (lambda: DegradedTeacher(len), LARGE_CHOICE, None),
        (lambda: DegradedTeacher(len, wrong_fraction=0.5), spaces.Box(LARGE_BOX.low, np.inf, (900,), np.float32), None),
        (lambda: PPO("MlpPolicy", SpacesEnv(LARGE_BOX), n_steps=2, batch_size=2), LARGE_CHOICE, None),
        (lambda: PPO("MultiInputPolicy", SpacesEnv(BOX, LARGE_VIEW), n_steps=2, batch_size=2), BOX, DICT_SPACE),
        (lambda: PPO("MlpPolicy", SpacesEnv(BOX), n_steps=2, batch_size=2), BOX, LARGE_VIEW),
    ],
)
def test_teachers_that_do_not_fit_say_so_briefly(teacher: Any, action_space: Any, observation_space: Any) -> None:
    with pytest.raises(TeacherError) as caught:
        check_teacher(teacher(), SpacesEnv(action_space, observation_space))
    assert len(str(caught.value)) < 1000


# ---------------------------------------------------------------- learn()


def test_learn_refuses_before_the_first_step_what_needs_no_question() -> None:
    teacher = NamingTeacher()
    env = DummyVecEnv(
        [naming_env(0), lambda: TeacherActionWrapper(naming_env(1, wrapped=False)(), observation={"other": np.ones})]
    )
    env.envs[1]._observation = {"other": lambda env: np.ones(3)}
    model = RPD("MlpPolicy", env, n_steps=4, batch_size=4, teacher=teacher)
    with pytest.raises(TeacherError, match="offer different things to the teacher: name and other"):
        model.learn(8)
    assert (model.num_timesteps, teacher.asked) == (0, [])


def test_learn_asks_no_extra_question_and_resets_once() -> None:
    class CountsResets(SpacesEnv):
        resets = 0

        def reset(self, **kwargs: Any) -> Any:
            self.resets += 1
            return super().reset(**kwargs)

    sizes = []

    def teach(observations: np.ndarray) -> np.ndarray:
        sizes.append(len(observations))
        return np.zeros((len(observations), 2))

    toy = CountsResets(BOX)
    RPD("MlpPolicy", toy, n_steps=4, batch_size=4, teacher=teach, label_batch_size=3).learn(4)
    assert sizes == [3, 1]
    # The first episode has 7 steps
    assert toy.resets == 1


def test_it_is_found_where_it_is_documented() -> None:
    assert sb3_rpd.check_teacher is check_teacher
    assert "check_teacher" in sb3_rpd.__all__
