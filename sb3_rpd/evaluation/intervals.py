"""Statistics of success rates."""

from math import sqrt
from statistics import NormalDist


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """
    Wilson's score interval for the probability of success, from a number of independent trials.

    With p successes per trial, n trials and z the normal quantile of the confidence level it is ::

        (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    (E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the American
    Statistical Association 22 (1927), 209-212). Unlike the textbook interval it is sound for few trials and near 0 and 1.

    :param successes: Number of successes.
    :param trials: Number of trials, at least 1.
    :param confidence: Probability with which the interval is meant to cover the true rate, inside (0, 1).
    :return: The lower and the upper end, within [0, 1].
    :raises ValueError: if the numbers are not such.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials are no success rate.")
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence level lies between 0 and 1, {confidence} does not.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / trials
    shrink = 1 + z**2 / trials
    center = (rate + z**2 / (2 * trials)) / shrink
    half = z * sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)) / shrink
    # the ends are exactly 0 and 1 there; rounding would leave 1e-17 in their place
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == trials else center + half
    return low, high
