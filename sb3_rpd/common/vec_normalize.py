"""The statistics of ``VecNormalize`` that a model was trained with."""

from copy import deepcopy
from pathlib import Path

from stable_baselines3.common.save_util import load_from_pkl
from stable_baselines3.common.vec_env import VecNormalize

from sb3_rpd.common.errors import TeacherError


def load_statistics(vec_normalize: VecNormalize | str | Path) -> VecNormalize:
    """
    :param vec_normalize: The statistics, or the path that ``VecNormalize.save()`` wrote: a pickle, so only somebody's whom you
        trust.
    :return: A copy that no training changes any more.
    :raises TeacherError: if the file holds something else.
    """
    if isinstance(vec_normalize, VecNormalize):
        return deepcopy(vec_normalize)
    loaded = load_from_pkl(vec_normalize)
    if not isinstance(loaded, VecNormalize):
        raise TeacherError(f"{vec_normalize} holds a {type(loaded).__name__}, not what VecNormalize.save() writes.")
    return loaded
