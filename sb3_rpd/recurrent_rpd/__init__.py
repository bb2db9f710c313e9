"""Refined Policy Distillation for students with a memory, on sb3-contrib's ``RecurrentPPO``."""

from sb3_rpd.common.optional_imports import import_optional

import_optional("sb3_contrib", extra="contrib")

# Only now that sb3-contrib is known to be there
from sb3_contrib.ppo_recurrent import CnnLstmPolicy, MlpLstmPolicy, MultiInputLstmPolicy  # noqa: E402

from sb3_rpd.recurrent_rpd.recurrent_rpd import RecurrentRPD  # noqa: E402

__all__ = ["CnnLstmPolicy", "MlpLstmPolicy", "MultiInputLstmPolicy", "RecurrentRPD"]
