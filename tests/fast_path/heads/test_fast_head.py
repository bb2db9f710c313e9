"""All heads: gradients in closed form against autograd through SB3's distribution in float64; acting to the last bit."""

import math

import hypothesis
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from toy_heads import HEADS
from toy_minibatches import assert_equal_to_rounding, fast_gradient, make_rows, plain_gradient, settings, without_labels

from sb3_rpd.common.distributions import log_prob
from sb3_rpd.fast_path.heads.head import Outputs
from sb3_rpd.fast_path.imitation import AutogradImitation, imitation_gradient

WITH_LOSSES = [(head, loss) for head, toy in HEADS.items() for loss in toy.losses()]


@pytest.mark.parametrize("name", HEADS)
@hypothesis.settings(max_examples=8)
@given(
    n_rows=st.integers(1, 11),
    clip_range=st.sampled_from([0.05, 0.2, 0.5]),
    clip_range_vf=st.sampled_from([None, 0.05, 0.3]),
    ent_coef=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 1000),
)
def test_gradient_of_ppos_loss(
    name: str, n_rows: int, clip_range: float, clip_range_vf: float | None, ent_coef: float, seed: int
) -> None:
    toy, generator = HEADS[name], th.Generator().manual_seed(seed)
    outputs = toy.outputs(n_rows, generator)
    rows = make_rows(toy, outputs, generator)
    of_ppo = settings(clip_range=clip_range, clip_range_vf=clip_range_vf, ent_coef=ent_coef)
    gradient, log_ratio = fast_gradient(toy, outputs, rows, of_ppo)
    expected, losses = plain_gradient(toy, outputs, rows, of_ppo)
    assert_equal_to_rounding(gradient, expected)
    assert_equal_to_rounding(log_ratio.exp(), losses.ratio.detach())


@pytest.mark.parametrize(("name", "loss"), WITH_LOSSES)
@hypothesis.settings(max_examples=8)
@given(n_rows=st.integers(1, 8), coef=st.sampled_from([0.1, 3.0]), labeled=st.booleans(), seed=st.integers(0, 1000))
def test_gradient_of_both_losses(name: str, loss: str, n_rows: int, coef: float, labeled: bool, seed: int) -> None:
    toy, generator = HEADS[name], th.Generator().manual_seed(seed)
    outputs = toy.outputs(n_rows, generator)
    rows = make_rows(toy, outputs, generator)
    if not labeled:
        rows = without_labels(rows)
    imitation = toy.losses()[loss]
    gradient, _ = fast_gradient(toy, outputs, rows, settings(), imitation, coef)
    assert_equal_to_rounding(gradient, plain_gradient(toy, outputs, rows, settings(), imitation, coef)[0])


@pytest.mark.parametrize(("name", "loss"), WITH_LOSSES)
def test_gradient_is_written_out_for_every_loss_of_this_package_and_no_subclass(name: str, loss: str) -> None:
    toy = HEADS[name]
    imitation = toy.losses()[loss]
    is_ours = type(imitation).__module__.startswith("sb3_rpd.common.losses.")
    assert (type(imitation_gradient(toy.head(), imitation, 1.0, 0.2)) is AutogradImitation) is not is_ours
    mine = type("Mine", (type(imitation),), {})()
    assert type(imitation_gradient(toy.head(), mine, 1.0, 0.2)) is AutogradImitation


@pytest.mark.parametrize("name", HEADS)
def test_entropy_and_distribution_are_sb3s(name: str) -> None:
    toy, generator = HEADS[name], th.Generator().manual_seed(2)
    outputs, head = toy.outputs(6, generator), toy.head()
    raw = make_rows(toy, outputs, generator, ratios=(1.0,))
    rows = head.prepare(raw)
    evaluation = head.evaluate(outputs, rows)
    sb3s = toy.sb3s(outputs)
    entropy = sb3s.entropy()
    # PPO's estimate where there is no closed form
    expected = -log_prob(sb3s, raw.actions) if entropy is None else entropy
    actual = head.entropy(evaluation.parameters, evaluation.log_ratio + rows.old_log_prob, rows.actions)
    assert_equal_to_rounding(actual, expected)
    distribution = head.distribution(evaluation.parameters)
    assert type(distribution) is type(sb3s)
    assert_equal_to_rounding(log_prob(distribution, raw.actions), log_prob(sb3s, raw.actions))
    assert_equal_to_rounding(distribution.mode(), sb3s.mode())


# ---------------------------------------------------------------- acting


def single_precision(outputs: Outputs) -> Outputs:
    return Outputs._make(None if part is None else part.float() for part in outputs)


@pytest.mark.parametrize("name", HEADS)
@hypothesis.settings(max_examples=8)
@given(n_rows=st.integers(1, 9), deterministic=st.booleans(), seed=st.integers(0, 100))
def test_acting_has_the_bits_and_takes_the_random_numbers_of_sb3(
    name: str, n_rows: int, deterministic: bool, seed: int
) -> None:
    toy, results = HEADS[name], []
    outputs = single_precision(toy.outputs(n_rows, th.Generator().manual_seed(seed)))
    for fast in (False, True):
        th.manual_seed(seed)
        distribution, head = toy.make(), toy.head()
        for of_policy in (distribution, head.of_policy):
            if outputs.latent is not None:
                th.manual_seed(seed)
                of_policy.sample_weights(outputs.log_std, batch_size=n_rows)
        if fast:
            actions, log_probs = head.act(outputs, deterministic)
        else:
            arguments = [part for part in (outputs.actions, outputs.log_std, outputs.latent) if part is not None]
            actions = distribution.proba_distribution(*arguments).get_actions(deterministic)
            log_probs = distribution.log_prob(actions)
        results.append((actions, log_probs, th.get_rng_state()))
    for plain, fast_one in zip(*results, strict=True):
        assert plain.dtype == fast_one.dtype
        assert th.equal(plain, fast_one)


@pytest.mark.parametrize("name", HEADS)
def test_nan_is_refused_before_anything_is_drawn(name: str) -> None:
    toy = HEADS[name]
    outputs = single_precision(toy.outputs(3, th.Generator().manual_seed(0)))
    outputs.actions[1, 0] = math.nan
    head = toy.head()
    before = th.get_rng_state()
    with pytest.raises(ValueError, match=r"distribution of actions is NaN\. Either an observation"):
        head.act(outputs, False)
    assert th.equal(before, th.get_rng_state())


@pytest.mark.parametrize("name", HEADS)
@given(n_rows=st.integers(1, 9), seed=st.integers(0, 100))
def test_mode_is_that_of_sb3s_distribution(name: str, n_rows: int, seed: int) -> None:
    toy = HEADS[name]
    outputs = toy.outputs(n_rows, th.Generator().manual_seed(seed))
    head = toy.head()
    assert_equal_to_rounding(toy.buffered(head.mode(head.parameters(outputs))), toy.buffered(toy.sb3s(outputs).mode()))
