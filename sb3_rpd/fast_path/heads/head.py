"""What the fast path has to know of a distribution over actions."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, TypeAlias

import torch as th
from stable_baselines3.common.distributions import Distribution

from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.fast_path.rows import Rows

DISTRIBUTION_IS_NAN = (
    "The student's distribution of actions is NaN. Either an observation or a reward is not finite, or the training "
    "has diverged: then take a lower learning rate, or a lower imitation_coef."
)

#: What a distribution is made of, or the gradient of the loss with respect to it: tensors whose first axis are the rows.
Parameters: TypeAlias = tuple[th.Tensor, ...]


class Outputs(NamedTuple):
    """
    What the networks of a policy put out for a minibatch, or the gradient of the loss with respect to it.

    :param actions: What ``action_net`` puts out, shape (rows, width).
    :param log_std: The policy's parameter of that name, None where there is none.
    :param values: Shape (rows,).
    :param latent: What ``action_net`` is given, shape (rows, latent_dim). No gradient comes back to it.
    """

    actions: th.Tensor
    log_std: th.Tensor | None
    values: th.Tensor
    latent: th.Tensor | None = None


class LogProb(NamedTuple):
    """
    The log-probability of one action for each row.

    :param value: Shape (rows,).
    :param derivatives: Its derivative by each number of the distribution's parameters.
    """

    value: th.Tensor
    derivatives: Parameters


class Evaluation(NamedTuple):
    """
    The distribution over the actions of a minibatch, beside that of the rollout.

    :param parameters: Those of the distribution.
    :param log_ratio: The logarithm of the probability ratio of the actions taken, shape (rows,).
    :param ratio: The probability ratio, shape (rows,).
    :param derivatives: The derivative of ``log_ratio`` by each number of ``parameters``.
    """

    parameters: Parameters
    log_ratio: th.Tensor
    ratio: th.Tensor
    derivatives: Parameters


class Head(ABC):
    """
    The distribution over actions that a policy ends in: its parameters as a function of what the networks put out, and the
    losses as a function of its parameters, with all derivatives written out.

    :param of_policy: The policy's own distribution, of which acting in a rollout makes use.
    """

    #: SB3's class of the distribution.
    kind: ClassVar[type[Distribution]]
    #: Whether the entropy has a closed form. Where it has none, PPO takes minus the log-probability for it.
    has_entropy: ClassVar[bool] = True
    #: The imitation losses whose gradient is written out. All others go through autograd.
    imitation_gradients: ClassVar[Mapping[type[ImitationLoss], type["ImitationGradient"]]]

    def __init__(self, of_policy: Distribution) -> None:
        self.of_policy = of_policy

    @classmethod
    def fits(cls, distribution: Distribution) -> bool:
        """
        :param distribution: A policy's.
        :return: Whether this head is for it.
        """
        return type(distribution) is cls.kind

    def prepare(self, rows: Rows) -> Rows:
        """
        :param rows: Those of a rollout, as the buffer has them.
        :return: With actions and their log-probabilities as ``log_prob`` takes and gives them.
        """
        return rows

    @abstractmethod
    def parameters(self, outputs: Outputs) -> Parameters:
        """
        :param outputs: Those of the networks.
        :return: The parameters of the distribution.
        """

    @abstractmethod
    def backward(self, of_parameters: Parameters, parameters: Parameters, outputs: Outputs, of_values: th.Tensor) -> Outputs:
        """
        :param of_parameters: The gradient of the loss with respect to the parameters.
        :param parameters: The parameters.
        :param outputs: What they were made of.
        :param of_values: The gradient with respect to the values.
        :return: The gradient with respect to the outputs.
        """

    @abstractmethod
    def distribution(self, parameters: Parameters) -> Distribution:
        """
        :param parameters: The parameters of the distribution; a gradient comes back to them.
        :return: SB3's own, without its checks.
        """

    @abstractmethod
    def mode(self, parameters: Parameters) -> th.Tensor:
        """
        :param parameters: The parameters of the distribution.
        :return: The deterministic actions, as a buffer has them, shape (rows, action_dim).
        """

    @abstractmethod
    def log_prob(self, parameters: Parameters, actions: th.Tensor) -> LogProb:
        """
        :param parameters: The parameters of the distribution.
        :param actions: Those of prepared rows.
        :return: Their log-probability.
        """

    @abstractmethod
    def add_entropy_gradient(self, of_parameters: Parameters, parameters: Parameters, weight: float) -> None:
        """
        :param of_parameters: To what it is added, in place.
        :param parameters: The parameters of the distribution.
        :param weight: What the gradient of the sum of the rows' entropies is multiplied by.
        """

    def entropy(self, parameters: Parameters, log_prob: th.Tensor, actions: th.Tensor) -> th.Tensor:
        """
        :param parameters: The parameters of the distribution.
        :param log_prob: The log-probability of the actions taken.
        :param actions: Those of prepared rows.
        :return: What PPO takes for the entropy of each row, shape (rows,).
        """
        entropy = self.distribution(parameters).entropy()
        assert entropy is not None
        return entropy

    def evaluate(self, outputs: Outputs, rows: Rows) -> Evaluation:
        """
        :param outputs: Those of the networks.
        :param rows: The same rows of the rollout, prepared.
        :return: The distribution, beside that of the rollout.
        """
        parameters = self.parameters(outputs)
        log_prob, derivatives = self.log_prob(parameters, rows.actions)
        log_ratio = log_prob - rows.old_log_prob
        return Evaluation(parameters, log_ratio, th.exp(log_ratio), derivatives)

    # ---------------------------------------------------------------- acting in a rollout, to the last bit

    @abstractmethod
    def set_unchecked(self, outputs: Outputs) -> th.Tensor:
        """
        Do what ``proba_distribution`` of the policy's own distribution does, without the checks of torch.

        :param outputs: Those of the networks.
        :return: A scalar that is finite if these checks would pass (it may also be infinite or NaN then).
        """

    @abstractmethod
    def set_checked(self, outputs: Outputs) -> None:
        """
        Call ``proba_distribution`` of the policy's own distribution.

        :param outputs: Those of the networks.
        :raises ValueError: from torch, if they are no parameters of a distribution.
        """

    def act(self, outputs: Outputs, deterministic: bool) -> tuple[th.Tensor, th.Tensor]:
        """
        :param outputs: Those of the networks, for the observations of a step.
        :param deterministic: Whether to take the most probable actions.
        :return: Actions and their log-probabilities.
        :raises ValueError: if the outputs are no parameters of a distribution.
        """
        if not math.isfinite(self.set_unchecked(outputs).item()):
            try:
                self.set_checked(outputs)
            except ValueError as error:
                raise ValueError(DISTRIBUTION_IS_NAN) from error
        return self.choose(deterministic)

    def choose(self, deterministic: bool) -> tuple[th.Tensor, th.Tensor]:
        """
        :param deterministic: Whether to take the most probable actions.
        :return: Actions from the policy's own distribution and their log-probabilities.
        """
        actions = self.of_policy.get_actions(deterministic=deterministic)
        return actions, self.of_policy.log_prob(actions)


class ImitationGradient(ABC):
    """
    The gradient of ``coef * loss``, and for the log the loss itself.

    :param head: The student's.
    :param loss: The imitation loss.
    :param coef: Its coefficient.
    :param clip_range: PPO's.
    """

    def __init__(self, head: Head, loss: ImitationLoss, coef: float, clip_range: float) -> None:
        self.head = head
        self.loss = loss
        self.coef = coef
        self.clip_range = clip_range

    @abstractmethod
    def add_to(self, of_parameters: Parameters, evaluation: Evaluation, rows: Rows) -> None:
        """
        :param of_parameters: To what it is added, in place.
        :param evaluation: The student's distribution.
        :param rows: The same rows of the rollout, prepared.
        """

    def by_row(self, parameters: Parameters, rows: Rows, ratio: th.Tensor) -> th.Tensor:
        """
        :param parameters: Those of the student's distribution.
        :param rows: The same rows of the rollout, prepared.
        :param ratio: The probability ratio of the actions taken.
        :return: The loss of each row, without the coefficient, shape (rows,).
        """
        return self.loss.by_row(self.head.distribution(parameters), rows.labels, ratio, self.clip_range)
