"""Imitation losses: how far the student's action distribution is from the teacher's labels, one small object for each."""

from sb3_rpd.common.losses.base import ImitationLoss, WeightedLoss
from sb3_rpd.common.losses.direction import Cosine
from sb3_rpd.common.losses.divergence import KL
from sb3_rpd.common.losses.likelihood import NLL
from sb3_rpd.common.losses.regression import L1, MSE, Huber, RegressionLoss

__all__ = ["KL", "L1", "MSE", "NLL", "Cosine", "Huber", "ImitationLoss", "RegressionLoss", "WeightedLoss"]
