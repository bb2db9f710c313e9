"""Refined Policy Distillation."""

from sb3_rpd.rpd.policies import CnnPolicy, MlpPolicy, MultiInputPolicy
from sb3_rpd.rpd.rpd import RPD

__all__ = ["RPD", "CnnPolicy", "MlpPolicy", "MultiInputPolicy"]
