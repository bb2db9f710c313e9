"""Which models the fast path is for."""

from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_rpd.common.buffers import TeacherDictRolloutBuffer, TeacherRolloutBuffer
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.fast_path.acting import acts_fast
from sb3_rpd.fast_path.heads.choice import head_of
from sb3_rpd.fast_path.optimizers import ELEMENTWISE

#: The methods of a policy whose work the fast path does itself.
_POLICY_METHODS = ("forward", "evaluate_actions", "predict_values", "extract_features", "_get_action_dist_from_latent")


def why_not_covered(policy: ActorCriticPolicy, buffer: object, loss: ImitationLoss) -> str | None:
    """
    :param policy: The student.
    :param buffer: Its rollout buffer.
    :param loss: The imitation loss.
    :return: The first thing that the fast path cannot do, None if it can do all.
    """
    if head_of(policy.action_dist) is None:
        return f"its actions have a {type(policy.action_dist).__name__}, whose gradient is not written out"
    for name in _POLICY_METHODS:
        is_own = name in vars(policy) and not acts_fast(policy)
        if is_own or getattr(type(policy), name) is not getattr(ActorCriticPolicy, name):
            return f"{type(policy).__name__} has its own {name}()"
    for name, attribute in vars(policy.action_dist).items():
        if callable(attribute):
            return f"its distribution has its own {name}()"
    if type(buffer) not in (TeacherRolloutBuffer, TeacherDictRolloutBuffer):
        return f"its rollout buffer is of a class of its own, {type(buffer).__name__}"
    if type(loss).__call__ is not ImitationLoss.__call__:
        return f"the imitation loss {type(loss).__name__} is not a mean over rows, it has its own __call__()"
    return _why_not_optimizer(policy)


def _why_not_optimizer(policy: ActorCriticPolicy) -> str | None:
    optimizer = policy.optimizer
    if type(optimizer) not in ELEMENTWISE:
        *first, last = (kind.__name__ for kind in ELEMENTWISE)
        return f"its optimizer is {type(optimizer).__name__}, not {', '.join(first)} or {last}"
    chosen = [name for name in ("capturable", "differentiable") if any(group.get(name) for group in optimizer.param_groups)]
    if chosen:
        return f"its optimizer's option {chosen[0]}"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if len(optimizer.param_groups) > 1 or {*parameters} != {*policy.parameters()}:
        return "its optimizer does not have all of its parameters in one group"
    return None
