"""
Makes a small VLA from nothing: records demonstrations, trains it from scratch, chooses a good and a weak checkpoint by what
they achieve, and says what they are in a model card. Ended and started again, it goes on.

    python -m experiments.vla --to runs/vla
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch as th

from experiments.vla.card import step_of, write_card
from experiments.vla.evaluation import SELECTION_SEED, UNNORM_KEY, Results
from experiments.vla.objective import FromScratch
from experiments.vla.progress import show
from experiments.vla.recipe import make_recipe
from experiments.vla.recording import record_task
from experiments.vla.tasks import IMAGE_SIZE, TASKS
from sb3_rpd.finetuning import FineTuning, Recipe, finetune
from sb3_rpd.teachers.openvla import make_small_openvla

# what the paper's VLAs have in ManiSkill2, and some more
_WEAK = (0.05, 0.40)


def train(to: Path, recipe: Recipe) -> FineTuning:
    """
    :param to: The folder of everything.
    :param recipe: How.
    :return: What came of it.
    """
    untrained = to / "untrained"
    if not (untrained / "model.safetensors").is_file():
        instructions = [task.instruction for task in TASKS.values()]
        # checkpoints of half the size
        make_small_openvla(untrained, instructions, image_size=IMAGE_SIZE, dtype=th.float16)
    return finetune(
        untrained,
        to / "demos",
        to / "vla",
        recipe,
        unnorm_key=UNNORM_KEY,
        camera="human",
        device="cpu",
        objective=lambda model, examples: FromScratch(model, examples, recipe.label_width),
        show=show,
    )


def choose(checkpoints: list[Path], results: Results, episodes: int) -> dict[str, Path]:
    """
    :param checkpoints: The candidates.
    :param results: Where evaluations are.
    :param episodes: In how many episodes each is tried.
    :return: The best one as "good"; as "weak" one that succeeds about as seldom as the paper's VLAs, if there is one.
    """
    rates = {}
    for checkpoint in checkpoints:
        found = results.success(checkpoint, "lift", episodes, SELECTION_SEED)
        rates[checkpoint] = found["successes"] / found["episodes"]
        show(f"{checkpoint.name}: {found['successes']} of {found['episodes']} lifted")
    good = max(checkpoints, key=lambda one: rates[one])
    weak = [one for one in checkpoints if _WEAK[0] <= rates[one] <= _WEAK[1] and one != good]
    middle = sum(_WEAK) / 2
    return {"good": good} | ({"weak": min(weak, key=lambda one: abs(rates[one] - middle))} if weak else {})


def main(arguments: Any = None) -> None:
    """:param arguments: The command line; None for the process's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("runs/vla"), help="folder of everything")
    parser.add_argument("--lift-episodes", type=int, default=400, help="demonstrations of lifting")
    parser.add_argument("--push-episodes", type=int, default=220, help="demonstrations of pushing")
    parser.add_argument("--steps", type=int, default=2600, help="of the training")
    parser.add_argument("--tries", type=int, default=20, help="episodes by which each of the checkpoints is judged")
    parser.add_argument("--episodes", type=int, default=100, help="episodes by which the chosen ones are evaluated")
    options = parser.parse_args(arguments)
    th.set_num_threads(1)
    options.to.mkdir(parents=True, exist_ok=True)
    counts = {"lift": options.lift_episodes, "push": options.push_episodes}
    for name, count in counts.items():
        record_task(options.to / "demos", name, TASKS[name].teacher, count, show)
    recipe = make_recipe(options.steps)
    training = train(options.to, recipe)
    results = Results(options.to / "results.json")
    # early ones do not even know which words are actions
    candidates = [one for one in sorted(training.folder.glob("step-*")) if step_of(one) > recipe.steps // 3]
    for kind, checkpoint in choose(candidates, results, options.tries).items():
        folder = options.to / kind
        if not folder.is_dir():
            shutil.copytree(checkpoint, folder)
        write_card(folder, checkpoint, training, results, options.episodes)
        show(f"{folder}: {checkpoint.name}, with a model card")


if __name__ == "__main__":
    main()
