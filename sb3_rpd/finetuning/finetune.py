"""Fine-tunes OpenVLA on demonstrations: from a checkpoint to a checkpoint."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th

from sb3_rpd.demonstrations import Demonstrations, read_demonstrations
from sb3_rpd.demonstrations.files import write_json
from sb3_rpd.finetuning.adapters import add_adapters
from sb3_rpd.finetuning.examples import Examples, action_statistics, check_labels, to_data_units
from sb3_rpd.finetuning.objective import Objective
from sb3_rpd.finetuning.published import write_checkpoint
from sb3_rpd.finetuning.recipe import Recipe
from sb3_rpd.finetuning.training import Evaluation, Training, best_of
from sb3_rpd.teachers.openvla.checkpoint import find_checkpoint, load_model
from sb3_rpd.teachers.openvla.model import OpenVLAModel

_TRAINING, _SETTINGS, _LOG = "training", "settings.json", "log.json"


@dataclass(frozen=True)
class FineTuning:
    """
    What came of a fine-tuning.

    :param folder: The checkpoint.
    :param unnorm_key: The name of its action statistics.
    :param evaluations: The tests in the order of their steps.
    """

    folder: Path
    unnorm_key: str
    evaluations: tuple[Evaluation, ...]

    @property
    def best(self) -> Evaluation:
        """The test of the weights that the checkpoint has."""
        return best_of(self.evaluations)


def finetune(
    checkpoint: str | Path,
    data: str | Path | Demonstrations,
    to: str | Path,
    recipe: Recipe | None = None,
    *,
    unnorm_key: str | None = None,
    camera: str | None = None,
    convert_actions: str | None = "signed_gripper",
    device: str | th.device = "auto",
    dtype: th.dtype | None = None,
    objective: Callable[[OpenVLAModel, Examples], Objective] | None = None,
    show: Callable[[str], None] = print,
) -> FineTuning:
    """
    Train a checkpoint on demonstrations, and write one that ``OpenVLATeacher`` and OpenVLA's own code read.

    Interrupted and called again with the same arguments, it goes on from the last state that was saved, and ends with the same
    weights. Called once more, it returns what came of it. The folder ``training`` beside the weights has recipe and log.

    :param checkpoint: The checkpoint: a folder, or the id of a repository on the Hugging Face hub.
    :param data: The demonstrations: a folder that ``read_demonstrations`` reads, or what it returns.
    :param to: The folder to write to.
    :param recipe: The numbers of the training; None for ``Recipe()``.
    :param unnorm_key: The name that the statistics of the actions get; None for the name of the folder ``data``, or
        "demonstrations".
    :param camera: The camera to look through; None for the only one.
    :param convert_actions: What ``OpenVLATeacher`` will be given, undone for the labels. "signed_gripper": the demonstrations'
        gripper goes from -1 (closed) to 1 (open), and the network learns 0 and 1, as OpenVLA's data has it.
    :param device: "auto" for a GPU where there is one.
    :param dtype: bfloat16 for mixed precision, the default on a GPU; float32, the default on a CPU.
    :param objective: Makes what is minimized, of the network and the frames to train on; None for ``Objective``.
    :param show: Called with lines of progress.
    :return: What came of it.
    :raises TeacherError: if the checkpoint cannot be used.
    :raises ValueError: if ``to`` holds something else, an argument makes no sense, or there are no words for the actions.
    """
    name = "demonstrations"
    if isinstance(data, (str, Path)):
        name, data = Path(data).resolve().name, read_demonstrations(data)
    where = th.device("cuda" if th.cuda.is_available() else "cpu") if device == "auto" else th.device(device)
    job = _Job(
        source=find_checkpoint(checkpoint),
        demonstrations=data,
        to=Path(to),
        recipe=recipe or Recipe(),
        unnorm_key=unnorm_key or name,
        camera=camera,
        convert_actions=convert_actions,
        device=where,
        dtype=dtype or (th.float32 if where.type == "cpu" else th.bfloat16),
    )
    _claim(job.to, {"checkpoint": str(checkpoint), **job.settings()})
    log = job.to / _TRAINING / _LOG
    if not log.is_file():
        evaluations = _train(job, objective, show)
        write_json(log, [asdict(one) for one in evaluations])
        for path in log.parent.glob("*.safetensors"):
            path.unlink()
    tests = [Evaluation(**one) for one in json.loads(log.read_text(encoding="utf-8"))]
    return FineTuning(job.to, job.unnorm_key, tuple(tests))


@dataclass(frozen=True)
class _Job:
    """The arguments of ``finetune``, with what they default to."""

    source: Path
    demonstrations: Demonstrations
    to: Path
    recipe: Recipe
    unnorm_key: str
    camera: str | None
    convert_actions: str | None
    device: th.device
    dtype: th.dtype

    def statistics(self) -> dict[str, Any]:
        """What stands in dataset_statistics.json for the demonstrations."""
        actions = to_data_units(self.convert_actions)(self.demonstrations.actions)
        gripper = self.convert_actions is not None
        check_labels(actions, gripper=gripper)
        return {
            "action": action_statistics(actions, gripper=gripper),
            "num_transitions": len(actions),
            "num_trajectories": len(np.unique(self.demonstrations.episodes)),
        }

    def settings(self) -> dict[str, Any]:
        """What the weights depend on."""
        return {
            "unnorm_key": self.unnorm_key,
            "camera": self.camera,
            "convert_actions": self.convert_actions,
            "precision": str(self.dtype),
            "statistics": self.statistics(),
            **asdict(self.recipe),
        }


def _claim(to: Path, settings: dict[str, Any]) -> None:
    """Refuse to go on from, or to overwrite, what was begun otherwise."""
    path = to / _TRAINING / _SETTINGS
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in settings if before.get(name) != json.loads(json.dumps(settings[name]))]
        if differing:
            raise ValueError(
                f"{to} was begun with other values of {', '.join(differing)}. Take those to go on, or another folder."
            )
        return
    if any(other.is_file() and not other.name.startswith(".") for other in to.rglob("*")):
        raise ValueError(f"{to} is not empty and holds no training to go on with: take another folder.")
    write_json(path, settings)


def _train(
    job: _Job, make_objective: Callable[[OpenVLAModel, Examples], Objective] | None, show: Callable[[str], None]
) -> list[Evaluation]:
    """Write the checkpoint; the tests."""
    statistics = job.statistics()
    examples, held_out = (
        Examples(
            job.source,
            frames,
            statistics["action"],
            convert_actions=job.convert_actions,
            camera=job.camera,
            device=job.device,
        )
        for frames in job.demonstrations.split(job.recipe.held_out, seed=job.recipe.seed)
    )
    model = _load(job)
    with th.random.fork_rng(devices=[]):
        # an objective may have parts of its own, with random weights
        th.manual_seed(job.recipe.seed)
        objective = make_objective(model, examples) if make_objective else Objective(model, job.recipe.label_width)
    objective.to(job.device)

    def write(folder: Path) -> None:
        write_checkpoint(job.source, folder, objective.weights(), {job.unnorm_key: statistics})

    training = Training(
        objective,
        examples,
        held_out,
        job.recipe,
        job.to / _TRAINING,
        dtype=job.dtype,
        keep=lambda step: write(job.to / f"step-{step:05d}"),
        show=show,
    )
    trained = sum(one.numel() for one in objective.parameters() if one.requires_grad)
    show(
        f"Training {trained:,} numbers of {job.source} on {len(examples)} frames, in "
        f"{str(job.dtype).removeprefix('torch.')} on {job.device}; {len(held_out)} frames held out"
    )
    training.run()
    write(job.to)
    return training.evaluations


def _load(job: _Job) -> OpenVLAModel:
    """The network, with what is to be trained asking for gradients."""
    rank = job.recipe.lora_rank
    # steps that are far smaller than the weights would be lost in bfloat16
    model = load_model(job.source, job.device, th.float32 if rank is None else job.dtype)
    if rank is None:
        model.requires_grad_(True)
    else:
        add_adapters(model, rank, job.recipe.seed)
    if job.recipe.gradient_checkpointing:
        llama = model.language_model
        # what transformers calls it, in newer releases and in older ones
        enable = getattr(llama, "activation_checkpointing_enable", None) or llama.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        # no layer behaves otherwise in training, but it is asked for
        llama.train()
    return model
