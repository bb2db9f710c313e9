"""A small distribution of every kind for the tests of the fast path, in float64: outputs, SB3's own, and the head."""

from dataclasses import dataclass
from typing import Any

import torch as th
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)

from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber, ImitationLoss
from sb3_rpd.fast_path.heads.choice import head_of
from sb3_rpd.fast_path.heads.head import Head, Outputs

LATENT_DIM = 5


class CubicTimesRatio(ImitationLoss):
    """Of the user's own; goes through everything that a loss is given."""

    def per_sample(self, distribution: Any, labels: Any, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        entropy = distribution.entropy()
        return ((distribution.mode() - labels.actions).abs().pow(3).sum(dim=1) + entropy) * ratio * clip_range


class LikelihoodTimesRatio(ImitationLoss):
    """Of the user's own, for every distribution."""

    def per_sample(self, distribution: Any, labels: Any, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        return NLL().per_sample(distribution, labels, ratio, clip_range).square() * ratio


class NothingYet(ImitationLoss):
    """Of the user's own; has no gradient."""

    def per_sample(self, distribution: Any, labels: Any, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        return th.ones_like(ratio).detach()


def weights(action_dim: int) -> tuple[float, ...]:
    return tuple(0.5 * dim for dim in range(action_dim))


@dataclass(frozen=True)
class ToyHead:
    """
    :param kind: SB3's class.
    :param shape: The argument of its constructor.
    :param options: The other ones, for gSDE.
    """

    kind: type[Distribution]
    shape: Any
    options: tuple[tuple[str, bool], ...] = ()

    @property
    def is_squashed(self) -> bool:
        return ("squash_output", True) in self.options

    @property
    def is_continuous(self) -> bool:
        return self.kind in (DiagGaussianDistribution, StateDependentNoiseDistribution)

    @property
    def action_dim(self) -> int:
        if self.kind is CategoricalDistribution:
            return 1
        return len(self.shape) if isinstance(self.shape, list) else int(self.shape)

    @property
    def width(self) -> int:
        """Of what ``action_net`` puts out."""
        return sum(self.shape) if isinstance(self.shape, list) else int(self.shape)

    def head(self) -> Head:
        head = head_of(self.make())
        assert head is not None
        return head

    def make(self) -> Any:
        distribution = self.kind(self.shape, **dict(self.options))  # type: ignore[call-arg]
        if isinstance(distribution, StateDependentNoiseDistribution):
            distribution.latent_sde_dim = LATENT_DIM
        return distribution

    def outputs(self, n_rows: int, generator: th.Generator) -> Outputs:
        def noise(*shape: int) -> th.Tensor:
            return th.randn(*shape, dtype=th.float64, generator=generator)

        actions, values = noise(n_rows, self.width), noise(n_rows)
        if self.kind is DiagGaussianDistribution:
            return Outputs(actions, 0.3 * noise(self.width), values)
        if self.kind is StateDependentNoiseDistribution:
            full_std = ("full_std", False) not in self.options
            return Outputs(actions, noise(LATENT_DIM, self.width if full_std else 1), values, noise(n_rows, LATENT_DIM))
        return Outputs(actions, None, values)

    def sb3s(self, outputs: Outputs) -> Any:
        """:return: SB3's distribution, as the policy makes it of these."""
        arguments = [part for part in (outputs.actions, outputs.log_std, outputs.latent) if part is not None]
        return self.make().proba_distribution(*arguments)

    def buffered(self, actions: th.Tensor) -> th.Tensor:
        """As a rollout buffer has them."""
        return actions.double().reshape(len(actions), self.action_dim)

    def random_actions(self, n_rows: int, generator: th.Generator) -> th.Tensor:
        noise = th.randn(n_rows, self.width, dtype=th.float64, generator=generator)
        if self.is_continuous:
            return noise.tanh() if self.is_squashed else noise
        if self.kind is BernoulliDistribution:
            return (noise > 0.0).double()
        sizes = self.shape if isinstance(self.shape, list) else [self.shape]
        return th.stack([part.argmax(dim=1) for part in noise.split(sizes, dim=1)], dim=1).double()

    def losses(self) -> dict[str, ImitationLoss]:
        """:return: Every loss that fits, by name."""
        n = self.action_dim
        losses: dict[str, ImitationLoss] = {
            "nll": NLL(),
            "weighted_nll": NLL(weights(n)),
            "own": LikelihoodTimesRatio(),
            "own_without_gradient": NothingYet(),
        }
        if not self.is_squashed:
            losses |= {"forward_kl": KL(), "reverse_kl": KL(direction="reverse")}
            losses |= {
                "weighted_forward_kl": KL(weights(n)),
                "weighted_reverse_kl": KL(weights(n), direction="reverse"),
            }
        if self.is_continuous:
            losses |= {"mse": MSE(), "weighted_mse": MSE(weights(n)), "l1": L1(), "weighted_l1": L1(weights(n))}
            losses |= {"huber": Huber(delta=0.7), "weighted_huber": Huber(weights(n), delta=0.7)}
            groups: dict[str, Any] = {"all": range(n), "first": (0,)}
            losses |= {
                "cosine": Cosine(groups=groups),
                "weighted_cosine": Cosine((1.0, *weights(n)[1:]), groups, min_norm=0.6),
            }
        return losses


def _gsde(**options: bool) -> ToyHead:
    return ToyHead(StateDependentNoiseDistribution, 3, tuple(options.items()))


HEADS: dict[str, ToyHead] = {
    "gaussian": ToyHead(DiagGaussianDistribution, 3),
    "one_gaussian": ToyHead(DiagGaussianDistribution, 1),
    "categorical": ToyHead(CategoricalDistribution, 4),
    "multicategorical": ToyHead(MultiCategoricalDistribution, [2, 4, 3]),
    "bernoulli": ToyHead(BernoulliDistribution, 3),
    "gsde": _gsde(),
    "gsde_expln": _gsde(use_expln=True),
    "gsde_one_std": _gsde(full_std=False),
    "gsde_one_std_expln": _gsde(full_std=False, use_expln=True),
    "squashed_gsde": _gsde(squash_output=True),
    "squashed_gsde_expln": _gsde(squash_output=True, use_expln=True),
}
