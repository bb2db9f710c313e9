"""
Closes the loop: a student outgrows the VLA, shows what it does, and the VLA learns from it. How often the VLA solves the tasks
by itself is counted before and after, in the same episodes. Ended and started again, it goes on.

    python -m experiments.vla.closed_loop --to runs/closed-loop
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch as th

from experiments.vla.evaluation import EVALUATION_SEED, KEPT, UNNORM_KEY, Results
from experiments.vla.progress import show
from experiments.vla.recipe import make_recipe
from experiments.vla.recording import record_task
from sb3_rpd.finetuning import finetune
from sb3_rpd.training.run import train
from sb3_rpd.training.settings import read_settings
from sb3_rpd.training.students import find_student

#: How the student is trained: as in the suite "vla", from the dense reward.
STUDENT_SETTINGS = Path(__file__).with_name("student.yaml")

#: Of the VLA's further training: gentle, from where it is.
LEARNING_RATE = 3e-4


def train_student(vla: Path, folder: Path, timesteps: int | None) -> None:
    """
    :param vla: Its teacher.
    :param folder: Where to, or what to go on with.
    :param timesteps: For how many environment steps; None for those of ``STUDENT_SETTINGS``.
    """
    train(read_settings(STUDENT_SETTINGS, teacher=str(vla), timesteps=timesteps), folder, show)


def main(arguments: Sequence[str] | None = None) -> None:
    """:param arguments: The command line; None for the process's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--vla", type=Path, default=KEPT / "good", help="the VLA, as make vla writes it")
    parser.add_argument("--to", type=Path, default=Path("runs/closed-loop"), help="folder of everything")
    parser.add_argument("--timesteps", type=int, help="of the student's training; without it, those of student.yaml")
    parser.add_argument("--demonstrations", type=int, default=400, help="episodes that the student shows")
    parser.add_argument("--steps", type=int, default=800, help="of the VLA's further training")
    parser.add_argument("--episodes", type=int, default=100, help="episodes in which the VLA is evaluated")
    options = parser.parse_args(arguments)
    th.set_num_threads(1)
    options.to.mkdir(parents=True, exist_ok=True)
    student, demonstrations, refined = options.to / "student", options.to / "demos", options.to / "refined"

    train_student(options.vla, student, options.timesteps)
    record_task(demonstrations, "lift", find_student(student), options.demonstrations, show, successes_only=True)
    finetune(
        options.vla,
        demonstrations,
        refined,
        replace(make_recipe(options.steps), learning_rate=LEARNING_RATE, keep_every=None),
        unnorm_key=UNNORM_KEY,
        camera="human",
        device="cpu",
        show=show,
    )
    results = Results(options.to / "results.json")
    success = partial(results.success, episodes=options.episodes, seed=EVALUATION_SEED)
    for question in ("lift", "push"):
        before, after = (success(checkpoint, question) for checkpoint in (options.vla, refined))
        show(f"{question}: {json.dumps(before)} before, {json.dumps(after)} after")


if __name__ == "__main__":
    main()
