"""The statistics of ``VecNormalize`` that a model was trained with."""

from copy import deepcopy
from pathlib import Path

import numpy as np
from stable_baselines3.common.save_util import load_from_pkl
from stable_baselines3.common.vec_env import VecNormalize

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.type_aliases import RawObservation

#: What belongs to the environments, and is no part of a ``VecNormalize`` without any.
_OF_THE_ENVIRONMENTS = ("venv", "class_attributes", "returns")


def load_statistics(vec_normalize: VecNormalize | str | Path) -> VecNormalize:
    """
    :param vec_normalize: The statistics, with or without environments, or the path that ``VecNormalize.save()`` wrote: a
        pickle, so only somebody's whom you trust.
    :return: A copy without environments, which no training changes any more.
    :raises TeacherError: if the file holds something else.
    """
    if isinstance(vec_normalize, VecNormalize):
        # one without environments has no way of being copied of its own
        copied = VecNormalize.__new__(VecNormalize)
        state = {name: value for name, value in vars(vec_normalize).items() if name not in _OF_THE_ENVIRONMENTS}
        copied.__setstate__(deepcopy(state))
        return copied
    loaded = load_from_pkl(vec_normalize)
    if not isinstance(loaded, VecNormalize):
        raise TeacherError(f"{vec_normalize} holds a {type(loaded).__name__}, not what VecNormalize.save() writes.")
    return loaded


def normalized(observation: RawObservation, vec_normalize: VecNormalize | None, whose: str) -> RawObservation:
    """
    :param observation: A batch of observations as an environment gives them.
    :param vec_normalize: The statistics; None leaves the observations as they are.
    :param whose: Whose they are, for messages: "teacher" or "student".
    :return: The batch as the model is to see it.
    :raises TeacherError: if the statistics are of observations of another shape.
    """
    if vec_normalize is None or not vec_normalize.norm_obs:
        return observation
    rms = vec_normalize.obs_rms
    for name, statistics in rms.items() if isinstance(rms, dict) else [("", rms)]:
        array = observation[name] if isinstance(observation, dict) else observation
        if array.shape[1:] != statistics.mean.shape:
            raise TeacherError(
                f"The {whose}'s VecNormalize statistics{f' of {name!r}' if name else ''} have the shape "
                f"{statistics.mean.shape}, the environment's observations {array.shape[1:]}."
            )
    return vec_normalize.normalize_obs(observation)


def save_statistics(vec_normalize: VecNormalize | str | Path, path: Path) -> None:
    """
    Save statistics as ``VecNormalize.save()`` does, also those that have no environments.

    :param vec_normalize: What ``load_statistics`` takes.
    :param path: Where to.
    """
    copied = load_statistics(vec_normalize)
    # Its pickling leaves them out, and wants them to be there
    copied.class_attributes, copied.returns = {}, np.zeros(0)
    copied.save(str(path))
