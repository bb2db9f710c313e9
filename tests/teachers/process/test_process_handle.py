"""A process that does not get as far as being ready: it is gone, and the error says why."""

import numpy as np
import pytest
from gymnasium import spaces
from watched_processes import PATIENCE

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import ProcessTeacher


@pytest.mark.parametrize(
    ("factory", "start_timeout", "complaint"),
    [
        ("broken", PATIENCE, r"process_teachers:broken\) could not be made ready.*in broken\n.*OSError: no weights here"),
        ("short_lived", PATIENCE, r"process_teachers:short_lived\) ended with exit code 3 before the teacher was ready"),
        ("sleeper", 1.5, r"gave no answer within start_timeout=1\.5 seconds and was killed before the teacher was ready"),
        ("box_player", PATIENCE, r"could not be made ready.*ValueError: Discrete\(2\) is no Box"),
    ],
)
def test_a_teacher_that_does_not_start(factory: str, start_timeout: float, complaint: str) -> None:
    teacher = ProcessTeacher(f"process_teachers:{factory}", start_timeout=start_timeout, verbose=0)
    with pytest.raises(TeacherError, match=f"(?s){complaint}"):
        teacher.setup(spaces.Discrete(2))

    assert teacher.pids == [None]
    with pytest.raises(TeacherError, match=r"no process before setup"):
        teacher.predict(np.zeros((1, 2)))
