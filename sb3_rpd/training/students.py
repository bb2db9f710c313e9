"""Students by name: the folder of a training, or a file."""

from pathlib import Path

from sb3_rpd.common.student_files import load_student
from sb3_rpd.evaluation import Student
from sb3_rpd.training.checkpoints import STATISTICS, STUDENT


def find_student(path: Path, vec_normalize: Path | None = None) -> Student:
    """
    Load a student, to let it act.

    :param path: The folder of a training, which has its statistics, too, or what the student's ``save()`` has written.
    :param vec_normalize: What ``VecNormalize.save()`` has written, in place of a folder's.
    :return: The student.
    :raises FileNotFoundError: if it is not there.
    :raises ValueError: if the file is none of a student, or does not load.
    """
    if path.is_dir():
        if vec_normalize is None and (path / STATISTICS).is_file():
            vec_normalize = path / STATISTICS
        path = path / STUDENT
    return Student(load_student(path, device="auto"), vec_normalize)
