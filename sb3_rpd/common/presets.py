"""Settings to begin with."""

from typing import Any

from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.schedules import CosineCoef


def recommended(coef: float = 5.0, final_coef: float | None = None) -> dict[str, Any]:
    """
    Arguments for a Gaussian student whose teacher errs in a way that is not known::

        RPD("MlpPolicy", env, teacher=teacher, **recommended())

    The imitation coefficient goes down along half a cosine, so that in the end the reward decides what the teacher does
    not know; meanwhile ``LabelDebiasing`` takes an offset and a wrong sign out of the labels, and ``LabelMemory`` has the
    student follow them closely until it succeeds. As long as rewards are rare, it mostly imitates.
    The last policy is the better for a learning rate that falls to zero, such as SB3's ``LinearSchedule(1e-3, 0.0, 1.0)``.

    :param coef: The imitation coefficient at the beginning, >= 0.
    :param final_coef: That at the end, >= 0; None is a tenth of ``coef``.
    :return: ``imitation_coef``, ``label_debiasing`` and ``label_memory``, new objects at each call, since they are a model's
        own; and ``wait_for_reward``.
    """
    return {
        "imitation_coef": CosineCoef(coef, coef / 10.0 if final_coef is None else final_coef),
        "label_debiasing": LabelDebiasing(),
        "label_memory": LabelMemory(),
        "wait_for_reward": True,
    }
