"""Takes a student from the Hugging Face hub, or from its cache on this machine."""

from pathlib import Path
from typing import NamedTuple

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.student_files import load_student
from sb3_rpd.common.vec_normalize import load_statistics
from sb3_rpd.training.checkpoints import STATISTICS, STUDENT


class HubStudent(NamedTuple):
    """
    A student from the hub.

    :param model: The student, to act with on the CPU.
    :param vec_normalize: The statistics of its observations, None if it has none: for ``Student(model, vec_normalize)``, or
        around environments after ``vec_normalize.set_venv(env)``.
    :param folder: Where its files are, in the hub's cache.
    """

    model: BaseAlgorithm
    vec_normalize: VecNormalize | None
    folder: Path


def load_from_hub(
    repo_id: str,
    *,
    trust_pickle: bool = False,
    algorithm: type[BaseAlgorithm] | None = None,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
) -> HubStudent:
    """
    Load a student that ``push_to_hub`` has put on the hub. Without a connection (or with ``HF_HUB_OFFLINE=1``) it comes from
    the cache of an earlier time. Needs ``pip install "sb3_rpd[hub]"``.

    :param repo_id: The repository: "user/name".
    :param trust_pickle: Your consent to load pickles of this repository's author, which run code of their choice.
    :param algorithm: The class to load it with, ``RPD`` to train on, for instance; None for PPO, or sb3-contrib's algorithm
        that saved it.
    :param revision: Branch, tag or commit. A commit cannot be changed by its author afterwards.
    :param token: The hub's token; None for that of the login.
    :param cache_dir: The cache's folder; None for the hub's own.
    :return: The student.
    :raises ValueError: if there is no consent, or the file does not load.
    :raises OSError: if there is no such repository, neither there nor in the cache.
    """
    if not trust_pickle:
        raise ValueError(
            f"The student in {repo_id!r} is not loaded without your consent: it is an archive of Stable-Baselines3, parts of "
            "which are pickles, and a pickle can run any program of its author's on this machine. If you trust whoever can "
            "write to that repository, pass trust_pickle=True; revision=COMMIT holds them to what is there today."
        )
    hub = import_optional("huggingface_hub", extra="hub")
    files = [STUDENT, STATISTICS]
    folder = Path(hub.snapshot_download(repo_id, revision=revision, token=token, cache_dir=cache_dir, allow_patterns=files))
    if not (folder / STUDENT).is_file():
        raise ValueError(f"{repo_id} has no {STUDENT}, so it was not made by push_to_hub.")
    statistics = folder / STATISTICS
    return HubStudent(
        load_student(folder / STUDENT, algorithm), load_statistics(statistics) if statistics.is_file() else None, folder
    )
