"""Finds from the reward alone by what the teacher's actions are moved and scaled, and takes it out of the labels."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_rpd.common.advantages import normalized
from sb3_rpd.common.buffers import TeacherLabelsMixin

#: How many observations go through the policy at once.
_CHUNK = 4096
#: From as much in the other direction to twice as much.
_GAIN_RANGE = (-2.0, 1.0)


@dataclass
class LabelDebiasing:
    """
    Corrects the teacher's labels by one offset and one gain for each dimension of the action: ``a_T + gain * a_T + bias``.

    A teacher that always errs in the same way (its camera was moved, an axis is calibrated wrongly or has the wrong sign) is
    imitated with its error. The reward knows better. With the advantages A, normalized over a rollout, the actions a that were
    taken, and the mean mu and standard deviation sigma of the Gaussian policy that took them, ``mean(A * (a - mu) / sigma)``
    is the gradient of the expected return for a shift of the policy's mean, in units of sigma (Williams 1992); with the
    teacher's actions a_T, less their mean m, as a further factor, the one for a shift by so much of them. What such a shift of
    the student gains, the same shift of what it imitates gains, so after each rollout ::

        bias += step_size * (1 - success rate) * mean(A * (a - mu) / sigma) * w
        gain += gain_step_size * (1 - success rate) * mean(A * (a - mu) / sigma * (a_T - m) / w)

    with half the Box's width w, 1 where it is unbounded; an entry without a label counts as zero in the second mean, since
    few labels say little. The labels are scaled about m, so that a gain does not move what the offset has found: what it adds
    to them on average is taken from ``bias``. A dimension in which the teacher nearly always says the same, such as a gripper
    that is open most of the time, keeps its gain. One of -2 turns a dimension around; it is held in [-2, 1]. Other errors are
    not corrected: a gripper that closes late, say. In dimensions that do not matter both drift a little, with the errors of
    the advantages; the factor (1 - success rate) holds them where the student succeeds.

    :param step_size: How far the offset moves where an action that is larger by sigma gains one standard deviation of the
        advantage, in halves of the Box's width.
    :param gain_step_size: The same for the gain, where half of the teacher's actions are at either bound of the Box; 0 leaves
        it at 0.
    :param start: From which part of the training on, in [0, 1). Until then the labels are the teacher's own, by which the
        student of a teacher without such an error learns faster.
    :param limit: How far outside of the Box a corrected label may be, in halves of its width: the student's mean may be
        there, too.
    :raises ValueError: if a setting is out of its range.
    """

    step_size: float = 0.3
    gain_step_size: float = 2.0
    start: float = 0.25
    limit: float = 0.5
    #: What is added to the labels, in action units, of shape (action_dim,); None before the first rollout.
    bias: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)
    #: By how much of themselves the labels are changed before that, of shape (action_dim,); None before the first rollout.
    gain: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.step_size < math.inf:
            raise ValueError(f"LabelDebiasing's step_size must be finite and > 0, not {self.step_size}.")
        if not 0.0 <= self.gain_step_size < math.inf:
            raise ValueError(f"LabelDebiasing's gain_step_size must be finite and >= 0, not {self.gain_step_size}.")
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
        """Forget the correction, for a training that begins anew."""
        self.bias = self.gain = None

    def learn_from(
        self,
        policy: ActorCriticPolicy,
        buffer: TeacherLabelsMixin,
        *,
        progress_remaining: float,
        success_rate: float | None,
        rewarded: np.ndarray | None = None,
    ) -> None:
        """
        Learn from one rollout, and correct its labels.

        :param policy: The policy that collected it, as it was then.
        :param buffer: The complete rollout. Labels are changed in place.
        :param progress_remaining: See ``update``.
        :param success_rate: See ``update``.
        :param rewarded: Which entries tell something, booleans of shape (n_steps, n_envs); None for all of them.
        """
        assert isinstance(buffer.action_space, spaces.Box)
        if rewarded is not None:
            rewarded = buffer.in_present_order(rewarded.T.reshape(-1, 1)).reshape(-1)
        labels = buffer.labels_in_present_order()
        self.update(
            buffer.advantages.reshape(-1),
            _standardized_deviations(policy, buffer),
            labels.reshape(-1, buffer.action_dim),
            _half_width(buffer.action_space),
            progress_remaining=progress_remaining,
            success_rate=success_rate,
            rewarded=rewarded,
        )
        labels[...] = self.correct(labels, buffer.action_space)

    def update(
        self,
        advantages: np.ndarray,
        deviations: np.ndarray,
        labels: np.ndarray,
        half_width: np.ndarray,
        *,
        progress_remaining: float,
        success_rate: float | None,
        rewarded: np.ndarray | None = None,
    ) -> None:
        """
        Learn from one rollout.

        :param advantages: Shape (n,).
        :param deviations: The actions that were taken (not clipped) less the policy's mean, over its standard deviation, shape
            (n, action_dim).
        :param labels: The teacher's actions, shape (n, action_dim); NaN where there is no label.
        :param half_width: Half the width of the Box, shape (action_dim,); 1 where it is unbounded.
        :param progress_remaining: As SB3 has it: 1 at the beginning of ``learn``, 0 at its end.
        :param success_rate: The student's success rate over its last episodes; None, where it is not known, counts as 0.
        :param rewarded: Which entries tell something, booleans of shape (n,); the others count as zeros. None for all of them.
        """
        if self.bias is None or self.gain is None:
            self.bias, self.gain = np.zeros((2, deviations.shape[1]))
        if 1.0 - progress_remaining < self.start:
            return
        shift_gradients = normalized(advantages)[:, np.newaxis] * deviations
        if rewarded is not None:
            shift_gradients = np.where(rewarded[:, np.newaxis], shift_gradients, 0.0)
        labeled = ~np.isnan(labels).any(axis=1)
        failure_rate = 1.0 if success_rate is None or math.isnan(success_rate) else 1.0 - success_rate
        self.bias = self.bias + self.step_size * failure_rate * shift_gradients.mean(axis=0) * half_width
        if labeled.any():
            # About the mean of the labels, which stays where the offset has it
            mean = labels[labeled].mean(axis=0)
            gradient = (shift_gradients[labeled] * (labels[labeled] - mean) / half_width).sum(axis=0) / len(labels)
            gain = np.clip(self.gain + self.gain_step_size * failure_rate * gradient, *_GAIN_RANGE)
            self.bias -= (gain - self.gain) * mean
            self.gain = gain

    def correct(self, labels: np.ndarray, action_space: spaces.Box) -> np.ndarray:
        """
        :param labels: The teacher's actions, shape (n, action_dim); NaN where there is no label.
        :param action_space: The action space of one environment.
        :return: The same, scaled by the gain, moved by the offset and held within ``limit`` of the Box.
        """
        assert self.bias is not None
        assert self.gain is not None
        margin = self.limit * _half_width(action_space)
        low, high = action_space.low.reshape(-1) - margin, action_space.high.reshape(-1) + margin
        corrected: np.ndarray = np.clip((1.0 + self.gain) * labels + self.bias, low, high)
        return corrected.astype(labels.dtype)


def _half_width(action_space: spaces.Box) -> np.ndarray:
    with np.errstate(over="ignore"):
        half_width = (action_space.high.astype(np.float64) - action_space.low).reshape(-1) / 2.0
    return np.where(np.isfinite(half_width), half_width, 1.0)


@th.no_grad()
def _standardized_deviations(policy: ActorCriticPolicy, buffer: TeacherLabelsMixin) -> np.ndarray:
    """
    :param policy: The policy that collected the rollout.
    :param buffer: The rollout, in SB3's order before training or in that of training.
    :return: The actions less the policy's mean, over its standard deviation, of shape (entries, action_dim).
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
    deviations: np.ndarray = (actions - np.concatenate(means)) / np.concatenate(stds)
    return deviations
