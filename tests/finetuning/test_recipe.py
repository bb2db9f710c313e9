"""The numbers of a fine-tuning: how the learning rate runs, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.finetuning import Recipe


def test_learning_rate_by_hand() -> None:
    recipe = Recipe(steps=14, warmup_steps=4, learning_rate=2.0, final_share=0.1)

    assert [recipe.learning_rate_at(step) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    # half of the cosine
    assert recipe.learning_rate_at(9) == pytest.approx(2.0 * (0.1 + 0.9 / 2))
    assert recipe.learning_rate_at(14) == pytest.approx(0.2)
    assert recipe.learning_rate_at(6) == pytest.approx(2.0 * (0.1 + 0.9 * (1 + math.cos(math.pi / 5)) / 2))


def test_learning_rate_without_a_warm_up_and_of_one_that_takes_the_whole_training() -> None:
    assert Recipe(steps=1, warmup_steps=0, learning_rate=3.0).learning_rate_at(0) == 3.0
    too_short = Recipe(steps=2, warmup_steps=8, learning_rate=4.0)
    assert [too_short.learning_rate_at(step) for step in range(2)] == [0.5, 1.0]
    for steps in (5, 4):  # it ends where the training does, or one step before
        whole = Recipe(steps=steps, warmup_steps=4, learning_rate=4.0)
        assert [whole.learning_rate_at(step) for step in range(steps)] == [1.0, 2.0, 3.0, 4.0, 4.0][:steps]


@given(steps=st.integers(1, 40), warmup_steps=st.integers(0, 50), final_share=st.floats(0, 1))
def test_learning_rate_rises_to_its_highest_and_falls(steps: int, warmup_steps: int, final_share: float) -> None:
    recipe = Recipe(steps=steps, warmup_steps=warmup_steps, learning_rate=1.0, final_share=final_share)
    rates = [recipe.learning_rate_at(step) for step in range(steps)]
    rising, falling = rates[:warmup_steps], rates[warmup_steps:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert all(0 < rate <= 1 for rate in rising)
    assert all(final_share - 1e-12 <= rate <= 1 + 1e-12 for rate in falling)


LOWEST = {
    **dict.fromkeys(("steps", "batch_size", "accumulation", "held_out_frames", "evaluate_every", "save_every"), 1),
    **dict.fromkeys(("lora_rank", "keep_every"), 1),
    **dict.fromkeys(("warmup_steps", "final_share", "weight_decay", "label_width", "seed"), 0),
}


@pytest.mark.parametrize("name", LOWEST)
def test_numbers_below_their_lowest_are_refused(name: str) -> None:
    lowest = LOWEST[name]
    assert getattr(Recipe(**{name: lowest}), name) == lowest
    for wrong in (lowest - 1, math.nan):
        with pytest.raises(ValueError, match=f"^{name} must be at least {lowest}; got {wrong}$"):
            Recipe(**{name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("learning_rate", (0.0, -1e-3, math.nan, math.inf), (1e-9, 1.0)),
        ("max_grad_norm", (0.0, -1.0, math.nan), (1e-9, math.inf)),
        ("beta2", (-0.1, 1.0, math.nan), (0.0, 0.9999)),
        ("held_out", (-0.1, 0.0, 1.0, 5, math.nan), (0.01, 0.99)),
    ],
)
def test_numbers_out_of_their_range_are_refused(name: str, wrong: tuple[float, ...], right: tuple[float, ...]) -> None:
    for value in wrong:
        with pytest.raises(ValueError, match=f"{name}={value} "):
            Recipe(**{name: value})
    for value in right:
        assert getattr(Recipe(**{name: value}), name) == value
