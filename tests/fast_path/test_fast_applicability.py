"""What keeps a model off the fast path: every reason, and none for SB3's own policies."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import nn

from sb3_rpd.common.buffers import TeacherDictRolloutBuffer, TeacherRolloutBuffer, with_teacher_labels
from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber, ImitationLoss
from sb3_rpd.fast_path.acting import fast_acting
from sb3_rpd.fast_path.applicability import why_not_covered

VECTOR = spaces.Box(-1.0, 1.0, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)
DICT = spaces.Dict({"vector": VECTOR, "image": IMAGE})
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


def make_policy(
    policy_class: type[ActorCriticPolicy] = ActorCriticPolicy,
    space: spaces.Space = VECTOR,
    action_space: spaces.Space = BOX,
    **kwargs: Any,
) -> ActorCriticPolicy:
    return policy_class(space, action_space, lambda _: 1e-3, **{"net_arch": [4]} | kwargs)


def make_buffer(space: spaces.Space = VECTOR) -> Any:
    return (TeacherDictRolloutBuffer if isinstance(space, spaces.Dict) else TeacherRolloutBuffer)(2, space, BOX, device="cpu")


@pytest.mark.parametrize("loss", [MSE(), L1(), Huber(), NLL(), KL(), Cosine()])
@pytest.mark.parametrize(
    ("policy_class", "space"),
    [(ActorCriticPolicy, VECTOR), (ActorCriticCnnPolicy, IMAGE), (MultiInputActorCriticPolicy, DICT)],
)
def test_sb3s_policies_are_covered_with_every_loss(
    policy_class: type[ActorCriticPolicy], space: spaces.Space, loss: ImitationLoss
) -> None:
    assert why_not_covered(make_policy(policy_class, space), make_buffer(space), loss) is None


@pytest.mark.parametrize("action_space", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)])
def test_discrete_actions_are_covered(action_space: spaces.Space) -> None:
    assert why_not_covered(make_policy(action_space=action_space), make_buffer(), NLL()) is None


@pytest.mark.parametrize("squash_output", [False, True])
def test_gsde_is_covered(squash_output: bool) -> None:
    assert why_not_covered(make_policy(use_sde=True, squash_output=squash_output), make_buffer(), MSE()) is None


def test_distribution_of_the_users_own() -> None:
    policy = make_policy()
    policy.action_dist = SquashedDiagGaussianDistribution(2)
    reason = why_not_covered(policy, make_buffer(), MSE())
    assert reason == "its actions have a SquashedDiagGaussianDistribution, whose gradient is not written out"


METHODS = ("forward", "evaluate_actions", "predict_values", "extract_features", "_get_action_dist_from_latent")


@pytest.mark.parametrize("method", METHODS)
def test_method_of_a_policy_class(method: str) -> None:
    inherited = getattr(ActorCriticPolicy, method)
    own = type("OwnPolicy", (ActorCriticPolicy,), {method: lambda self, *args, **kwargs: inherited(self, *args, **kwargs)})
    assert why_not_covered(make_policy(own), make_buffer(), MSE()) == f"OwnPolicy has its own {method}()"


@pytest.mark.parametrize("method", METHODS)
def test_method_of_one_policy(method: str) -> None:
    """As by ``policy.forward = torch.compile(policy.forward)``."""
    policy = make_policy()
    inherited = getattr(policy, method)
    setattr(policy, method, lambda *args, **kwargs: inherited(*args, **kwargs))
    assert why_not_covered(policy, make_buffer(), MSE()) == f"ActorCriticPolicy has its own {method}()"


def test_method_of_the_distribution_of_one_policy() -> None:
    policy = make_policy()
    policy.action_dist.log_prob = lambda actions: actions.sum(dim=1)
    assert why_not_covered(policy, make_buffer(), MSE()) == "its distribution has its own log_prob()"


def test_fast_acting_is_no_reason() -> None:
    """A callback may train, or ask, in the middle of a rollout."""
    policy = make_policy()
    with fast_acting(policy):
        assert why_not_covered(policy, make_buffer(), MSE()) is None


def test_class_of_another_name_without_a_method_of_its_own_is_covered() -> None:
    class OwnNetworks(ActorCriticPolicy):
        """Has other networks."""

        def _build_mlp_extractor(self) -> None:
            super()._build_mlp_extractor()
            self.mlp_extractor.policy_net.append(nn.LayerNorm(4))

    assert why_not_covered(make_policy(OwnNetworks), make_buffer(), MSE()) is None


def test_buffer_of_the_users_own() -> None:
    class OwnBuffer(RolloutBuffer):
        """Could give anything."""

    buffer = with_teacher_labels(OwnBuffer)(2, VECTOR, BOX, device="cpu")
    assert "rollout buffer is of a class of its own, TeacherOwnBuffer" in str(why_not_covered(make_policy(), buffer, MSE()))


def test_loss_that_is_not_a_mean_over_rows() -> None:
    class Median(MSE):
        """Not a mean."""

        def __call__(self, *args: Any) -> th.Tensor:
            return self.per_sample(*args[:3], 0.2).median()

    assert "Median is not a mean over rows" in str(why_not_covered(make_policy(), make_buffer(), Median()))


@pytest.mark.parametrize("option", ["capturable", "differentiable"])
def test_options_of_adam(option: str) -> None:
    policy = make_policy(optimizer_kwargs={option: True})
    assert why_not_covered(policy, make_buffer(), MSE()) == f"its optimizer's option {option}"


@pytest.mark.parametrize("optimizer_class", [th.optim.Adam, th.optim.AdamW, RMSpropTFLike])
def test_optimizers_that_are_covered(optimizer_class: type[th.optim.Optimizer]) -> None:
    assert why_not_covered(make_policy(optimizer_class=optimizer_class), make_buffer(), MSE()) is None


def add_group(policy: ActorCriticPolicy) -> None:
    policy.optimizer.add_param_group({"params": [nn.Parameter(th.zeros(1))]})


def replace_layer(policy: ActorCriticPolicy) -> None:
    policy.action_net = nn.Linear(4, 2)


OPTIMIZERS: dict[str, tuple[Callable[[ActorCriticPolicy], Any], str]] = {
    "another": (
        lambda policy: setattr(policy, "optimizer", th.optim.SGD(policy.parameters(), 0.1)),
        "SGD, not Adam, AdamW or RMSpropTFLike",
    ),
    "subclass": (
        lambda policy: setattr(policy, "optimizer", type("OwnAdam", (th.optim.Adam,), {})(policy.parameters())),
        "OwnAdam",
    ),
    "groups": (add_group, "in one group"),
    "layer_that_it_does_not_know": (replace_layer, "in one group"),
    "parameter_that_it_does_not_know": (lambda policy: setattr(policy, "extra", nn.Parameter(th.zeros(1))), "in one group"),
}


@pytest.mark.parametrize("change", OPTIMIZERS)
def test_optimizer(change: str) -> None:
    policy = make_policy()
    apply, message = OPTIMIZERS[change]
    apply(policy)
    reason = why_not_covered(policy, make_buffer(), MSE())
    assert reason is not None
    assert message in reason


def test_frozen_parameters_stay_covered_when_they_have_no_state() -> None:
    policy = make_policy()
    policy.log_std.requires_grad_(False)
    policy.predict_values(th.zeros(1, 4)).sum().backward()
    policy.optimizer.step()
    assert 0 < len(policy.optimizer.state) < len([*policy.parameters()])
    assert why_not_covered(policy, make_buffer(), MSE()) is None
