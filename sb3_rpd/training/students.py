"""Students by name: the folder of a training, or a file."""

from pathlib import Path

from sb3_rpd.teachers import SB3Teacher
from sb3_rpd.training.checkpoints import STATISTICS, STUDENT


def find_student(path: Path, vec_normalize: Path | None = None) -> SB3Teacher:
    """
    Load a student, to let it act.

    :param path: The folder of a training, which has its statistics, too, or what the student's ``save()`` has written.
    :param vec_normalize: What ``VecNormalize.save()`` has written, in place of a folder's.
    :return: The student as a teacher.
    :raises TeacherError: if it does not load, or is recurrent.
    """
    if path.is_dir():
        if vec_normalize is None and (path / STATISTICS).is_file():
            vec_normalize = path / STATISTICS
        path = path / STUDENT
    return SB3Teacher(path, vec_normalize)
