"""
Draws what fewer labels cost: the figures of the table in docs/guide/labels.md.

    python docs/figures/label_cost.py    # writes docs/images/label_cost.svg
"""

from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

IMAGES = Path(__file__).parents[1] / "images"

#: Questions per state, and successes of 100 held-out episodes for each seed, as measured by benchmarks/sparse_labels.py
MEASURED = {
    "all labels": (1.0, (99, 94, 98)),
    "SuccessGate(0.5)": (0.44, (53, 84, 37)),
    "SuccessGate(0.29)": (0.33, (86, 41, 59)),
    "label_every=5": (0.20, (56, 71, 65)),
    "label_fraction=0.2": (0.20, (58, 69, 86)),
    "label_every=5, twice the steps": (0.20, (96, 91)),
    "none: PPO": (0.0, (0, 0, 0)),
}
TEACHER = 29


def draw() -> Path:
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for row, (questions, successes) in enumerate(reversed(MEASURED.values())):
        axes.barh(row, median(successes), height=0.6, color="#2f6fb3" if questions else "#999999", alpha=0.35)
        axes.plot(successes, [row] * len(successes), "o", color="#2f6fb3" if questions else "#999999", markersize=5)
        axes.text(103, row, f"{questions:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(MEASURED)), list(reversed(MEASURED)), fontsize=8)
    axes.axvline(TEACHER, linestyle="--", color="#b3622f", linewidth=1)
    axes.text(TEACHER + 1, len(MEASURED) - 0.45, "teacher", color="#b3622f", fontsize=8)
    axes.text(103, len(MEASURED) - 0.45, "questions\nper state", fontsize=8)
    axes.set(
        xlim=(0, 102), ylim=(-0.6, len(MEASURED) - 0.4), xlabel="successes in 100 held-out episodes: median and each seed"
    )
    axes.spines[["top", "right"]].set_visible(False)
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / "label_cost.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


if __name__ == "__main__":
    plt.rcParams.update({"svg.hashsalt": "sb3_rpd", "svg.fonttype": "none", "font.family": "sans-serif"})
    print(draw())
