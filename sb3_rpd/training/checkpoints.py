"""Checkpoints of a training: whole ones only, so that a training that is killed at any moment goes on from the last one."""

import shutil
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_rpd.evaluation import KeepBest

#: The files of a student, in a checkpoint and as the result of a training.
STUDENT, STATISTICS = "student.zip", "vecnormalize.pkl"
#: What the evaluations have found, in a checkpoint.
KEPT = "keep_best.pkl"
# What the folder of a checkpoint is called until all of it is written
_UNFINISHED = ".unfinished"


class SaveCheckpoints(BaseCallback):
    """
    Save the student, the statistics of its observations and what ``KeepBest`` has found, between rollouts and at the end.

    A checkpoint is a folder named by its environment steps. It appears under that name when all of it is written; then the
    one before is deleted.

    :param folder: Where the checkpoints are.
    :param every: Environment steps between two of them.
    :param keep_best: Saved with the student. It has to be called before this callback.
    """

    def __init__(self, folder: Path, every: int, keep_best: KeepBest) -> None:
        super().__init__()
        self.folder = folder
        self.every = every
        self.keep_best = keep_best
        self._last = 0

    def _on_training_start(self) -> None:
        self._last = self.num_timesteps

    def _on_rollout_start(self) -> None:
        # The policy is as the last train() left it
        if self.num_timesteps - self._last >= self.every:
            self._save()

    def _on_training_end(self) -> None:
        self._save()

    def _on_step(self) -> bool:
        return True

    def _save(self) -> None:
        self._last = self.num_timesteps
        finished = self.folder / str(self.num_timesteps)
        if finished.exists():
            # A finished training was begun again, and had nothing to do
            return
        before = _checkpoints(self.folder)
        for leftover in self.folder.glob(f"*{_UNFINISHED}"):
            # Of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = finished.with_name(finished.name + _UNFINISHED)
        unfinished.mkdir(parents=True)
        save_student(self.model, unfinished)
        self.keep_best.save(unfinished / KEPT)
        unfinished.rename(finished)
        for other in before:
            shutil.rmtree(other)


def save_student(model: BaseAlgorithm, folder: Path) -> None:
    """
    :param model: A student.
    :param folder: Where to put it, and the statistics of its ``VecNormalize`` if it has one.
    """
    model.save(folder / STUDENT)
    statistics = model.get_vec_normalize_env()
    if statistics is not None:
        statistics.save(str(folder / STATISTICS))


def last_checkpoint(folder: Path) -> Path | None:
    """
    :param folder: Where the checkpoints are.
    :return: The one of most steps, None if there is none.
    """
    return max(_checkpoints(folder), key=lambda path: int(path.name), default=None)


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.name.isdigit()]
