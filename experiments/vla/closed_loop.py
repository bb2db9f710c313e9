"""
Closes the loop: a student outgrows the VLA, shows what it does, and the VLA learns from it. How often the VLA solves the tasks
by itself is counted before and after, in the same episodes. Ended and started again, it goes on.

    python -m experiments.vla.closed_loop --vla runs/vla/good --to runs/closed-loop
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch as th

from experiments.vla.evaluation import EVALUATION_SEED, UNNORM_KEY, Results
from experiments.vla.progress import show
from experiments.vla.recording import NOISE, make_recording_env
from experiments.vla.tasks import TASKS
from sb3_rpd.demonstrations import MoreNearCube, Recording, record
from sb3_rpd.envs import human_frame
from sb3_rpd.finetuning import Recipe, finetune
from sb3_rpd.training.run import train
from sb3_rpd.training.settings import read_settings
from sb3_rpd.training.students import find_student

#: How the student is trained: as in the suite "vla", from the dense reward.
STUDENT_SETTINGS = Path(__file__).with_name("student.yaml")

#: How the VLA is trained on: gently, from where it is.
RECIPE = Recipe(
    steps=800,
    batch_size=64,
    accumulation=1,
    learning_rate=3e-4,
    warmup_steps=60,
    final_share=0.02,
    weight_decay=0.05,
    beta2=0.98,
    lora_rank=None,
    label_width=3.0,
    augment=False,
    held_out=0.1,
    evaluate_every=100,
    save_every=50,
)


def train_student(vla: Path, folder: Path, **changes: Any) -> None:
    """
    :param vla: Its teacher.
    :param folder: Where to, or what to go on with.
    :param changes: Changes to the settings.
    """
    train(read_settings(STUDENT_SETTINGS, teacher=str(vla)).changed(**changes), folder, show)


def record_student(student: Path, folder: Path, episodes: int) -> None:
    """
    :param student: The folder of its training.
    :param folder: The data set.
    :param episodes: How many successes to record: noise acts, what the student would do is the label.
    """

    def report(recording: Recording) -> None:
        if recording.episodes % 20 == 0 or recording.episodes == recording.wanted:
            show(f"{recording.episodes} of {recording.wanted} episodes, {recording.frames} frames")

    env = make_recording_env("lift")
    record(
        env,
        folder,
        teacher=find_student(student, None),
        episodes=episodes,
        instruction=TASKS["lift"].instruction,
        observation={"human": human_frame},
        noise=NOISE,
        keep=MoreNearCube(),
        successes_only=True,
        progress=report,
    )
    env.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """:param arguments: The command line; None for the process's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--vla", type=Path, default=Path("runs/vla/good"), help="the VLA, as make vla writes it")
    parser.add_argument("--to", type=Path, default=Path("runs/closed-loop"), help="folder of everything")
    parser.add_argument("--timesteps", type=int, help="of the student's training; without it, those of student.yaml")
    parser.add_argument("--demonstrations", type=int, default=400, help="episodes that the student shows")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="of the VLA's further training")
    parser.add_argument("--episodes", type=int, default=100, help="episodes in which the VLA is evaluated")
    options = parser.parse_args(arguments)
    th.set_num_threads(1)
    options.to.mkdir(parents=True, exist_ok=True)
    student, demonstrations, refined = options.to / "student", options.to / "demos", options.to / "refined"

    train_student(options.vla, student, timesteps=options.timesteps)
    record_student(student, demonstrations, options.demonstrations)
    finetune(
        options.vla,
        demonstrations,
        refined,
        replace(RECIPE, steps=options.steps),
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
