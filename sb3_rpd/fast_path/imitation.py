"""The gradient of the imitation loss with respect to the parameters of the student's distribution."""

import torch as th

from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.fast_path.heads.head import Evaluation, Head, ImitationGradient, Parameters
from sb3_rpd.fast_path.rows import Rows


class AutogradImitation(ImitationGradient):
    """For any loss, by autograd through the loss and no further."""

    def add_to(self, of_parameters: Parameters, evaluation: Evaluation, rows: Rows) -> None:
        with th.enable_grad():
            *parameters, ratio = (part.detach().requires_grad_() for part in (*evaluation.parameters, evaluation.ratio))
            by_row = self.loss.by_row(self.head.distribution(tuple(parameters)), rows.labels, ratio, self.clip_range)
            loss = self.coef * (by_row * rows.label_weights).sum()
        if not loss.requires_grad:
            return
        *own, of_ratio = th.autograd.grad(loss, (*parameters, ratio), materialize_grads=True)
        of_log_ratio = (of_ratio * evaluation.ratio).unsqueeze(1)
        for total, direct, derivative in zip(of_parameters, own, evaluation.derivatives, strict=True):
            total.add_(direct).addcmul_(derivative, of_log_ratio)


def imitation_gradient(head: Head, loss: ImitationLoss, coef: float, clip_range: float) -> ImitationGradient:
    """
    :param head: The student's.
    :param loss: An imitation loss that fits the action space.
    :param coef: Its coefficient.
    :param clip_range: PPO's.
    :return: Its gradient, in closed form where that is known.
    """
    return head.imitation_gradients.get(type(loss), AutogradImitation)(head, loss, coef, clip_range)
