"""
Draws the method: who sees what, and where the teacher's labels go.

    python docs/figures/method.py    # writes docs/images/method.svg
"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

IMAGES = Path(__file__).parents[1] / "images"
STUDENT, TEACHER, NEUTRAL = "#2f6fb3", "#b3622f", "#555555"

#: Left edge, bottom edge, width, height, color, title, explanation
BOXES = {
    "env": (0.0, 2.1, 2.5, 1.3, NEUTRAL, "environment", "simulator, reward"),
    "student": (4.3, 3.3, 2.7, 1.3, STUDENT, "student", "small and fast; acts"),
    "teacher": (4.3, 0.6, 2.7, 1.3, TEACHER, "teacher", "VLA, controller, old policy;\nasked once for each state"),
    "buffer": (8.6, 2.1, 2.7, 1.3, NEUTRAL, "rollout buffer", "each state with its action,\nreward and label"),
    "loss": (12.6, 2.1, 3.3, 1.3, NEUTRAL, "update", "PPO's loss\n+ coefficient · imitation loss"),
}

#: From where to where, color, text and where it stands, how much the arrow bends
ARROWS = (
    ((2.5, 3.0), (4.3, 3.95), STUDENT, "what the student sees", (3.2, 3.05), 0.0),
    ((2.5, 2.5), (4.3, 1.25), TEACHER, "raw frames,\ninstruction", (2.2, 1.25), 0.0),
    ((4.3, 4.3), (1.25, 3.4), STUDENT, "action", (1.55, 4.55), 0.25),
    ((7.0, 3.95), (8.6, 3.0), STUDENT, "states, actions,\nrewards", (7.75, 3.85), 0.0),
    ((7.0, 1.25), (8.6, 2.5), TEACHER, "labels", (8.0, 1.45), 0.0),
    ((11.3, 2.75), (12.6, 2.75), NEUTRAL, "", (0, 0), 0.0),
    ((14.25, 3.4), (7.0, 4.4), STUDENT, "one gradient step for both terms", (9.6, 4.75), 0.2),
)


def draw() -> Path:
    figure, axes = plt.subplots(figsize=(11, 3.7), layout="constrained")
    axes.set(xlim=(-0.1, 16.0), ylim=(0.4, 5.3))
    axes.axis("off")
    for left, bottom, width, height, color, title, explanation in BOXES.values():
        box = FancyBboxPatch(
            (left, bottom), width, height, boxstyle="round,pad=0,rounding_size=0.15", ec=color, fc=color + "18"
        )
        axes.add_patch(box)
        axes.text(left + width / 2, bottom + height - 0.3, title, ha="center", va="center", weight="bold", color=color)
        axes.text(left + width / 2, bottom + 0.45, explanation, ha="center", va="center", fontsize=8)
    for start, end, color, text, place, bend in ARROWS:
        style = {"arrowstyle": "-|>", "mutation_scale": 12, "color": color, "shrinkA": 2, "shrinkB": 2}
        axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **style))
        axes.text(*place, text, fontsize=8, color=color)
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / "method.svg"
    figure.savefig(path, metadata={"Date": None}, transparent=False)
    return path


if __name__ == "__main__":
    plt.rcParams.update({"svg.hashsalt": "sb3_rpd", "svg.fonttype": "none", "font.family": "sans-serif"})
    print(draw())
