"""Which head belongs to a policy."""

from stable_baselines3.common.distributions import Distribution

from sb3_rpd.fast_path.heads.discrete import BernoulliHead, CategoricalHead, MultiCategoricalHead
from sb3_rpd.fast_path.heads.gaussian import GaussianHead
from sb3_rpd.fast_path.heads.gsde import GSDEHead, SquashedGSDEHead
from sb3_rpd.fast_path.heads.head import Head

HEADS: tuple[type[Head], ...] = (
    GaussianHead,
    CategoricalHead,
    MultiCategoricalHead,
    BernoulliHead,
    GSDEHead,
    SquashedGSDEHead,
)


def head_of(distribution: Distribution) -> Head | None:
    """
    :param distribution: A policy's.
    :return: The head for exactly this kind of distribution, None where there is none.
    """
    for head in HEADS:
        if head.fits(distribution):
            return head(distribution)
    return None
