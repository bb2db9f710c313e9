"""What is Gaussian, by hand."""

import math

import pytest
import torch as th
from toy_heads import HEADS

from sb3_rpd.fast_path.heads.head import Outputs


def test_log_probability_and_its_derivatives_by_hand() -> None:
    """log N(x; m, s) is -((x - m) / s)**2 / 2 - log(s) - log(2 pi) / 2 in each dimension."""
    head = HEADS["gaussian"].head()
    mean, log_std, actions = (0.5, -1.0, 2.0), (0.1, -0.3, 0.0), (0.0, 0.0, 3.0)
    parameters = head.parameters(Outputs(th.tensor([mean]), th.tensor(log_std), th.zeros(1)))
    value, (by_mean, by_log_std) = head.log_prob(parameters, th.tensor([actions]))
    deviations = [(x - m) / math.exp(s) for x, m, s in zip(actions, mean, log_std, strict=True)]
    expected = sum(-0.5 * d**2 - s - 0.5 * math.log(2 * math.pi) for d, s in zip(deviations, log_std, strict=True))
    assert value.item() == pytest.approx(expected, rel=1e-6)
    assert by_mean[0].tolist() == pytest.approx([d / math.exp(s) for d, s in zip(deviations, log_std, strict=True)], rel=1e-6)
    assert by_log_std[0].tolist() == pytest.approx([d**2 - 1.0 for d in deviations], rel=1e-5)


@pytest.mark.parametrize("log_std", [-200.0, math.nan])
@pytest.mark.parametrize("name", ["gaussian", "gsde"])
def test_standard_deviation_of_0_or_nan_is_refused_as_by_torch(name: str, log_std: float) -> None:
    toy = HEADS[name]
    outputs = Outputs._make(None if part is None else part.float() for part in toy.outputs(2, th.Generator().manual_seed(0)))
    head = toy.head()
    if name == "gsde":
        head.of_policy.sample_weights(outputs.log_std)
    spoiled = outputs._replace(log_std=th.full_like(outputs.log_std, log_std))
    if name == "gsde" and log_std == -200.0:
        # Its variance has an epsilon
        assert head.act(spoiled, True)[1].isfinite().all()
    else:
        with pytest.raises(ValueError, match="distribution of actions is NaN"):
            head.act(spoiled, True)
