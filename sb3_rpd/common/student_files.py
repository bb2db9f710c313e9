"""Finds out which class loads a saved student, without running anything that is pickled in it."""

import json
import zipfile
from pathlib import Path

from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.wording import cut


def load_student(path: str | Path, algorithm: type[BaseAlgorithm] | None = None, device: str = "cpu") -> BaseAlgorithm:
    """
    Load a student to act with. What is pickled in the file runs: it must come from somebody you trust.

    :param path: What ``save()`` has written; ".zip" is added to a name without an ending, as ``save()`` does.
    :param algorithm: The class to load it with; None for what ``student_class`` says.
    :param device: Where it is to act, as Stable-Baselines3 takes it.
    :return: The student.
    :raises FileNotFoundError: if there is no such file.
    :raises ValueError: if it is none of a student, or does not load.
    """
    algorithm = algorithm or student_class(path)
    try:
        return algorithm.load(path, device=device)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} does not load as a {algorithm.__name__} model ({type(error).__name__}: {cut(error)})."
        ) from error


def student_class(path: str | Path) -> type[BaseAlgorithm]:
    """
    :param path: What ``save()`` has written, as ``load_student`` takes it.
    :return: PPO, which loads what RPD has saved, or sb3-contrib's RecurrentPPO or MaskablePPO.
    :raises FileNotFoundError: if there is no such file.
    :raises ValueError: if the file is no archive of Stable-Baselines3, or of an algorithm that is none of these.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path if path.suffix else path.with_suffix(".zip")) as archive:
            settings = json.loads(archive.read("data"))
            # the names of its parameters stand in there as they are
            has_lstm = b"lstm_actor" in archive.read("policy.pth")
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise ValueError(f"{path} is no archive that a Stable-Baselines3 model's save() writes ({cut(error)}).") from error
    if "clip_range" not in settings or "n_epochs" not in settings:
        raise ValueError(f"{path} holds no student of RPD, PPO, RecurrentPPO or MaskablePPO.")
    is_maskable = "sb3_contrib.common.maskable" in str(settings["policy_class"])
    if not (has_lstm or is_maskable):
        return PPO
    contrib = import_optional("sb3_contrib", extra="contrib")
    return contrib.RecurrentPPO if has_lstm else contrib.MaskablePPO  # type: ignore[no-any-return]
