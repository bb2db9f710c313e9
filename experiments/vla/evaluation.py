"""How often a VLA solves the tasks by itself, written down as soon as it is known."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym

from experiments.vla.tasks import TASKS, make_env, moved_camera
from sb3_rpd.evaluation import evaluate_teacher
from sb3_rpd.teachers import OpenVLATeacher

UNNORM_KEY = "sb3_rpd_cube:1.0.0"

#: The VLAs "good" and "weak" that come with the repository.
KEPT = Path(__file__).parent / "checkpoints"

#: A checkpoint is chosen in episodes from the first on, and evaluated in episodes from the second on.
SELECTION_SEED, EVALUATION_SEED = 500_000, 1_000_000

#: What is asked of the finished VLA: task, instruction if it is another one, camera if it is another one.
QUESTIONS: dict[str, dict[str, Any]] = {
    "lift": {"task": "lift"},
    "push": {"task": "push"},
    "lift, told to push": {"task": "lift", "instruction": TASKS["push"].instruction},
    "push, told to lift": {"task": "push", "instruction": TASKS["lift"].instruction},
    "lift, told what it has never heard": {"task": "lift", "instruction": "to the up"},
    "lift, camera moved by 6 cm": {"task": "lift", "camera": moved_camera(0.06)},
    "lift, camera moved by 16 cm": {"task": "lift", "camera": moved_camera(0.16)},
}


class Results:
    """
    Evaluations in a file.

    :param path: The file; what is there is not done again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
        self._envs: dict[str, gym.Env[Any, Any]] = {}

    def success(self, checkpoint: Path, question: str, episodes: int, seed: int) -> dict[str, Any]:
        """
        :param checkpoint: The VLA.
        :param question: One of ``QUESTIONS``.
        :param episodes: In how many episodes.
        :param seed: Of the first of them.
        :return: ``successes``, ``episodes``, ``interval`` (95 %) and ``length``, the mean number of steps.
        """
        key = f"{checkpoint.name}: {question}, {episodes} episodes from {seed}"
        if key not in self._known:
            if question not in self._envs:
                self._envs[question] = make_env(**QUESTIONS[question])
            teacher = OpenVLATeacher(checkpoint, UNNORM_KEY, device="cpu")
            found = evaluate_teacher(teacher, self._envs[question], episodes, seed=seed)
            self._known[key] = {
                "successes": found.successes,
                "episodes": found.episodes,
                "interval": [round(float(end), 3) for end in found.success_interval],
                "length": round(found.mean_length, 1),
            }
            self._path.write_text(json.dumps(self._known, indent=2) + "\n")
        return self._known[key]
