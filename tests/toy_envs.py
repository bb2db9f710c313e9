"""Small environments for the tests: one whose observations name the state they show, and one for every space."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_rpd import TeacherActionWrapper
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.type_aliases import RawObservation


class NamingEnv(gym.Env):
    """
    A state is its own name, the numbers (environment, episode, step), and so is the action that belongs to it.

    ``info["acted_on"]`` of a step is the name of the state in which the action was taken: the label that its entry in a
    rollout buffer must have, whatever the observation went through on its way there.

    :param index: The number of this environment.
    :param kind: Where an observation has its name: in a "vector", in an "image" (channels last), or in both of a "dict".
    :param ends: How episodes end, in turn: by "termination" or by "truncation".
    """

    action_space = spaces.Box(0.0, 1000.0, (3,), np.float32)

    def __init__(self, index: int = 0, kind: str = "vector", ends: Sequence[str] = ("termination", "truncation")) -> None:
        self.index = index
        self.kind = kind
        self.ends = ends
        self.episode = -1
        self.step_in_episode = 0
        vector = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        # SB3's network for the images of a Dict space needs 36 pixels
        self.image_shape = (36, 36, 1) if kind == "dict" else (4, 4, 1)
        image = spaces.Box(0, 255, self.image_shape, np.uint8)
        self.observation_space = {
            "vector": vector,
            "image": image,
            "dict": spaces.Dict({"image": image, "vector": vector}),
        }[kind]

    @property
    def name(self) -> np.ndarray:
        return np.array([self.index, self.episode, self.step_in_episode], dtype=np.float32)

    def image(self) -> np.ndarray:
        image = np.zeros(self.image_shape, dtype=np.uint8)
        image[0, :3, 0] = self.name
        return image

    def observe(self) -> Any:
        return {"vector": self.name, "image": self.image(), "dict": {"image": self.image(), "vector": self.name}}[self.kind]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 1
        self.step_in_episode = 0
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        acted_on = self.name
        self.step_in_episode += 1
        # Lengths differ from episode to episode and from environment to environment
        is_last = self.step_in_episode == 2 + (self.episode + 2 * self.index) % 4
        end = self.ends[self.episode % len(self.ends)] if is_last else ""
        return self.observe(), 1.0, end == "termination", end == "truncation", {"acted_on": acted_on}


def name_of(env: gym.Env) -> np.ndarray:
    """An observation source for ``TeacherActionWrapper``; reuses its memory, as simulators do."""
    toy = env.unwrapped
    if not hasattr(toy, "source_memory"):
        toy.source_memory = np.empty(3, dtype=np.float32)
    toy.source_memory[:] = toy.name
    return toy.source_memory


def naming_env(index: int = 0, kind: str = "vector", wrapped: bool = True, **kwargs: Any) -> Callable[[], gym.Env]:
    """:return: What builds a ``NamingEnv``, with its name for the teacher in ``info`` if ``wrapped``."""

    def build() -> gym.Env:
        env = NamingEnv(index, kind, **kwargs)
        return TeacherActionWrapper(env, observation={"name": name_of}) if wrapped else env

    return build


def names_in(observations: RawObservation) -> np.ndarray:
    """
    :param observations: A batch of what a teacher or a student may see of a ``NamingEnv``, frames stacked or not.
    :return: The (latest) names, of shape (n, 3).
    """
    if isinstance(observations, dict):
        names = [names_in(part) for part in observations.values()]
        for other in names[1:]:
            np.testing.assert_array_equal(names[0], other)
        return names[0]
    return observations[:, 0, :3, -1].astype(np.float32) if observations.ndim == 4 else observations[:, -3:]


class NamingTeacher(Teacher):
    """
    Knows the right action in every state of a ``NamingEnv``, remembers what it was asked, and cannot be pickled.

    :ivar asked: The names of the states in the order in which they were asked about, a list for each query.
    """

    def __init__(self) -> None:
        self.asked: list[list[tuple[float, ...]]] = []

    def __reduce__(self) -> Any:
        raise AssertionError("The teacher was pickled.")

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        raise AssertionError("The teacher was copied.")

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        names = names_in(observations)
        self.asked.append([tuple(name) for name in names.tolist()])
        return names


class SpacesEnv(gym.Env):
    """
    Random observations and a reward that depends on the action; episodes of 5 and 7 steps end both ways.

    :param action_space: Its action space.
    :param observation_space: Its observation space.
    """

    def __init__(self, action_space: spaces.Space, observation_space: spaces.Space | None = None) -> None:
        self.action_space = action_space
        self.observation_space = observation_space or spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.episode = 0
        self.steps_left = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.episode += 1
        self.steps_left = 5 + 2 * (self.episode % 2)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.steps_left -= 1
        is_last = self.steps_left == 0
        reward = float(np.sum(action)) + float(self.np_random.random())
        ends = (is_last and self.episode % 2 == 0, is_last and self.episode % 2 == 1)
        return self.observation_space.sample(), reward, *ends, {"is_success": self.episode % 2 == 0} if is_last else {}


class MaskedEnv(SpacesEnv):
    """A ``SpacesEnv`` that allows, in each state, what follows from the first number of its observation."""

    def action_masks(self) -> np.ndarray:
        return masks_for(self.action_space, first_numbers(self.last_observation)[np.newaxis])[0]

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self.last_observation, info = super().reset(**kwargs)
        return self.last_observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        flat = np.ravel(action).astype(int) + first_columns(self.action_space)
        assert self.action_masks()[flat].all(), f"{action} is forbidden"
        self.last_observation, *others = super().step(action)
        return self.last_observation, *others


def n_choices(action_space: spaces.Space) -> np.ndarray:
    """:return: How many values each number of an action has."""
    if isinstance(action_space, spaces.Discrete):
        return np.array([action_space.n])
    return action_space.nvec if isinstance(action_space, spaces.MultiDiscrete) else np.full(action_space.n, 2)


def first_columns(action_space: spaces.Space) -> np.ndarray:
    """:return: Where in a mask the choices of each number begin."""
    return np.cumsum(n_choices(action_space)) - n_choices(action_space)


def first_numbers(observation: Any) -> np.ndarray:
    """:return: The first number of an observation's array, or of its "state"."""
    return np.ravel(observation["state"] if isinstance(observation, dict) else observation)[0]


def masks_for(action_space: spaces.Space, numbers: np.ndarray) -> np.ndarray:
    """:return: Masks of shape (n, choices) for n states: of each number one value is forbidden, or none."""
    sizes = n_choices(action_space)
    drawn = (np.abs(numbers[:, np.newaxis].astype(np.float64)) * 1000).astype(int) % (2 * sizes)
    masks = np.ones((len(numbers), int(sizes.sum())), dtype=bool)
    np.put_along_axis(masks, drawn % sizes + first_columns(action_space), drawn >= sizes, axis=1)
    return masks


ACTION_SPACES: dict[str, spaces.Space] = {
    "box": spaces.Box(np.array([-1.0, -2.0], np.float32), np.array([1.0, 3.0], np.float32)),
    "discrete": spaces.Discrete(3),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
}
IMAGE_SPACE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
DICT_SPACE = spaces.Dict({"image": IMAGE_SPACE, "state": spaces.Box(-1.0, 1.0, (3,), np.float32)})


def scripted_teacher(action_space: spaces.Space) -> Callable[[RawObservation], np.ndarray]:
    """:return: A teacher for a ``SpacesEnv``: a valid action, which is a function of the observation's first number."""

    def teach(observations: RawObservation) -> np.ndarray:
        array = observations["state"] if isinstance(observations, dict) else observations
        share = np.abs(np.sin(3.0 * array.reshape(len(array), -1)[:, :1].astype(np.float64)))
        if isinstance(action_space, spaces.Box):
            share = share.reshape(-1, *np.ones_like(action_space.shape))
            return action_space.low + share * (action_space.high - action_space.low)
        if isinstance(action_space, spaces.Discrete):
            return np.minimum(share[:, 0] * action_space.n, action_space.n - 1).astype(int)
        choices = action_space.nvec if isinstance(action_space, spaces.MultiDiscrete) else np.full(action_space.n, 2)
        return np.minimum(share * choices, choices - 1).astype(int)

    return teach
