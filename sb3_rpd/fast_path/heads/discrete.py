"""All that the fast path knows of choices: the logarithm of the probability of each, for all dimensions of an action."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any, ClassVar, cast

import torch as th
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    Distribution,
    MultiCategoricalDistribution,
)
from torch.distributions import Bernoulli, Categorical
from torch.nn import functional as F

from sb3_rpd.common.cached_tensors import constant
from sb3_rpd.common.losses import KL, NLL, ImitationLoss
from sb3_rpd.common.losses.divergence import MIN_TEACHER_PROBABILITY
from sb3_rpd.fast_path.heads.categoricals import Categoricals
from sb3_rpd.fast_path.heads.divergence import KLImitation
from sb3_rpd.fast_path.heads.head import Evaluation, Head, ImitationGradient, LogProb, Outputs, Parameters
from sb3_rpd.fast_path.heads.race import draw, draws_like_torch
from sb3_rpd.fast_path.rows import Rows


class DiscreteNLLImitation(ImitationGradient):
    """For the likelihood of the teacher's action."""

    head: "DiscreteHead"
    loss: NLL

    def add_to(self, of_parameters: Parameters, evaluation: Evaluation, rows: Rows) -> None:
        (of_log_probs,) = of_parameters
        columns = self.head.columns(rows.teacher_actions)
        terms = self.loss.weigh((-self.coef * rows.label_weights).unsqueeze(1).expand_as(columns))
        of_log_probs.scatter_add_(1, columns, terms)

    def by_row(self, parameters: Parameters, rows: Rows, ratio: th.Tensor) -> th.Tensor:
        (log_probs,) = parameters
        return -self.loss.weigh(log_probs.gather(1, self.head.columns(rows.teacher_actions))).sum(dim=1)


class DiscreteKLImitation(KLImitation):
    """For the divergence between the student's probabilities and the teacher's, ``common.distributions.categorical_kl``."""

    head: "DiscreteHead"

    def divergence(self, parameters: Parameters, rows: Rows) -> tuple[th.Tensor, Parameters]:
        (student,) = parameters
        teacher = self.head.log_probs(self.loss.teacher_logits(rows.labels)).clamp(min=math.log(MIN_TEACHER_PROBABILITY))
        if self.loss.direction == "forward":
            probs = teacher.exp()
            terms, derivative = probs * (teacher - student), -probs
        else:
            probs = student.exp()
            terms = probs * (student - teacher)
            derivative = terms + probs
        if self.loss.weights is not None:
            weights = tuple(self.loss.weights[dimension] for dimension in self.head.dimensions)
            of_columns = constant(weights, student.dtype, student.device)
            terms, derivative = terms * of_columns, derivative * of_columns
        return terms.sum(dim=1), (derivative,)


class DiscreteHead(Head):
    """
    A distribution over discrete actions. Its only parameter are the log-probabilities of all choices, those of the dimensions
    of the action side by side, of shape (rows, columns).
    """

    imitation_gradients: ClassVar[Mapping[type[ImitationLoss], type[ImitationGradient]]] = {
        NLL: DiscreteNLLImitation,
        KL: DiscreteKLImitation,
    }

    #: The dimension of the action to which each column belongs.
    dimensions: Sequence[int]

    @abstractmethod
    def log_probs(self, logits: th.Tensor) -> th.Tensor:
        """
        :param logits: As ``action_net`` puts them out, and as teachers give them.
        :return: The parameter, shape (rows, columns).
        """

    @abstractmethod
    def log_probs_backward(self, of_log_probs: th.Tensor, log_probs: th.Tensor) -> th.Tensor:
        """
        :param of_log_probs: The gradient with respect to the parameter.
        :param log_probs: The parameter.
        :return: The gradient with respect to the logits.
        """

    @abstractmethod
    def columns(self, actions: th.Tensor) -> th.Tensor:
        """
        :param actions: As a buffer has them, shape (rows, action_dim).
        :return: The column of each choice, integers of the same shape.
        """

    def prepare(self, rows: Rows) -> Rows:
        return rows._replace(actions=self.columns(rows.actions))

    def parameters(self, outputs: Outputs) -> Parameters:
        return (self.log_probs(outputs.actions),)

    def backward(self, of_parameters: Parameters, parameters: Parameters, outputs: Outputs, of_values: th.Tensor) -> Outputs:
        return Outputs(self.log_probs_backward(*of_parameters, *parameters), None, of_values)

    def log_prob(self, parameters: Parameters, actions: th.Tensor) -> LogProb:
        (log_probs,) = parameters
        chosen = th.zeros_like(log_probs).scatter_(1, actions, 1.0)
        return LogProb(log_probs.gather(1, actions).sum(dim=1), (chosen,))

    def add_entropy_gradient(self, of_parameters: Parameters, parameters: Parameters, weight: float) -> None:
        (of_log_probs,), (log_probs,) = of_parameters, parameters
        of_log_probs.addcmul_(log_probs.exp(), log_probs + 1.0, value=-weight)

    def entropy(self, parameters: Parameters, log_prob: th.Tensor, actions: th.Tensor) -> th.Tensor:
        (log_probs,) = parameters
        return -(log_probs.exp() * log_probs).sum(dim=1)

    def set_checked(self, outputs: Outputs) -> None:
        self.of_policy.proba_distribution(outputs.actions)


class _SoftmaxHead(DiscreteHead):
    """One choice or several, each with a softmax of its own."""

    def __init__(self, of_policy: Distribution) -> None:
        super().__init__(of_policy)
        self.sizes = self._sizes()
        self.dimensions = [dimension for dimension, size in enumerate(self.sizes) for _ in range(size)]
        self._first_columns = tuple(accumulate(self.sizes, initial=0))[:-1]

    @abstractmethod
    def _sizes(self) -> list[int]:
        """:return: How many there are to choose from, in each dimension of the action."""

    def columns(self, actions: th.Tensor) -> th.Tensor:
        return actions.long() + constant(self._first_columns, th.long, actions.device)


class MultiCategoricalHead(_SoftmaxHead):
    """A ``MultiCategoricalDistribution``: a softmax for each dimension of the action."""

    kind: ClassVar[type[Distribution]] = MultiCategoricalDistribution
    of_policy: MultiCategoricalDistribution

    def __init__(self, of_policy: Distribution) -> None:
        super().__init__(of_policy)
        most, n_columns = max(self.sizes), sum(self.sizes)
        # Choice by choice, each for all dimensions, and a column of -inf where a dimension has no such choice
        self._filled = tuple(
            first + choice if choice < size else n_columns
            for choice in range(most)
            for first, size in zip(self._first_columns, self.sizes, strict=True)
        )
        self._places = tuple(self._filled.index(column) for column in range(n_columns))
        #: (size, how many dimensions of it there are next to one another)
        self._runs = [(size, len([*run])) for size, run in groupby(self.sizes)]
        self._widths = [size * n for size, n in self._runs]
        self._same_dimension = tuple(tuple(float(a == b) for b in self.dimensions) for a in self.dimensions)

    def _sizes(self) -> list[int]:
        return [int(size) for size in self.of_policy.action_dims]

    def log_probs(self, logits: th.Tensor) -> th.Tensor:
        # One softmax for all dimensions, filled up to as many choices each, and across rows: it is slow along short ones
        filled = F.pad(logits, (0, 1), value=-math.inf).t().index_select(0, constant(self._filled, th.long, logits.device))
        log_probs = filled.view(max(self.sizes), -1).log_softmax(dim=0).view_as(filled)
        return log_probs.index_select(0, constant(self._places, th.long, logits.device)).t().contiguous()

    def log_probs_backward(self, of_log_probs: th.Tensor, log_probs: th.Tensor) -> th.Tensor:
        sums = of_log_probs @ constant(self._same_dimension, log_probs.dtype, log_probs.device)
        return of_log_probs.addcmul(log_probs.exp(), sums, value=-1.0)

    def distribution(self, parameters: Parameters) -> Distribution:
        distribution = MultiCategoricalDistribution(self.sizes)
        (log_probs,) = parameters
        distribution.distribution = [*Categoricals(log_probs, self.sizes)]
        return distribution

    def mode(self, parameters: Parameters) -> th.Tensor:
        (log_probs,) = parameters
        return th.cat([part.argmax(dim=2) for part in self._parts(log_probs)], dim=1)

    def set_unchecked(self, outputs: Outputs) -> th.Tensor:
        # For whoever looks there, as after the policy's own forward
        self.of_policy.distribution = cast(Any, Categoricals(outputs.actions, self.sizes))
        return outputs.actions.sum()

    def choose(self, deterministic: bool) -> tuple[th.Tensor, th.Tensor]:
        categoricals: Any = self.of_policy.distribution
        if deterministic or not isinstance(categoricals, Categoricals) or not draws_like_torch(categoricals.logits):
            return super().choose(deterministic)
        # As Categorical normalizes
        drawn, log_probs = [], []
        for logits in self._parts(categoricals.logits):
            normalized = logits - logits.logsumexp(dim=2, keepdim=True)
            drawn.append(draw(normalized.softmax(dim=2)))
            log_probs.append(normalized.gather(2, drawn[-1].unsqueeze(2)).squeeze(2))
        return th.cat(drawn, dim=1), th.cat(log_probs, dim=1).sum(dim=1)

    def _parts(self, columns: th.Tensor) -> list[th.Tensor]:
        """
        :param columns: Shape (rows, columns).
        :return: Those of neighboring dimensions of one size, each of shape (rows, dimensions, size).
        """
        parts = th.split(columns, self._widths, dim=1)
        return [part.view(-1, n, size) for part, (size, n) in zip(parts, self._runs, strict=True)]


class CategoricalHead(_SoftmaxHead):
    """A ``CategoricalDistribution``: one softmax."""

    kind: ClassVar[type[Distribution]] = CategoricalDistribution
    of_policy: CategoricalDistribution

    def _sizes(self) -> list[int]:
        return [self.of_policy.action_dim]

    def log_probs(self, logits: th.Tensor) -> th.Tensor:
        return logits.log_softmax(dim=1)

    def log_probs_backward(self, of_log_probs: th.Tensor, log_probs: th.Tensor) -> th.Tensor:
        return of_log_probs.addcmul(log_probs.exp(), of_log_probs.sum(dim=1, keepdim=True), value=-1.0)

    def mode(self, parameters: Parameters) -> th.Tensor:
        (log_probs,) = parameters
        return log_probs.argmax(dim=1, keepdim=True)

    def distribution(self, parameters: Parameters) -> Distribution:
        (log_probs,) = parameters
        distribution = CategoricalDistribution(log_probs.shape[1])
        distribution.distribution = Categorical(logits=log_probs, validate_args=False)
        return distribution

    def set_unchecked(self, outputs: Outputs) -> th.Tensor:
        self.of_policy.distribution = Categorical(logits=outputs.actions, validate_args=False)
        return outputs.actions.sum()

    def choose(self, deterministic: bool) -> tuple[th.Tensor, th.Tensor]:
        categorical = self.of_policy.distribution
        if deterministic or not draws_like_torch(categorical.logits):
            return super().choose(deterministic)
        drawn = draw(categorical.probs.unsqueeze(1))
        return drawn.squeeze(1), categorical.logits.gather(1, drawn).squeeze(1)


class BernoulliHead(DiscreteHead):
    """A ``BernoulliDistribution``: bits, of which first the columns of all zeros come, then those of all ones."""

    kind = BernoulliDistribution
    of_policy: BernoulliDistribution

    def __init__(self, of_policy: Distribution) -> None:
        super().__init__(of_policy)
        self.dimensions = [*range(self.of_policy.action_dims)] * 2

    def log_probs(self, logits: th.Tensor) -> th.Tensor:
        return F.logsigmoid(th.cat((-logits, logits), dim=1))

    def log_probs_backward(self, of_log_probs: th.Tensor, log_probs: th.Tensor) -> th.Tensor:
        of_zeros, of_ones = of_log_probs.chunk(2, dim=1)
        prob_of_one = log_probs.chunk(2, dim=1)[1].exp()
        return of_ones.addcmul(prob_of_one, of_zeros + of_ones, value=-1.0)

    def columns(self, actions: th.Tensor) -> th.Tensor:
        n_bits = actions.shape[1]
        return actions.long() * n_bits + constant(tuple(range(n_bits)), th.long, actions.device)

    def mode(self, parameters: Parameters) -> th.Tensor:
        of_zeros, of_ones = parameters[0].chunk(2, dim=1)
        return (of_ones > of_zeros).to(of_ones.dtype)

    def distribution(self, parameters: Parameters) -> Distribution:
        of_zeros, of_ones = parameters[0].chunk(2, dim=1)
        distribution = BernoulliDistribution(of_ones.shape[1])
        distribution.distribution = Bernoulli(logits=of_ones - of_zeros, validate_args=False)
        return distribution

    def set_unchecked(self, outputs: Outputs) -> th.Tensor:
        self.of_policy.distribution = Bernoulli(logits=outputs.actions, validate_args=False)
        return outputs.actions.sum()
