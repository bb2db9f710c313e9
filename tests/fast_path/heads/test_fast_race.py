"""The draws, number for number those of the installed torch.multinomial."""

import hypothesis
import pytest
import torch as th
from hypothesis import strategies as st

from sb3_rpd.fast_path.heads import race
from sb3_rpd.fast_path.heads.race import draw, draws_like_torch


@pytest.mark.parametrize("dtype", [th.float32, th.float64])
@hypothesis.given(n_rows=st.integers(1, 40), n=st.integers(1, 5), choices=st.integers(1, 70), seed=st.integers(0, 1000))
def test_draws_are_those_of_multinomial(dtype: th.dtype, n_rows: int, n: int, choices: int, seed: int) -> None:
    logits = 3.0 * th.randn(n_rows, n, choices, dtype=dtype, generator=th.Generator().manual_seed(seed + 1))
    assert draws_like_torch(logits)
    probs = logits.softmax(dim=2)
    th.manual_seed(seed)
    expected = [th.multinomial(probs[:, index], 1, replacement=True) for index in range(n)]
    following = th.rand(3)
    th.manual_seed(seed)
    assert th.equal(draw(probs), th.cat(expected, dim=1))
    # Whoever draws next has the same numbers, too
    assert th.equal(th.rand(3), following)


def test_what_has_no_probability_is_never_drawn() -> None:
    probs = th.tensor([0.0, 0.75, 0.25]).expand(4000, 1, 3)
    counts = th.bincount(draw(probs, th.Generator().manual_seed(0)).flatten(), minlength=3)
    assert counts[0] == 0
    # Five standard deviations of the mean of 4000 draws
    assert counts[1].item() / 4000 == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 4000) ** 0.5)


def test_another_torch_may_draw_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    multinomial = th.multinomial
    monkeypatch.setattr(th, "multinomial", lambda probs, *args, **kwargs: multinomial(probs.flip(1), *args, **kwargs))
    race._is_multinomial_a_race.cache_clear()
    try:
        assert not draws_like_torch(th.zeros(1))
    finally:
        race._is_multinomial_a_race.cache_clear()


def test_not_on_a_gpu() -> None:
    assert not draws_like_torch(th.zeros(1, device="meta"))
