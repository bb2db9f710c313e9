"""Refined Policy Distillation with forbidden actions, on sb3-contrib's ``MaskablePPO``."""

from sb3_rpd.common.optional_imports import import_optional

import_optional("sb3_contrib", extra="contrib")

# Only now that sb3-contrib is known to be there
from sb3_contrib.ppo_mask import CnnPolicy, MlpPolicy, MultiInputPolicy  # noqa: E402

from sb3_rpd.maskable_rpd.maskable_rpd import MaskableRPD  # noqa: E402

__all__ = ["CnnPolicy", "MaskableRPD", "MlpPolicy", "MultiInputPolicy"]
