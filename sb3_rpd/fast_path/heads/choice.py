"""Which head belongs to a policy."""

from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_rpd.fast_path.heads.gaussian import GaussianHead
from sb3_rpd.fast_path.heads.head import Head

_HEADS: tuple[type[Head], ...] = (GaussianHead,)


def head_of(policy: ActorCriticPolicy) -> Head | None:
    """
    :param policy: A policy.
    :return: The head for exactly its kind of distribution, None where there is none.
    """
    for head in _HEADS:
        if type(policy.action_dist) is head.kind:
            return head()
    return None
