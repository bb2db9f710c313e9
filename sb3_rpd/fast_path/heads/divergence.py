"""The gradient of the KL divergence from or to the teacher's distribution, times PPD's factor, for every distribution."""

import math
from abc import abstractmethod

import torch as th

from sb3_rpd.common.losses import KL
from sb3_rpd.fast_path.clamp import passes_clamp
from sb3_rpd.fast_path.heads.head import Evaluation, ImitationGradient, Parameters
from sb3_rpd.fast_path.rows import Rows


class KLImitation(ImitationGradient):
    """The factor ``max(ratio, 1 - clip_range)`` is here, the divergence is the distribution's."""

    loss: KL

    @abstractmethod
    def divergence(self, parameters: Parameters, rows: Rows) -> tuple[th.Tensor, Parameters]:
        """
        :param parameters: Those of the student's distribution.
        :param rows: The same rows of the rollout.
        :return: The weighted divergence of each row, shape (rows,), and its derivatives by the parameters.
        """

    def add_to(self, of_parameters: Parameters, evaluation: Evaluation, rows: Rows) -> None:
        divergence, own = self.divergence(evaluation.parameters, rows)
        lowest = 1.0 - self.clip_range
        factor = evaluation.ratio.clamp(min=lowest)
        weights = self.coef * rows.label_weights
        of_divergence = (weights * factor).unsqueeze(1)
        passes = passes_clamp(evaluation.ratio, factor, lowest, math.inf)
        of_log_ratio = (weights * divergence * evaluation.ratio * passes).unsqueeze(1)
        for total, direct, derivative in zip(of_parameters, own, evaluation.derivatives, strict=True):
            total.addcmul_(direct, of_divergence).addcmul_(derivative, of_log_ratio)
