"""The model card of a VLA: what it was made of, and what it can do."""

import json
from pathlib import Path
from typing import Any

from experiments.vla.evaluation import EVALUATION_SEED, QUESTIONS, UNNORM_KEY, Results
from sb3_rpd.finetuning import FineTuning

_CARD = """# A small VLA for ManiSkill2's cube

OpenVLA's architecture and layout in small, trained from scratch on a CPU by `make vla` of sb3_rpd. One scene (LiftCube-v0), by
the human camera at 224 pixels, moved by up to 5 cm; control mode `pd_ee_delta_pose`; instructions "lift up the cube" and
"push the cube away".

```text
OpenVLATeacher("{folder}", unnorm_key="{key}")
```

| | |
|---|---|
| demonstrations | {trajectories} episodes, {transitions} frames: noise, fumbling fingers, moved cubes and cameras |
| training | {step} of {steps} steps, {batch} frames each, cosine learning rate from {rate} |
| held-out episodes | {token_error:.0%} of the words wrong, action error {action_error:.3f} (2 is the width of the data) |

| asked | successes | 95 % interval | steps |
|---|---|---|---|
{rows}

It errs as VLAs do, systematically: not all that its teachers knew is in the picture. Outside of this scene, or by a camera
that is farther away, it is of no use.
"""


def step_of(checkpoint: Path) -> int:
    """:return: After how many steps of its training a checkpoint was kept."""
    return int(checkpoint.name.removeprefix("step-"))


def write_card(folder: Path, checkpoint: Path, training: FineTuning, results: Results, episodes: int) -> None:
    """
    Evaluate a checkpoint and write its card.

    :param folder: The checkpoint.
    :param checkpoint: Which of the training's it is.
    :param training: The training.
    :param results: Where evaluations are.
    :param episodes: How many episodes for lifting; a quarter of them for each of the other questions.
    """
    step = step_of(checkpoint)
    test = min(training.evaluations, key=lambda one: abs(one.step - step))
    settings: dict[str, Any] = json.loads((training.folder / "training/settings.json").read_text())
    rows = []
    for question in QUESTIONS:
        # where it fails, episodes are long
        found = results.success(folder, question, episodes if question == "lift" else -(-episodes // 4), EVALUATION_SEED)
        low, high = found["interval"]
        rows.append(f"| {question} | {found['successes']} of {found['episodes']} | {low:.2f}-{high:.2f} | {found['length']} |")
    card = _CARD.format(
        folder=folder.name,
        key=UNNORM_KEY,
        trajectories=settings["statistics"]["num_trajectories"],
        transitions=settings["statistics"]["num_transitions"],
        step=step,
        steps=settings["steps"],
        batch=settings["batch_size"],
        rate=settings["learning_rate"],
        token_error=test.token_error,
        action_error=test.action_error,
        rows="\n".join(rows),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
