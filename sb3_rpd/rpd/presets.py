"""Settings of RPD with a name."""

from typing import Any

from sb3_rpd.common.gates import FailureRateGate
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.schedules import CoefLike


def recommended(coef: CoefLike = 1.0) -> dict[str, Any]:
    """
    What did best over many kinds of a teacher's errors, without knowing which of them the teacher has (the project's
    documentation has the results): imitate as far as the student fails, and learn how far the teacher is off. ::

        RPD("MlpPolicy", env, teacher=teacher, **recommended(coef=5.0))

    It is for students with Gaussian actions in environments that report their success; RPD's own defaults, a constant
    coefficient and the labels as they are, are the paper's.

    :param coef: The imitation coefficient of a student that never succeeds: a number, a schedule, or an SB3 schedule.
    :return: Keyword arguments of ``RPD``.
    """
    return {"imitation_coef": FailureRateGate(floor=0.2, coef=coef), "label_debiasing": LabelDebiasing()}
