"""The features of a policy's observations in bfloat16, everything after them as ever."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


@contextmanager
def features_in_bf16(policy: ActorCriticPolicy) -> Iterator[None]:
    """
    Inside, the policy's features extractors compute in bfloat16 wherever ``torch.autocast`` holds that safe, and return
    float32. Parameters and gradients stay float32.

    :param policy: The policy.
    """
    with ExitStack() as hooks:
        for extractor in features_extractors(policy):
            # Left here too: torch calls no hook after an interrupt
            in_bf16 = hooks.enter_context(ExitStack())

            def enter(*args: Any, in_bf16: ExitStack = in_bf16) -> None:
                in_bf16.enter_context(th.autocast(policy.device.type, dtype=th.bfloat16))

            def leave(
                module: nn.Module, inputs: tuple[Any, ...], output: th.Tensor, in_bf16: ExitStack = in_bf16
            ) -> th.Tensor | None:
                in_bf16.close()
                # Nothing is returned where the extractor raised an error
                return None if output is None else output.float()

            hooks.callback(extractor.register_forward_pre_hook(enter).remove)
            hooks.callback(extractor.register_forward_hook(leave, always_call=True).remove)
        yield


def has_features_to_compute(policy: ActorCriticPolicy) -> bool:
    """
    :param policy: The policy.
    :return: Whether its features extractors have parameters, and so anything for ``features_in_bf16`` to do.
    """
    return any(True for extractor in features_extractors(policy) for _ in extractor.parameters())


def features_extractors(policy: ActorCriticPolicy) -> list[BaseFeaturesExtractor]:
    """
    :param policy: The policy.
    :return: Those of its features extractors that are in use: one for all, or the actor's and the critic's.
    """
    if policy.share_features_extractor:
        return [policy.features_extractor]
    return [policy.pi_features_extractor, policy.vf_features_extractor]
