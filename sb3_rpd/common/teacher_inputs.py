"""What the teacher gets to see of each environment's present state, collected from a vectorized environment."""

from copy import deepcopy
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs
from stable_baselines3.common.vec_env.util import dict_to_obs

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.input_tracker import has_same_values
from sb3_rpd.common.type_aliases import RawObservation, TeacherInfo
from sb3_rpd.common.view_requests import ViewRequests
from sb3_rpd.common.wording import shortened
from sb3_rpd.common.wrappers import TEACHER_INFO_KEY, UNREAD, TeacherActionWrapper

_NO_INFO: dict[str, Any] = {}


class TeacherInputReader:
    """
    Reads what the teacher may see of each environment's present state.

    :param env: The training environment with all its wrappers.
    """

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        self._base = _innermost(env)
        self._wrapped = _which_are_wrapped(env)
        #: Whether the environments offer the teacher something; None while that is not known.
        self._offer: bool | None = True if any(self._wrapped) else None
        #: Says beforehand what is to be read; of the methods below those take part that are told what is wanted.
        self.requests = ViewRequests(env, is_possible=all(self._wrapped))
        # SB3's own VecEnvs give out infos that nobody changes any more
        self._infos_are_fresh = type(self._base) in (DummyVecEnv, SubprocVecEnv)

    @property
    def has_controller(self) -> bool:
        """Whether an environment gives finished actions, so that no teacher is needed."""
        offered = [info.get(TEACHER_INFO_KEY) for info in self.reset_infos()]
        if any(isinstance(info, dict) and "action" in info for info in offered):
            return True
        return any(self._wrapped) and any(_attributes_of_wrapped(self.env, self._wrapped, "has_controller"))

    def reset_infos(self) -> list[dict[str, Any]]:
        """
        What each environment's last reset returned. SB3's VecEnvs make new ones at each reset, or at each step: so as long as
        they are the same objects, nobody has reset the environments.
        """
        # A VecEnv that is not SB3's may leave them out, as PPO lets it
        return list(getattr(self._base, "reset_infos", None) or [_NO_INFO] * self.env.num_envs)

    def after_reset(self, observations: VecEnvObs) -> list[TeacherInfo]:
        """
        What the teacher may see just after ``env.reset()``.

        :param observations: What the reset returned, the student's observations; not to be changed any more.
        :return: One entry for each environment.
        :raises TeacherError: if what the environments offer does not arrive here.
        """
        return self.requests.fetch(self._read(observations, self.reset_infos()))

    def after_step(
        self, observations: VecEnvObs, dones: np.ndarray, infos: list[dict[str, Any]], wanted: np.ndarray | None = None
    ) -> list[TeacherInfo]:
        """
        What the teacher may see just after ``env.step()``.

        An environment that is done has been reset by the ``VecEnv``: its ``info`` still describes the last step of the
        finished episode, while the observation, and so the teacher's view, is the first of the new one.

        :param observations: What the step returned, the student's observations; not to be changed any more.
        :param dones: Which environments were reset.
        :param infos: What the step returned.
        :param wanted: Shape (n_envs,), bool: which environments' views are needed, as the requests have said; None for all.
        :return: One entry for each environment, which may be ``UNREAD`` where it is not needed.
        :raises TeacherError: if what the environments offer does not arrive here.
        """
        reset_infos = self.reset_infos()
        infos = infos or [_NO_INFO] * self.env.num_envs
        offered = self._read(observations, [reset_infos[i] if done else infos[i] for i, done in enumerate(dones)])
        if wanted is not None and self._offer:
            self.requests.compare(offered, wanted)
        return self.requests.fetch(offered, wanted)

    def present(self, observations: VecEnvObs, *, certain: bool) -> list[TeacherInfo] | None:
        """
        What the teacher may see if the environments are where somebody else than the rollout has taken them.

        :param observations: What their last reset or step returned; not to be changed any more.
        :param certain: Whether it must be certain that they are that.
        :return: One entry for each environment, ``UNREAD`` where nothing has been read; None if that cannot be told.
        """
        are_latest = _are_latest(self.env, observations)
        if are_latest is False or (certain and are_latest is None):
            return None
        if not self._offer:
            return _student_view(self.env, observations)
        offered = _attributes_of_wrapped(self.env, self._wrapped, "teacher_info")
        return offered if len(offered) == self.env.num_envs and None not in offered else None

    def writes_over(self) -> bool:
        """Whether a reset may write its observations over those that the environments returned last."""
        layer = self.env
        while isinstance(layer, VecEnvWrapper):
            if isinstance(layer, VecFrameStack):
                return True
            layer = layer.venv
        return False

    def _read(self, observations: VecEnvObs, infos: list[dict[str, Any]]) -> list[TeacherInfo]:
        offered = [_offered_in(info) for info in infos]
        arrived = [info for info in offered if info is not None]
        if self._offer is None:
            self._offer = bool(arrived)
        if not self._offer and not arrived:
            return _student_view(self.env, observations)
        if len(arrived) < self.env.num_envs or not self._offer:
            raise TeacherError(self._what_is_lost(len(arrived)))
        return arrived if self._infos_are_fresh else deepcopy(arrived)

    def _what_is_lost(self, n_arrived: int) -> str:
        n_envs, n_wrapped = self.env.num_envs, sum(self._wrapped)
        if n_wrapped == n_envs or not self._offer or n_arrived == 0:
            return (
                f'The environments offer the teacher a view of its own, but info["{TEACHER_INFO_KEY}"] does not arrive from '
                "each reset: a wrapper above the TeacherActionWrapper drops the info that reset() returns, as FireResetEnv in "
                "Stable-Baselines3's AtariWrapper does. Put the TeacherActionWrapper on top of that one: "
                "TeacherActionWrapper(AtariWrapper(env), ...). A VecEnv of your own must keep the infos of each reset in its "
                "reset_infos."
            )
        return (
            f'{n_wrapped or n_arrived} of {n_envs} environments have info["{TEACHER_INFO_KEY}"]: wrap all of them in a '
            "TeacherActionWrapper or none."
        )


def teacher_inputs_after_reset(env: VecEnv, observations: VecEnvObs) -> list[TeacherInfo]:
    """
    What the teacher may see just after ``env.reset()``, for a single look; see ``TeacherInputReader``.

    :param env: The training environment with all its wrappers.
    :param observations: What the reset returned.
    :return: One entry for each environment.
    :raises TeacherError: if what the environments offer does not arrive here.
    """
    return TeacherInputReader(env).after_reset(observations)


def _are_latest(env: VecEnv, observations: VecEnvObs) -> bool | None:
    """Whether these are what the environments returned last, as some of SB3's VecEnvs can tell; None where nobody can."""
    latest: VecEnvObs | None = None
    if isinstance(env, VecNormalize) and env.norm_obs:
        latest = env.normalize_obs(env.get_original_obs())
    elif isinstance(env, VecFrameStack):
        stacks: Any = env.stacked_obs
        latest = getattr(stacks, "stacked_obs", None)
        if latest is None:
            latest = {name: stack.stacked_obs for name, stack in stacks.sub_stacked_observations.items()}
    elif isinstance(env, DummyVecEnv):
        latest = dict_to_obs(env.observation_space, env.buf_obs)
    if latest is not None:
        return has_same_values(latest, observations)
    if isinstance(env, VecTransposeImage) and not env.skip:
        return _are_latest(env.venv, _channels_last_again(env, observations))
    if isinstance(env, VecMonitor | VecNormalize | VecTransposeImage):
        return _are_latest(env.venv, observations)
    return None


def _innermost(env: VecEnv) -> VecEnv:
    # Not env.unwrapped, which a wrapper that is not SB3's may lack
    while isinstance(inner := getattr(env, "venv", None), VecEnv):
        env = inner
    return env


def _which_are_wrapped(env: VecEnv) -> list[bool]:
    """Which environments have a ``TeacherActionWrapper``; none where a VecEnv that is not SB3's cannot tell."""
    try:
        return [bool(is_wrapped) for is_wrapped in env.env_is_wrapped(TeacherActionWrapper)]
    except Exception:
        return [False] * env.num_envs


def _attributes_of_wrapped(env: VecEnv, wrapped: list[bool], name: str) -> list[Any]:
    try:
        return list(env.get_attr(name, [index for index, is_wrapped in enumerate(wrapped) if is_wrapped]))
    except Exception:
        return []


def _offered_in(info: dict[str, Any]) -> TeacherInfo | None:
    if TEACHER_INFO_KEY not in info:
        return None
    offered = info[TEACHER_INFO_KEY]
    if isinstance(offered, dict) and offered.keys() & {"observation", "action", UNREAD}:
        return offered
    keys = f" with the keys {shortened(sorted(map(str, offered)))}" if isinstance(offered, dict) else ""
    raise TeacherError(
        f'An environment has an info["{TEACHER_INFO_KEY}"] of its own, a {type(offered).__name__}{keys}. Under this key RPD '
        "looks for what a TeacherActionWrapper offers the teacher: let the environment, or the wrapper that puts it there, "
        "take another name."
    )


def _student_view(env: VecEnv, observations: VecEnvObs) -> list[TeacherInfo]:
    raw = raw_student_observation(env, observations)
    if isinstance(raw, dict):
        return [{"observation": {name: array[i] for name, array in raw.items()}} for i in range(env.num_envs)]
    return [{"observation": raw[i]} for i in range(env.num_envs)]


def raw_student_observation(env: VecEnv, observations: VecEnvObs) -> RawObservation:
    """
    The student's observation as a teacher would expect it: un-normalized, images channels last.

    :param env: The training environment with all its wrappers.
    :param observations: What its last ``reset`` or ``step`` returned.
    :return: Observations, first axis the environments. Where a ``VecNormalize`` changed them they are those that it
        received, so without the frames that a ``VecFrameStack`` on top of it adds.
    """
    raw = observations
    transposed = None
    layer = env
    while isinstance(layer, VecEnvWrapper):
        if isinstance(layer, VecNormalize) and layer.norm_obs:
            return raw_student_observation(layer.venv, layer.get_original_obs())
        if isinstance(layer, VecTransposeImage) and not layer.skip:
            transposed = layer
        layer = layer.venv
    return raw if transposed is None else _channels_last_again(transposed, raw)  # type: ignore[return-value]


def _channels_last_again(transposed: VecTransposeImage, observations: VecEnvObs) -> VecEnvObs:
    if isinstance(observations, dict):
        images = transposed.image_space_keys
        return {name: _channels_last(array) if name in images else array for name, array in observations.items()}
    return _channels_last(observations)  # type: ignore[arg-type]


def _channels_last(images: np.ndarray) -> np.ndarray:
    return np.moveaxis(images, 1, -1)
