"""One training on the fast path: epochs over one rollout."""

import math
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import TensorDict

from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.ppo_loss import PPOLossSettings
from sb3_rpd.common.training_log import TrainingLog
from sb3_rpd.fast_path.epoch_log import EpochLog, Trained
from sb3_rpd.fast_path.gradients import loss_gradient
from sb3_rpd.fast_path.heads.choice import head_of
from sb3_rpd.fast_path.heads.head import DISTRIBUTION_IS_NAN
from sb3_rpd.fast_path.imitation import AutogradImitation, imitation_gradient
from sb3_rpd.fast_path.minibatches import Minibatches
from sb3_rpd.fast_path.networks import AutogradNetworks, Networks, PerceptronNetworks
from sb3_rpd.fast_path.optimizers import FlatOptimizer, FusedOptimizer
from sb3_rpd.fast_path.rows import Rows, rollout_rows


class FastTraining:
    """
    A context manager, inside which epochs over a rollout are trained.

    :param policy: A policy that the fast path covers.
    :param buffer: A complete rollout.
    :param action_space: The action space of one environment.
    :param batch_size: Rows of a minibatch, of which there may be fewer in the rollout.
    :param settings: Those of PPO's loss.
    :param imitation_loss: None for none.
    :param imitation_coef: Its coefficient.
    :param max_grad_norm: See PPO.
    :param target_kl: See PPO.
    """

    def __init__(
        self,
        policy: ActorCriticPolicy,
        buffer: TeacherLabelsMixin,
        action_space: spaces.Space[Any],
        *,
        batch_size: int,
        settings: PPOLossSettings,
        imitation_loss: ImitationLoss | None,
        imitation_coef: float,
        max_grad_norm: float,
        target_kl: float | None,
    ) -> None:
        head = head_of(policy.action_dist)
        assert head is not None
        self._head = head
        self._policy = policy
        self._action_space = action_space
        self._settings = settings
        self._imitation = None
        if imitation_loss is not None:
            self._imitation = imitation_gradient(head, imitation_loss, imitation_coef, settings.clip_range)
        self._max_grad_norm = max_grad_norm
        self._target_kl = target_kl

        buffer.flatten()
        # On the device once for all epochs; images stay bytes
        self._rows = head.prepare(rollout_rows(buffer, policy.device))
        self._observations = _to_device(buffer.observations, policy.device)
        n_rows = len(self._rows.returns)
        # Memory is made ready for so many rows
        self._minibatches = Minibatches(n_rows, min(batch_size, n_rows))
        self._is_perceptron = _is_perceptron(policy)
        # Without autograd anywhere torch need not keep count of what is written where
        self._is_closed_form = self._is_perceptron and not isinstance(self._imitation, AutogradImitation)
        self._optimizer = FlatOptimizer(policy.optimizer) if self._is_perceptron else FusedOptimizer(policy.optimizer)

    def __enter__(self) -> "FastTraining":
        with ExitStack() as stack:
            stack.enter_context(self._optimizer)
            self._networks: Networks
            if self._is_perceptron:
                self._networks = PerceptronNetworks(self._policy)
            else:
                self._networks = AutogradNetworks(self._policy, self._minibatches.batch_size)
            # There may be no memory for the networks, so only now
            self._optimizer_exit = stack.pop_all()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._optimizer_exit.__exit__(error_type, error, traceback)

    def train_epoch(self, epoch: int, statistics: TrainingLog) -> float | None:
        """
        :param epoch: Its number.
        :param statistics: What the log is to say is added to it.
        :return: The approximate KL divergence that ended the epoch early, None if none did.
        """
        with th.no_grad(), th.inference_mode(self._is_closed_form):
            return self._train_epoch(epoch, statistics)

    def _train_epoch(self, epoch: int, statistics: TrainingLog) -> float | None:
        # SB3's own generator, so that the minibatches are those of PPO
        order = th.as_tensor(np.random.permutation(self._minibatches.n_rows), device=self._policy.device)  # noqa: NPY002
        rows = self._rows.epoch(order, self._minibatches, normalize_advantage=self._settings.normalize_advantage)
        trained: list[Trained] = []
        approx_kl = None
        entries = th.split(order, self._minibatches.batch_size)
        for batch_entries, batch in zip(entries, rows.split(self._minibatches), strict=True):
            outputs = self._networks.forward(_select(self._observations, batch_entries))
            evaluation = self._head.evaluate(outputs, batch)
            trained.append(Trained(evaluation.parameters, evaluation.log_ratio, outputs.values))
            if self._target_kl is not None:
                approx_kl = (evaluation.ratio - 1.0 - evaluation.log_ratio).mean().item()
                if approx_kl > 1.5 * self._target_kl:
                    break
            gradient = loss_gradient(self._head, outputs, evaluation, batch, self._settings, self._imitation)
            self._networks.backward(gradient)
            self._optimizer.step(self._max_grad_norm)
        else:
            approx_kl = None
        self._add_statistics(epoch, Trained.joined(trained), rows, statistics)
        return approx_kl

    def _add_statistics(self, epoch: int, trained: Trained, rows: Rows, statistics: TrainingLog) -> None:
        _refuse_nan(trained.parameters[0])
        # Fewer than all rows if the epoch ended early
        minibatches = Minibatches(len(trained.values), self._minibatches.batch_size)
        of_epoch = EpochLog(self._head, trained, rows.first(minibatches.n_rows), minibatches, self._settings)
        by_name = of_epoch.of_ppo()
        loss = by_name.pop("train/loss")
        if self._imitation is not None:
            of_imitation = of_epoch.of_imitation(self._imitation, self._action_space if epoch == 0 else None)
            loss += self._imitation.coef * of_imitation["train/imitation_loss"]
            # A minibatch without any label has a loss and an agreement of zero that say nothing
            has_labels = of_epoch.has_labels()
            by_name |= {name: scalars[has_labels] for name, scalars in of_imitation.items()}
        for name, scalars in by_name.items():
            statistics.extend(name, scalars)
        statistics.restart("train/loss")
        statistics.add("train/loss", loss[-1])


def variant(policy: ActorCriticPolicy) -> str:
    """
    :param policy: A policy that the fast path covers.
    :return: What a training of it does, in words.
    """
    optimizer = type(policy.optimizer).__name__
    ways = (
        f"layers by the chain rule, {optimizer} on one vector"
        if _is_perceptron(policy)
        else f"networks by autograd, {optimizer}"
    )
    return f"{type(policy.action_dist).__name__} in closed form, {ways}"


def _is_perceptron(policy: ActorCriticPolicy) -> bool:
    return PerceptronNetworks.fits(policy) and FlatOptimizer.fits(policy.optimizer)


def _refuse_nan(parameter: th.Tensor) -> None:
    """:raises ValueError: if a number is NaN; the distributions of the plain path check the same."""
    if math.isnan(parameter.sum().item()):
        raise ValueError(DISTRIBUTION_IS_NAN)


def _to_device(observations: np.ndarray | dict[str, np.ndarray], device: th.device) -> th.Tensor | TensorDict:
    if isinstance(observations, dict):
        return {name: th.as_tensor(array, device=device) for name, array in observations.items()}
    return th.as_tensor(observations, device=device)


def _select(observations: th.Tensor | TensorDict, entries: th.Tensor) -> th.Tensor | TensorDict:
    if isinstance(observations, dict):
        return {name: tensor.index_select(0, entries) for name, tensor in observations.items()}
    return observations.index_select(0, entries)
