"""Imitation losses by name, and what is no imitation loss."""

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces

from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber, ImitationLoss
from sb3_rpd.common.wording import cut, function_name, shortened

_LOSSES: Mapping[str, type[ImitationLoss]] = {
    "mse": MSE,
    "l1": L1,
    "huber": Huber,
    "nll": NLL,
    "bc": NLL,
    "kl": KL,
    "cosine": Cosine,
}

#: The classes of all losses that have a name.
LOSS_CLASSES = tuple(dict.fromkeys(_LOSSES.values()))

_NAMES = shortened(("auto", *_LOSSES), limit=len(_LOSSES) + 1)


def make_imitation_loss(loss: str | ImitationLoss, action_space: spaces.Space[Any], squash_output: bool) -> ImitationLoss:
    """
    Find the loss of that name, and make sure that it fits the action space.

    :param loss: "auto" ("mse" for a Box, "nll" for the discrete spaces), "mse", "l1", "huber", "nll" (or "bc"), "kl",
        "cosine", or a loss.
    :param action_space: The action space of one environment.
    :param squash_output: Whether the policy squashes its actions with a tanh (gSDE only).
    :return: The loss.
    :raises ValueError: if there is none of that name, or if it does not fit.
    :raises TypeError: if it is neither a name nor a loss.
    """
    if isinstance(loss, str):
        name = loss
        if name == "auto":
            name = "mse" if isinstance(action_space, spaces.Box) else "nll"
        if name not in _LOSSES:
            raise ValueError(f"There is no imitation loss {cut(repr(loss))}: choose one of {_NAMES}.")
        loss = _LOSSES[name]()
    if not isinstance(loss, ImitationLoss):
        raise TypeError(f"imitation_loss must be one of the names {_NAMES}, or an ImitationLoss; {_why_no_loss(loss)}.")
    loss.check(action_space, squash_output)
    return loss


def _why_no_loss(loss: Any) -> str:
    if isinstance(loss, type):
        return f"this is the class {loss.__name__}, not an instance of it: write {loss.__name__}()"
    if callable(loss):
        return (
            f"this is a function, {function_name(loss)}: put it into a subclass of ImitationLoss, as "
            "per_sample(self, distribution, labels, ratio, clip_range), which returns a loss of shape (batch,)"
        )
    return f"this is {cut(repr(loss))}, of type {type(loss).__name__}"
