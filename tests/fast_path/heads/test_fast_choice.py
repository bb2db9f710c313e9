"""Which head belongs to which of SB3's distributions."""

import pytest
from stable_baselines3.common.distributions import DiagGaussianDistribution, SquashedDiagGaussianDistribution
from toy_heads import HEADS

from sb3_rpd.fast_path.heads.choice import HEADS as ALL_HEADS
from sb3_rpd.fast_path.heads.choice import head_of


@pytest.mark.parametrize("name", HEADS)
def test_every_kind_of_sb3_has_one_head(name: str) -> None:
    distribution = HEADS[name].make()
    assert [head for head in ALL_HEADS if head.fits(distribution)] == [type(head_of(distribution))]


def test_no_other_kind_has_one() -> None:
    class OwnGaussian(DiagGaussianDistribution):
        """Could do anything."""

    assert head_of(OwnGaussian(2)) is None
    assert head_of(SquashedDiagGaussianDistribution(2)) is None
