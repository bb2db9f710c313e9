"""Keeps objects of this package in an SB3 archive in a form that a machine without this package ignores."""

import base64
import io
import pickle
from typing import Any

import cloudpickle
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.wording import cut


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Refuses what has no place in a student's archive, which a method of a callback would take along."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, BaseAlgorithm | VecEnv | Teacher):
            raise pickle.PicklingError(f"it holds a {type(value).__name__}")
        return super().reducer_override(value)


def pack(value: Any) -> str:
    """
    :param value: Any picklable object.
    :return: Its pickle as text, which SB3 stores as plain JSON and does not try to read.
    :raises Exception: of any type, if it cannot be pickled, or only together with a model, its environments or a teacher.
    """
    memory = io.BytesIO()
    _Pickler(memory).dump(value)
    return base64.b64encode(memory.getvalue()).decode()


def unpack(text: str, name: str) -> Any:
    """
    :param text: What ``pack`` returned. Like the rest of an SB3 archive it must come from somebody you trust.
    :param name: The argument of ``load`` that takes the object's place.
    :return: The object.
    :raises RuntimeError: if the object cannot be restored here, say for want of a module that defines its class.
    """
    try:
        return cloudpickle.loads(base64.b64decode(text))
    except Exception as error:
        raise RuntimeError(
            f"The {name} in this archive cannot be restored here ({cut(repr(error))}). Give another one in its place: "
            f"load(path, {name}=...)."
        ) from error
