"""Finds a constant offset of the teacher's actions from the reward alone, and takes it out of the labels."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_rpd.common.buffers import TeacherLabelsMixin

#: How many observations go through the policy at once.
_CHUNK = 4096


@dataclass
class LabelDebiasing:
    """
    Learns one offset for each dimension of the action, which is added to the teacher's labels.

    A teacher that always errs in the same direction (its camera was moved, an axis is calibrated wrongly) is imitated with
    its error. The reward knows better: moving the mean of a Gaussian policy everywhere by the same vector changes the expected
    return by its policy gradient, ``mean(A * (a - mu) / sigma ** 2)`` over a rollout (Williams 1992), with the advantages A,
    normalized over the rollout, the actions a that were taken, and the mean mu and standard deviation sigma of the policy that
    took them. What a shift of the student gains, the same shift of what it imitates gains, so after each rollout ::

        bias += step_size * (1 - success rate) * mean(A * (a - mu) / sigma ** 2)

    It corrects an offset and no other error: not an axis with the wrong sign, not a gripper that closes late. In dimensions
    that do not matter it drifts a little, with the errors of the advantages; the factor (1 - success rate) holds it where the
    student succeeds.

    :param step_size: How far one unit of the gradient moves the offset, in action units.
    :param start: From which part of the training on, in [0, 1). Until then the labels are the teacher's own, by which the
        student of a teacher without an offset learns faster.
    :param limit: How far outside of the Box a corrected label may be, in halves of its width: the student's mean may be
        there, too.
    :raises ValueError: if a setting is out of its range.
    """

    step_size: float = 0.05
    start: float = 0.25
    limit: float = 0.5
    #: What is added to the labels, in action units, of shape (action_dim,); None before the first rollout.
    bias: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.step_size < math.inf:
            raise ValueError(f"LabelDebiasing's step_size must be finite and > 0, not {self.step_size}.")
        if not 0.0 <= self.start < 1.0:
            raise ValueError(f"LabelDebiasing's start is a part of the training, in [0, 1), not {self.start}.")
        if not 0.0 <= self.limit < math.inf:
            raise ValueError(f"LabelDebiasing's limit must be finite and >= 0, not {self.limit}.")

    def check(self, action_space: spaces.Space[Any], squash_output: bool) -> None:
        """
        :param action_space: The action space of one environment.
        :param squash_output: Whether the policy squashes its actions with a tanh.
        :raises ValueError: if the student's actions are not Gaussian in the environment's units.
        """
        if not isinstance(action_space, spaces.Box) or squash_output:
            raise ValueError(
                f"LabelDebiasing moves the mean of a Gaussian policy, and this one, for {type(action_space).__name__} actions"
                f"{' with squash_output=True' if squash_output else ''}, has none in the environment's units. Leave it out."
            )

    def restart(self) -> None:
        """Forget the offset, for a training that begins anew."""
        self.bias = None

    def learn_from(
        self, policy: ActorCriticPolicy, buffer: TeacherLabelsMixin, *, progress_remaining: float, success_rate: float | None
    ) -> None:
        """
        Learn from one rollout, and correct its labels.

        :param policy: The policy that collected it, as it was then.
        :param buffer: The complete rollout. Labels are changed in place.
        :param progress_remaining: See ``update``.
        :param success_rate: See ``update``.
        """
        deviations, std = _deviations(policy, buffer)
        advantages = buffer.advantages.reshape(-1)
        self.update(advantages, deviations, std, progress_remaining=progress_remaining, success_rate=success_rate)
        assert isinstance(buffer.action_space, spaces.Box)
        labels = buffer.teacher_actions
        labels[...] = self.correct(labels, buffer.action_space)

    def update(
        self,
        advantages: np.ndarray,
        deviations: np.ndarray,
        std: np.ndarray,
        *,
        progress_remaining: float,
        success_rate: float | None,
    ) -> np.ndarray:
        """
        Learn from one rollout.

        :param advantages: Shape (n,).
        :param deviations: The actions that were taken (not clipped) less the policy's mean, shape (n, action_dim).
        :param std: The policy's standard deviations, shape (n, action_dim).
        :param progress_remaining: As SB3 has it: 1 at the beginning of ``learn``, 0 at its end.
        :param success_rate: The student's success rate over its last episodes; None, where it is not known, counts as 0.
        :return: The offset, shape (action_dim,).
        """
        if self.bias is None:
            self.bias = np.zeros(deviations.shape[1])
        if 1.0 - progress_remaining >= self.start:
            normalized = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
            gradient = (normalized[:, np.newaxis] * deviations / std**2).mean(axis=0)
            failure_rate = 1.0 if success_rate is None or math.isnan(success_rate) else 1.0 - success_rate
            self.bias = self.bias + self.step_size * failure_rate * gradient
        return self.bias

    def correct(self, labels: np.ndarray, action_space: spaces.Box) -> np.ndarray:
        """
        :param labels: The teacher's actions, shape (n, action_dim); NaN where there is no label.
        :param action_space: The action space of one environment.
        :return: The same, moved by the offset and held within ``limit`` of the Box.
        """
        assert self.bias is not None
        low, high = action_space.low.reshape(-1).astype(np.float64), action_space.high.reshape(-1).astype(np.float64)
        with np.errstate(over="ignore"):
            margin = self.limit * (high - low) / 2.0
        corrected: np.ndarray = np.clip(labels + self.bias, low - margin, high + margin)
        return corrected.astype(labels.dtype)


@th.no_grad()
def _deviations(policy: ActorCriticPolicy, buffer: TeacherLabelsMixin) -> tuple[np.ndarray, np.ndarray]:
    """
    :param policy: The policy that collected the rollout.
    :param buffer: The rollout, in SB3's order before training or in that of training.
    :return: The actions less the policy's mean, and its standard deviation, both of shape (entries, action_dim).
    """
    actions = buffer.actions.reshape(-1, buffer.action_dim)
    length = len(buffer.actions)
    step = max(_CHUNK * length // len(actions), 1)
    means, stds = [], []
    for start in range(0, length, step):
        normal = buffer.distribution(policy, start, start + step).distribution
        assert isinstance(normal, th.distributions.Normal)
        means.append(normal.mean.cpu().numpy())
        stds.append(normal.stddev.cpu().numpy())
    return actions - np.concatenate(means), np.concatenate(stds)
