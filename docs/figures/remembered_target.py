"""
Draws what a memory is worth: the learning curves that examples/remembered_target.py has written.

    python examples/remembered_target.py         # writes runs/remembered_target/results.json
    python docs/figures/remembered_target.py     # writes docs/images/remembered_target.svg
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

IMAGES = Path(__file__).parents[1] / "images"
COLORS = {"RecurrentRPD": "#2f6fb3", "RPD, 4 frames": "#b3622f", "RPD": "#7a5ba8", "RecurrentPPO": "#777777"}


def draw(results: Path) -> Path:
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for name, runs in json.loads(results.read_text(encoding="utf-8")).items():
        steps = [step for step, _ in runs[0]["curve"]]
        success = np.array([[value for _, value in run["curve"]] for run in runs])
        axes.plot(steps, np.median(success, axis=0), color=COLORS[name], label=name)
        axes.fill_between(steps, success.min(axis=0), success.max(axis=0), color=COLORS[name], alpha=0.2, linewidth=0)
    axes.set(xlabel="environment steps", ylabel="success while exploring", ylim=(0, 1))
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / "remembered_target.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


if __name__ == "__main__":
    plt.rcParams.update({"svg.hashsalt": "sb3_rpd", "svg.fonttype": "none", "font.family": "sans-serif"})
    print(draw(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/remembered_target/results.json")))
