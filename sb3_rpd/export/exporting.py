"""Exports a student, and leaves no file that acts otherwise than the student."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from sb3_rpd.common.errors import ExportError
from sb3_rpd.common.vec_normalize import load_statistics
from sb3_rpd.export.formats import Arrays, Run, check_suffix, load_exported, write_exported
from sb3_rpd.export.raw_observations import OBSERVATION, RawObservations, entries_of
from sb3_rpd.export.samples import sample_observations
from sb3_rpd.export.student_modules import (
    EPISODE_START,
    NEXT_STATES,
    STATES,
    example_states,
    make_student_module,
    ready_to_act,
)

#: The largest difference from the student's own output that rounding explains, as a share of the largest output, or of 1.
TOLERANCE = 1e-4
#: Rows of a batch that the file is checked with; after it, one row alone, since a batch of one is easily a case of its own.
_BATCHES = (32, 1)


@dataclass(frozen=True)
class ExportReport:
    """
    What was exported. Prints as a few lines.

    :param path: The file.
    :param inputs: What it takes, by name: dtype and shape, "n" for the rows.
    :param outputs: What it gives.
    :param checked: With how many observations it was compared to ``model.predict``.
    :param difference: The largest difference between the two.
    """

    path: Path
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    checked: int
    difference: float

    def __str__(self) -> str:
        lines = [("exported", str(self.path))]
        lines += [("takes", f"{name}: {described}") for name, described in self.inputs.items()]
        lines += [("gives", f"{name}: {described}") for name, described in self.outputs.items()]
        lines += [("checked", f"{self.checked} observations, at most {self.difference:.1e} from the student's own output")]
        return "\n".join(f"{name:<9} {text}" for name, text in lines)


def export_student(
    model: BaseAlgorithm,
    path: str | Path,
    *,
    vec_normalize: VecNormalize | str | Path | None = None,
    channels_first: bool | None = None,
) -> ExportReport:
    """
    Export a student to a file that takes the environment's raw observations and gives the environment's actions:
    normalization, the layout of images, and clipping or stretching are inside. The size of the batch is open.

    Its actions are the deterministic ones. The file is compared with ``model.predict`` on observations of all sizes before it
    is left at ``path``.

    :param model: The student: of RPD, PPO or any other of Stable-Baselines3's algorithms, or of sb3-contrib's RecurrentPPO.
        The latter's file has the LSTM's state as input and output, and the input ``episode_start``.
    :param path: Where to: "....onnx" or "....pt2" (``torch.export``).
    :param vec_normalize: The statistics of the student's own training, or the path that ``VecNormalize.save()`` wrote; None
        for those of the ``VecNormalize`` in the model's own environment, if it has one.
    :param channels_first: Whether the environment has the channels of its images first. None looks at the model's own
        environment; without one they are last there, as in most environments.
    :return: What the file takes and gives, and how well it agrees.
    :raises ExportError: if the student cannot be exported, or the file disagrees with it.
    :raises ImportError: if a library is missing; names the extra.
    """
    path = Path(path)
    check_suffix(path)
    statistics = model.get_vec_normalize_env() if vec_normalize is None else load_statistics(vec_normalize)
    observations = RawObservations(model, statistics, channels_first)
    module = make_student_module(model, observations)
    generator = np.random.default_rng(0)
    difference, checked = 0.0, 0
    with ready_to_act(model.policy), TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        unchecked = Path(folder) / path.name
        inputs = _sample_inputs(model, observations, 2, generator)
        axes = {name: 1 if name in STATES and name not in observations.spaces else 0 for name in inputs}
        write_exported(module, inputs, axes, unchecked)
        run = load_exported(unchecked)
        for n in _BATCHES:
            inputs = _sample_inputs(model, observations, n, generator)
            outputs, one = _compare(model, statistics, run, inputs)
            difference, checked = max(difference, one), checked + n
        described = _describe(inputs, axes), _describe(outputs, dict.fromkeys(NEXT_STATES, 1))
        unchecked.replace(path)
    return ExportReport(path, *described, checked, difference)


def _sample_inputs(
    model: BaseAlgorithm, observations: RawObservations, n: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    inputs = {
        name: sample_observations(space, observations.statistics.get(name), n, generator)
        for name, space in observations.spaces.items()
    }
    if hasattr(model.policy, "lstm_actor"):
        inputs |= example_states(model.policy, n, generator)
    return inputs


def _compare(
    model: BaseAlgorithm, statistics: VecNormalize | None, run: Run, inputs: Arrays
) -> tuple[dict[str, np.ndarray], float]:
    """What the file gives, and how far that is from what the student gives."""
    expected = _predict(model, statistics, inputs)
    outputs = run(inputs)
    largest = 0.0
    for name, array in expected.items():
        given = outputs[name]
        if given.shape != array.shape or given.dtype != array.dtype:
            raise ExportError(
                f"The exported file gives {name} as {given.dtype} of the shape {given.shape}, the student as {array.dtype} of "
                f"the shape {array.shape}. It was not kept."
            )
        difference = float(np.abs(given.astype(np.float64) - array).max())
        # not "<=": a NaN must not pass
        if not difference < TOLERANCE * max(1.0, float(np.abs(array).max())):
            raise ExportError(
                f"The exported file does not act as the student does: its {name} is {difference:.2g} away. It was not kept. A "
                "policy that decides in Python by the values it sees cannot be exported."
            )
        largest = max(largest, difference)
    return outputs, largest


def _predict(model: BaseAlgorithm, statistics: VecNormalize | None, inputs: Arrays) -> dict[str, np.ndarray]:
    space = model.observation_space
    observation: Any = {name: inputs[name] for name in entries_of(space)}
    observation = observation if isinstance(space, spaces.Dict) else observation[OBSERVATION]
    if statistics is not None:
        observation = statistics.normalize_obs(observation)
    if EPISODE_START not in inputs:
        return {"action": model.predict(observation, deterministic=True)[0]}
    states = tuple(inputs[name] for name in STATES)
    action, next_states = model.predict(observation, states, inputs[EPISODE_START], deterministic=True)
    assert next_states is not None
    return {"action": action, **dict(zip(NEXT_STATES, next_states, strict=True))}


def _describe(arrays: Arrays, batch_axes: Mapping[str, int]) -> dict[str, str]:
    described = {}
    for name, array in arrays.items():
        shape = [str(size) for size in array.shape]
        shape[batch_axes.get(name, 0)] = "n"
        described[name] = f"{array.dtype} ({', '.join(shape)})"
    return described
