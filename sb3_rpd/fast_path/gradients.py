"""The gradient of RPD's loss with respect to what a policy puts out, whatever the distribution over its actions."""

import torch as th

from sb3_rpd.common.ppo_loss import PPOLossSettings
from sb3_rpd.fast_path.clamp import passes_clamp
from sb3_rpd.fast_path.heads.head import Evaluation, Head, ImitationGradient, Outputs
from sb3_rpd.fast_path.rows import Rows


def loss_gradient(
    head: Head,
    outputs: Outputs,
    evaluation: Evaluation,
    rows: Rows,
    settings: PPOLossSettings,
    imitation: ImitationGradient | None,
) -> Outputs:
    """
    The gradient of ``sb3_rpd.common.ppo_loss.ppo_loss``, whose advantages are normalized already, plus the imitation loss.

    :param head: The policy's.
    :param outputs: The policy's outputs.
    :param evaluation: The head's view of them.
    :param rows: The same rows of the rollout, prepared.
    :param settings: Clip ranges and weights.
    :param imitation: The gradient of the imitation loss, None for none.
    :return: The gradient with respect to the outputs.
    """
    of_log_prob = _of_log_prob(evaluation.ratio, rows, settings)
    of_entropy = -settings.ent_coef / len(of_log_prob)
    if not head.has_entropy:
        of_log_prob.sub_(of_entropy)
    by_row = of_log_prob.unsqueeze(1)
    of_parameters = tuple(derivative * by_row for derivative in evaluation.derivatives)
    if head.has_entropy and settings.ent_coef != 0.0:
        head.add_entropy_gradient(of_parameters, evaluation.parameters, of_entropy)
    if imitation is not None:
        imitation.add_to(of_parameters, evaluation, rows)
    return head.backward(of_parameters, evaluation.parameters, outputs, _of_values(outputs.values, rows, settings))


def _of_log_prob(ratio: th.Tensor, rows: Rows, settings: PPOLossSettings) -> th.Tensor:
    low, high = 1.0 - settings.clip_range, 1.0 + settings.clip_range
    surrogate = rows.advantages * ratio
    clipped_ratio = ratio.clamp(low, high)
    # 2 where the surrogate is the smaller, 0 where the clipped one is. Where they are equal th.min gives each its half, and
    # that of the clipped one passes the clamp or does not
    halves = (rows.advantages * clipped_ratio).sub_(surrogate).sign_().add_(1.0)
    halves.masked_fill_(passes_clamp(ratio, clipped_ratio, low, high), 2.0)
    return surrogate.mul_(halves).mul_(-0.5 / len(ratio))


def _of_values(values: th.Tensor, rows: Rows, settings: PPOLossSettings) -> th.Tensor:
    error = values - rows.returns
    if settings.clip_range_vf is not None:
        change = values - rows.old_values
        low, high = -settings.clip_range_vf, settings.clip_range_vf
        clipped_change = change.clamp(low, high)
        passes = passes_clamp(change, clipped_change, low, high)
        error = (rows.old_values + clipped_change - rows.returns) * passes
    return error.mul_(2.0 * settings.vf_coef / len(values))
