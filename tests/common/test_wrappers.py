"""TeacherActionWrapper: what it offers, and that it leaves everything else alone."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.monitor import Monitor
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, NamingEnv, SpacesEnv, name_of

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.wrappers import TEACHER_INFO_KEY, TeacherActionWrapper


class Rendering(SpacesEnv):
    """Renders the number of steps that are left."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (gymnasium's way)

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        super().__init__(ACTION_SPACES["box"])
        self.render_mode = render_mode

    def render(self) -> np.ndarray:
        return np.full((8, 8, 3), self.steps_left, dtype=np.uint8)


@st.composite
def boxes(draw: st.DrawFn) -> spaces.Box:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    low = draw(st.floats(-10, 0))
    return spaces.Box(low, low + draw(st.floats(0.5, 10)), shape, draw(st.sampled_from([np.float32, np.float64])))


plain_spaces = st.one_of(
    boxes(),
    st.integers(1, 9).map(spaces.Discrete),
    st.lists(st.integers(1, 5), min_size=1, max_size=4).map(spaces.MultiDiscrete),
    st.integers(1, 6).map(spaces.MultiBinary),
)
all_spaces = st.one_of(
    plain_spaces,
    st.dictionaries(st.sampled_from("abc"), plain_spaces, min_size=1).map(spaces.Dict),
    st.lists(plain_spaces, min_size=1, max_size=3).map(spaces.Tuple),
)


@given(action_space=plain_spaces, observation_space=all_spaces, seed=st.integers(0, 2**31 - 1))
def test_everything_but_the_info_is_the_environments_own(
    action_space: spaces.Space, observation_space: spaces.Space, seed: int
) -> None:
    def record(env: gym.Env) -> list[Any]:
        action_space.seed(seed)
        record = [env.action_space, env.observation_space, env.reset(seed=seed)]
        return record + [env.step(action_space.sample()) for _ in range(6)]

    plain = record(SpacesEnv(action_space, observation_space))
    wrapped = record(
        TeacherActionWrapper(SpacesEnv(action_space, observation_space), observation={"one": lambda env: np.ones(1)})
    )
    assert wrapped[:2] == plain[:2]
    for ours, theirs in zip(wrapped[2:], plain[2:], strict=True):
        assert data_equivalence(ours[:-1], theirs[:-1])
        info = dict(ours[-1])
        assert info.pop(TEACHER_INFO_KEY)["observation"]["one"].tolist() == [1.0]
        assert info == theirs[-1]


def test_what_is_offered_belongs_to_the_state_after_each_reset_and_step() -> None:
    env = TeacherActionWrapper(
        NamingEnv(index=4), observation={"name": name_of}, instruction=lambda toy: f"step {toy.unwrapped.step_in_episode}"
    )
    _, info = env.reset()
    offers = [info["teacher"]]
    for _ in range(2):
        offers.append(env.step(np.zeros(3, np.float32))[-1]["teacher"])
    offers.append(env.reset()[1]["teacher"])
    # Copies: the source writes into the same memory each time
    assert [offer["observation"]["name"].tolist() for offer in offers] == [[4, 0, 0], [4, 0, 1], [4, 0, 2], [4, 1, 0]]
    assert [offer["instruction"] for offer in offers] == ["step 0", "step 1", "step 2", "step 0"]


def test_instruction_may_be_a_string_and_may_be_missing() -> None:
    source = {"name": name_of}
    told = TeacherActionWrapper(NamingEnv(), observation=source, instruction="lift the cube").reset()[1]["teacher"]
    assert told["instruction"] == "lift the cube"
    assert "instruction" not in TeacherActionWrapper(NamingEnv(), observation=source).reset()[1]["teacher"]


def test_controller_offers_a_finished_action_and_nothing_else() -> None:
    actions = np.zeros(3, dtype=np.float32)

    def controller(env: gym.Env) -> np.ndarray:
        actions[:] = env.unwrapped.name + 1
        return actions

    env = TeacherActionWrapper(NamingEnv(), controller=controller)
    first = env.reset()[1]["teacher"]
    second = env.step(np.zeros(3, np.float32))[-1]["teacher"]
    assert first.keys() == second.keys() == {"action"}
    assert (first["action"].tolist(), second["action"].tolist()) == ([1, 1, 1], [1, 1, 2])


def test_rendered_frame_is_offered_where_nothing_else_is_named() -> None:
    env = TeacherActionWrapper(Rendering(), instruction="go")
    offer = env.reset()[1]["teacher"]
    np.testing.assert_array_equal(offer["observation"]["frame"], np.full((8, 8, 3), 7, dtype=np.uint8))
    assert offer["instruction"] == "go"


def test_nothing_to_offer_says_what_to_pass() -> None:
    with pytest.raises(ValueError, match=r"observation=.*controller=.*render_mode='rgb_array' \(it has render_mode=None\)"):
        TeacherActionWrapper(Rendering(render_mode=None))


@pytest.mark.parametrize("other", [{"observation": {"name": name_of}}, {"instruction": "go"}])
def test_controller_excludes_what_only_a_teacher_needs(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one or the other"):
        TeacherActionWrapper(NamingEnv(), controller=lambda env: np.zeros(3), **other)


@pytest.mark.parametrize("observation_space", [None, IMAGE_SPACE, DICT_SPACE], ids=["vector", "image", "dict"])
def test_passes_sb3s_environment_checker_below_a_monitor(observation_space: spaces.Space | None) -> None:
    toy = SpacesEnv(spaces.Box(-1.0, 1.0, (2,), np.float32), observation_space)
    check_env(Monitor(TeacherActionWrapper(toy, observation={"one": lambda env: np.ones(1)})), warn=False)


def test_copy_of_an_environment_is_independent() -> None:
    env = TeacherActionWrapper(NamingEnv(), observation={"name": name_of}, instruction="go")
    env.reset()
    other = copy.deepcopy(env)
    for _ in range(2):
        other.step(np.zeros(3, np.float32))
    assert env.step(np.zeros(3, np.float32))[-1]["teacher"]["observation"]["name"].tolist() == [0, 0, 1]


def test_reset_passes_seed_and_options_on() -> None:
    class Recording(NamingEnv):
        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
            self.arguments = (seed, options)
            return super().reset(seed=seed, options=options)

    toy = Recording()
    TeacherActionWrapper(toy, observation={"name": name_of}).reset(seed=3, options={"a": 1})
    assert toy.arguments == (3, {"a": 1})


# ---------------------------------------------------------------- a plan of what is read


def step(env: gym.Env) -> dict[str, Any]:
    return env.step(np.zeros(3, np.float32))[-1]["teacher"]


def test_plan_says_after_which_steps_the_sources_are_read() -> None:
    """A plan has a column for each environment."""
    env = TeacherActionWrapper(NamingEnv(index=1), observation={"name": name_of}, instruction="go")
    env.reset()
    env.set_teacher_view_place(1)
    env.plan_teacher_views(np.array([[True, False], [False, True], [True, False]]))
    # The first state is number 1
    assert step(env) == {"unread": 2}
    assert step(env)["observation"]["name"].tolist() == [1, 0, 2]
    assert step(env) == {"unread": 4} == env.teacher_info
    # The plan is at its end
    offered = step(env)
    assert (offered["observation"]["name"].tolist(), offered["instruction"]) == ([1, 0, 4], "go")
    env.plan_teacher_views(np.zeros((0, 2), bool), afterwards=False)
    assert [step(env) for _ in range(2)] == [{"unread": 6}, {"unread": 7}]


@pytest.mark.parametrize("is_wanted", [True, False])
def test_first_state_of_an_episode_takes_the_place_of_the_last_one_before_it(is_wanted: bool) -> None:
    env = TeacherActionWrapper(NamingEnv(), controller=lambda toy: toy.unwrapped.name)
    env.reset()
    env.plan_teacher_views(np.array([[not is_wanted], [is_wanted], [False]]))
    step(env)
    # The terminal state is not read in either case: nobody acts on it
    assert step(env) == {"unread": 3}
    first = env.reset()[1]["teacher"]
    assert first == {"unread": 4} if not is_wanted else first["action"].tolist() == [0, 1, 0]
    assert step(env) == {"unread": 5}


def test_controller_with_a_memory_sees_every_state() -> None:
    seen: list[list[float]] = []

    def remember(env: gym.Env) -> np.ndarray:
        seen.append(env.unwrapped.name.tolist())
        return np.full(3, len(seen), np.float32)

    env = TeacherActionWrapper(NamingEnv(), controller=remember, every_state=True)
    env.reset()
    env.plan_teacher_views(np.zeros((2, 1), bool))
    assert [step(env)["action"][0] for _ in range(2)] == [2, 3]
    assert seen == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]


def test_view_of_the_present_state_can_be_had_later_and_is_read_once() -> None:
    calls: list[np.ndarray] = []

    def count(env: gym.Env) -> np.ndarray:
        calls.append(name_of(env))
        return calls[-1]

    env = TeacherActionWrapper(NamingEnv(), observation={"name": count})
    env.reset()
    env.plan_teacher_views(np.zeros((0, 1), bool), afterwards=False)
    assert step(env) == {"unread": 2}
    for _ in range(2):
        number, view = env.teacher_view()
        assert number == 2
        assert view["observation"]["name"].tolist() == [0, 0, 1]
        assert env.teacher_info is view
    assert len(calls) == 2
    assert step(env) == {"unread": 3}


# ---------------------------------------------------------------- sources that are none


def of_observations(observations: Any) -> np.ndarray:
    return observations["name"] * 2.0


def test_sources_that_cannot_be_called_say_what_to_write() -> None:
    with pytest.raises(
        TypeError, match=r"not of_observations at test_wrappers\.py:\d+: write observation=\{'name': function\}"
    ):
        TeacherActionWrapper(NamingEnv(), observation=of_observations)
    with pytest.raises(TypeError, match=r"a dict from names to functions of the environment, not \['name'\]"):
        TeacherActionWrapper(NamingEnv(), observation=["name"])
    with pytest.raises(
        TypeError, match=r"The observation 'state' .* is array\(\[0\., 0\.\]\), which cannot be called.*function of the env"
    ):
        TeacherActionWrapper(NamingEnv(), observation={"name": name_of, "state": np.zeros(2)})
    with pytest.raises(TypeError, match=r"The controller .* which cannot be called") as caught:
        TeacherActionWrapper(NamingEnv(), controller=np.arange(900))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "function",
    [
        of_observations,
        lambda observations: 2 * observations[:3],
        lambda observations: observations.mean(axis=0),
        lambda observations, instructions: observations,
    ],
)
@pytest.mark.parametrize("kind", ["controller", "observation"])
def test_functions_written_for_observations_are_named(function: Any, kind: str) -> None:
    kwargs = {"controller": function} if kind == "controller" else {"observation": {"x": function}}
    env = TeacherActionWrapper(NamingEnv(), **kwargs)
    with pytest.raises(
        TeacherError, match=r"at test_wrappers\.py:\d+, raised .*called with the wrapped environment, not with an"
    ):
        env.reset()


def test_source_that_returns_nothing_is_named() -> None:
    def forgets(env: gym.Env) -> Any:
        name_of(env)

    for kwargs in ({"controller": forgets}, {"observation": {"x": forgets}}):
        with pytest.raises(TeacherError, match=r"forgets at test_wrappers\.py:\d+, gave None, which .* Is a `return` missing"):
            TeacherActionWrapper(NamingEnv(), **kwargs).reset()


def test_errors_of_sources_that_have_worked_are_their_own() -> None:
    class Broken(ValueError):
        pass

    def read(env: gym.Env) -> np.ndarray:
        if env.unwrapped.step_in_episode == 1:
            raise KeyError("the camera is gone")
        return name_of(env)

    env = TeacherActionWrapper(NamingEnv(), observation={"name": read})
    env.reset()
    with pytest.raises(KeyError, match="the camera is gone"):
        env.step(np.zeros(3, np.float32))

    def breaks(env: gym.Env) -> np.ndarray:
        raise Broken

    with pytest.raises(Broken):
        TeacherActionWrapper(NamingEnv(), observation={"name": breaks}).reset()
