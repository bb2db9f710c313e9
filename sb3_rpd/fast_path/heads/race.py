"""Draws from categorical distributions: those of ``torch.multinomial``, several of them at once and without its checks."""

from functools import cache

import torch as th


def draw(probs: th.Tensor, generator: th.Generator | None = None) -> th.Tensor:
    """
    The choice whose probability over an exponential random number is the largest: in a race of clocks that ring at these rates
    it is the first one with just this probability.

    :param probs: Probabilities on a CPU, shape (rows, n, choices).
    :param generator: Where the random numbers come from; None for torch's own.
    :return: One choice for each, shape (rows, n). The draws of ``torch.multinomial`` for all rows of the first distribution,
        then of the second, and so on; only if ``draws_like_torch``.
    """
    n_rows, n, choices = probs.shape
    clocks = th.empty(n, n_rows, choices, dtype=probs.dtype).exponential_(generator=generator)
    return (probs / clocks.transpose(0, 1)).argmax(dim=2)


def draws_like_torch(logits: th.Tensor) -> bool:
    """
    :param logits: Those of the distributions.
    :return: Whether ``draw`` is what it says: on a GPU it is not.
    """
    return logits.device.type == "cpu" and _is_multinomial_a_race()


@cache
def _is_multinomial_a_race() -> bool:
    # Nobody has promised it
    with th.no_grad():
        probs = th.linspace(0.5, 1.5, 64 * 3 * 4, dtype=th.float32).view(64, 3, 4).softmax(dim=2)
        own, of_torch = th.Generator().manual_seed(0), th.Generator().manual_seed(0)
        expected = [th.multinomial(probs[:, index], 1, replacement=True, generator=of_torch) for index in range(3)]
        return th.equal(draw(probs, own), th.cat(expected, dim=1)) and th.equal(own.get_state(), of_torch.get_state())
