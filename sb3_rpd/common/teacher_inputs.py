"""What the teacher gets to see of each environment's present state, collected from a vectorized environment."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize, VecTransposeImage
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.type_aliases import RawObservation, TeacherInfo
from sb3_rpd.common.wording import cut, shortened
from sb3_rpd.common.wrappers import TEACHER_INFO_KEY


def teacher_inputs_after_reset(env: VecEnv, observations: VecEnvObs) -> list[TeacherInfo]:
    """
    What the teacher may see of each environment just after ``env.reset()``.

    :param env: The training environment with all its wrappers.
    :param observations: What the reset returned, the student's observations.
    :return: One entry for each environment.
    :raises TeacherError: if only some of the environments have a ``TeacherActionWrapper``.
    """
    return _teacher_inputs(env, observations, _reset_infos(env))


def teacher_inputs_after_step(
    env: VecEnv, observations: VecEnvObs, dones: np.ndarray, infos: list[dict[str, Any]]
) -> list[TeacherInfo]:
    """
    What the teacher may see of each environment just after ``env.step()``.

    An environment that is done has been reset by the ``VecEnv``: its ``info`` still describes the last step of the
    finished episode, while the observation, and so the teacher's view, is the first of the new one.

    :param env: The training environment with all its wrappers.
    :param observations: What the step returned, the student's observations.
    :param dones: Which environments were reset.
    :param infos: What the step returned.
    :return: One entry for each environment.
    :raises TeacherError: if only some of the environments have a ``TeacherActionWrapper``.
    """
    reset_infos = _reset_infos(env)
    infos = infos or _no_infos(env)
    return _teacher_inputs(env, observations, [reset_infos[i] if done else infos[i] for i, done in enumerate(dones)])


def _reset_infos(env: VecEnv) -> list[dict[str, Any]]:
    # Every VecEnvWrapper shadows reset_infos, hence unwrapped
    return getattr(env.unwrapped, "reset_infos", None) or _no_infos(env)


def _no_infos(env: VecEnv) -> list[dict[str, Any]]:
    """What a VecEnv that is not SB3's may leave out, as PPO lets it."""
    return [{}] * env.num_envs


def _teacher_inputs(env: VecEnv, observations: VecEnvObs, infos: list[dict[str, Any]]) -> list[TeacherInfo]:
    offered = [info[TEACHER_INFO_KEY] for info in infos if TEACHER_INFO_KEY in info]
    if len(offered) == env.num_envs:
        return offered
    if offered:
        raise TeacherError(
            f'{len(offered)} of {env.num_envs} environments have info["{TEACHER_INFO_KEY}"]: wrap all of them in a '
            "TeacherActionWrapper or none. A VecEnv of your own must keep the infos of each reset in its reset_infos."
        )
    raw = raw_student_observation(env, observations)
    if isinstance(raw, dict):
        return [{"observation": {name: array[i] for name, array in raw.items()}} for i in range(env.num_envs)]
    return [{"observation": raw[i]} for i in range(env.num_envs)]


class TeacherInputTracker:
    """
    Keeps what the teacher may see of the observation on which the student will act next.

    It belongs to one observation object, ``model._last_obs``: after anything that replaces that one (``set_env``,
    ``load``, a reset by somebody else) what is kept is out of date and not given out any more.
    """

    def __init__(self) -> None:
        self._observations: VecEnvObs | None = None
        self._inputs: list[TeacherInfo] | None = None

    def keep(self, observations: VecEnvObs, inputs: list[TeacherInfo]) -> None:
        """
        Remember the teacher's inputs until the next step.

        :param observations: The student's observations, the very object that will be ``model._last_obs``.
        :param inputs: The teacher's view of the same moment, one entry for each environment.
        """
        self._observations = observations
        self._inputs = inputs

    def inputs_for(self, observations: VecEnvObs) -> list[TeacherInfo] | None:
        """
        :param observations: ``model._last_obs``.
        :return: The teacher's inputs for exactly these observations, None if they are not known.
        """
        return self._inputs if observations is self._observations else None

    @property
    def are_actions(self) -> bool:
        """Whether the environments give finished actions, so that no teacher is needed."""
        return self._inputs is not None and all("action" in info for info in self._inputs)


def raw_student_observation(env: VecEnv, observations: VecEnvObs) -> RawObservation:
    """
    The student's observation as a teacher would expect it: un-normalized, images channels last.

    :param env: The training environment with all its wrappers.
    :param observations: What its last ``reset`` or ``step`` returned.
    :return: Observations, first axis the environments. Where a ``VecNormalize`` changed them they are those that it
        received, so without the frames that a ``VecFrameStack`` on top of it adds.
    """
    raw: Any = observations
    transposed = None
    layer = env
    while isinstance(layer, VecEnvWrapper):
        if isinstance(layer, VecNormalize) and layer.norm_obs:
            return raw_student_observation(layer.venv, layer.get_original_obs())
        if isinstance(layer, VecTransposeImage) and not layer.skip:
            transposed = layer
        layer = layer.venv
    if transposed is None:
        return raw  # type: ignore[no-any-return]
    if isinstance(raw, dict):
        images = transposed.image_space_keys
        return {name: _channels_last(array) if name in images else array for name, array in raw.items()}
    return _channels_last(raw)


def _channels_last(images: np.ndarray) -> np.ndarray:
    return np.moveaxis(images, 1, -1)


def stack_inputs(infos: Sequence[TeacherInfo]) -> Questions:
    """
    Put what the teacher may see of several states into one batch.

    :param infos: One for each state, each with an ``"observation"``.
    :return: The questions, without instructions where the environments give none.
    :raises TeacherError: if they do not offer the same things.
    """
    instructions = [info["instruction"] for info in infos if "instruction" in info]
    if 0 < len(instructions) < len(infos):
        raise TeacherError(f"{len(instructions)} of {len(infos)} environments give an instruction; give one to all or to none")
    observations = [info["observation"] for info in infos]
    first = observations[0]
    if not all(_offers_same(first, observation) for observation in observations):
        offers = sorted({_offer(observation) for observation in observations})
        raise TeacherError(f"the environments offer different things to the teacher: {cut(' and '.join(offers), 400)}")
    if not isinstance(first, dict):
        return Questions(stack("observation", observations), instructions or None)
    stacked = {name: stack(name, [observation[name] for observation in observations]) for name in first}
    return Questions(stacked, instructions or None)


def _offers_same(first: RawObservation, second: RawObservation) -> bool:
    if isinstance(first, dict):
        return isinstance(second, dict) and first.keys() == second.keys()
    return not isinstance(second, dict)


def _offer(observation: RawObservation) -> str:
    return cut(", ".join(sorted(observation)), 150) if isinstance(observation, dict) else "a single array"


def stack(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    """
    :param name: What they are, for messages.
    :param arrays: n arrays.
    :return: The same with first axis n.
    :raises TeacherError: if their shapes differ.
    """
    arrays = [np.asarray(array) for array in arrays]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise TeacherError(f"the environments offer {cut(repr(name), 60)} in different shapes: {shortened(sorted(shapes))}")
    return np.array(arrays)
