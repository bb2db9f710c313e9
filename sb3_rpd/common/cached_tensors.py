"""Small tensors of constants, made once."""

from functools import lru_cache
from typing import Any

import torch as th


@lru_cache(maxsize=32)
def constant(values: float | tuple[Any, ...], dtype: th.dtype, device: th.device) -> th.Tensor:
    """
    :param values: A number, or (nested) tuples of numbers.
    :param dtype: The tensor's type.
    :param device: The tensor's device.
    :return: A tensor of these values, kept, because a copy to a GPU at every minibatch would wait for it.
    """
    with th.inference_mode(False):
        return th.tensor(values, dtype=dtype, device=device)
