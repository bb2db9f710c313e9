"""
The networks of a policy, from observations to what its head is given and the value, with their gradient.

Two kinds give the same numbers: one for all networks, by autograd, and one for plain multi-layer perceptrons, by the chain
rule written out, which spares them autograd's bookkeeping, most of the time for layers of this size.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import cast

import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn

from sb3_rpd.common.cached_tensors import constant
from sb3_rpd.common.mixed_precision import features_extractors
from sb3_rpd.fast_path.heads.head import Outputs
from sb3_rpd.fast_path.nature_cnn import ImageFeatures
from sb3_rpd.fast_path.watch import HOOKS, has_own_methods

#: A product of matrices takes up to half as long again where the rows of the result are no multiple of so many numbers.
_ALIGNED = 16


class Networks(ABC):
    """The networks of a policy."""

    @abstractmethod
    def forward(self, observations: th.Tensor | TensorDict) -> Outputs:
        """
        :param observations: As the rollout buffer has them.
        :return: Without gradient; still valid when the parameters change.
        """

    @abstractmethod
    def backward(self, gradient: Outputs) -> None:
        """
        Write the gradient of all parameters, for the observations of the last ``forward``.

        :param gradient: That of the loss with respect to the outputs.
        """


class AutogradNetworks(Networks):
    """
    Any networks.

    :param policy: The policy.
    :param batch_size: The largest number of observations in a minibatch.
    """

    def __init__(self, policy: ActorCriticPolicy, batch_size: int) -> None:
        self._policy = policy
        self._images = ImageFeatures(batch_size, policy) if ImageFeatures.fits(policy) else None

    def forward(self, observations: th.Tensor | TensorDict) -> Outputs:
        policy = self._policy
        with th.enable_grad():
            extract = self._extractor_of(observations)
            if policy.share_features_extractor:
                latent_actor, latent_critic = policy.mlp_extractor(extract(policy.features_extractor))
            else:
                latent_actor = policy.mlp_extractor.forward_actor(extract(policy.pi_features_extractor))
                latent_critic = policy.mlp_extractor.forward_critic(extract(policy.vf_features_extractor))
            values = policy.value_net(latent_critic).flatten()
            self._outputs = Outputs(policy.action_net(latent_actor), getattr(policy, "log_std", None), values)
        actions, log_std, values, _ = self._outputs
        return Outputs(actions.detach(), _copied(log_std), values.detach(), latent_actor.detach())

    def _extractor_of(self, observations: th.Tensor | TensorDict) -> Callable[[nn.Module], th.Tensor]:
        """From a features extractor to the features of these observations."""
        if self._images is not None:
            return partial(self._images.extract, images=self._images.scale(cast(th.Tensor, observations)))
        inputs = preprocessed(self._policy, observations)
        return lambda extractor: extractor(inputs)

    def backward(self, gradient: Outputs) -> None:
        self._policy.optimizer.zero_grad()
        # What the user has frozen, such as log_std, has no gradient
        pairs = zip(self._outputs, gradient, strict=True)
        trained = [(output, of_output) for output, of_output in pairs if output is not None and output.requires_grad]
        outputs, gradients = zip(*trained, strict=True)
        th.autograd.backward(outputs, gradients)


class Perceptron:
    """
    A multi-layer perceptron, by hand.

    :param layers: Linear layers, with an activation, of one kind, between them.
    """

    def __init__(self, layers: list[nn.Module]) -> None:
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self._weights = [layer.weight.data for layer in linear]
        self._transposed = [weight.t() for weight in self._weights]
        self._biases = [layer.bias.data for layer in linear]
        self._weight_gradients = [_gradient_of(layer.weight) for layer in linear]
        self._bias_gradients = [_gradient_of(layer.bias) for layer in linear]
        is_tanh = any(isinstance(layer, nn.Tanh) for layer in layers)
        self._layer, self._layer_backward = (_tanh_layer, _tanh_backward) if is_tanh else (_relu_layer, _relu_backward)
        self._inputs: list[th.Tensor] = []

    @property
    def latent(self) -> th.Tensor:
        """What the last layer was given."""
        return self._inputs[-1]

    def forward(self, features: th.Tensor) -> th.Tensor:
        self._inputs = [features]
        *hidden, (last_bias, last_weight) = zip(self._biases, self._transposed, strict=True)
        for bias, weight in hidden:
            self._inputs.append(self._layer(bias, self._inputs[-1], weight))
        return th.addmm(last_bias, self._inputs[-1], last_weight)

    def backward(self, gradient: th.Tensor) -> None:
        for layer in reversed(range(len(self._weights))):
            layer_input = self._inputs[layer]
            _weight_gradient(gradient, layer_input, self._weight_gradients[layer])
            th.sum(gradient, dim=0, out=self._bias_gradients[layer])
            if layer == 0:
                return
            gradient = self._layer_backward(gradient @ self._weights[layer], layer_input)


def _gradient_of(parameter: th.Tensor) -> th.Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _weight_gradient(gradient: th.Tensor, inputs: th.Tensor, out: th.Tensor) -> None:
    if inputs.shape[1] % _ALIGNED == 0:
        th.mm(gradient.t(), inputs, out=out)
    else:
        out.copy_(th.mm(inputs.t(), gradient).t())


def _tanh_layer(bias: th.Tensor, inputs: th.Tensor, weight: th.Tensor) -> th.Tensor:
    """A layer and its hyperbolic tangent, to within a rounding error of 1, in a quarter of the time that ``tanh`` takes."""
    # tanh(x) = 2 sigmoid(2x) - 1
    output = th.addmm(bias, inputs, weight, beta=2.0, alpha=2.0).sigmoid_()
    return th.add(constant(-1.0, output.dtype, output.device), output, alpha=2.0, out=output)


def _tanh_backward(gradient: th.Tensor, output: th.Tensor) -> th.Tensor:
    of_input: th.Tensor = th.ops.aten.tanh_backward(gradient, output)
    return of_input


def _relu_layer(bias: th.Tensor, inputs: th.Tensor, weight: th.Tensor) -> th.Tensor:
    return th.addmm(bias, inputs, weight).relu_()


def _relu_backward(gradient: th.Tensor, output: th.Tensor) -> th.Tensor:
    return gradient.mul_(output > 0.0)


class PerceptronNetworks(Networks):
    """
    Those of an ``MlpPolicy``.

    :param policy: The policy. Its parameters have a ``grad`` each, to be overwritten.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._policy = policy
        self._log_std: th.Tensor | None = getattr(policy, "log_std", None)
        self._flatten = features_extractors(policy)[0]
        self._actor = Perceptron([*policy.mlp_extractor.policy_net, policy.action_net])
        self._critic = Perceptron([*policy.mlp_extractor.value_net, policy.value_net])

    @staticmethod
    def fits(policy: ActorCriticPolicy) -> bool:
        """
        :param policy: A policy.
        :return: Whether its networks are multi-layer perceptrons directly on the observation.
        """
        if {type(extractor) for extractor in features_extractors(policy)} != {FlattenExtractor}:
            return False
        if type(policy.mlp_extractor) is not MlpExtractor:
            return False
        towers = [policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net]
        heads = [policy.action_net, policy.value_net]
        activations = {type(layer) for tower in towers for layer in list(tower)[1::2]}
        linear = [layer for tower in towers for layer in list(tower)[0::2]] + heads
        return (
            all(type(layer) is nn.Linear and layer.bias is not None for layer in linear)
            and all(len(tower) % 2 == 0 for tower in towers)
            and len(activations) <= 1
            and activations <= {nn.Tanh, nn.ReLU}
            and _are_all_parameters(policy, cast(list[nn.Linear], linear))
            and not any(_has_hooks(module) for module in [*policy.modules()][1:])
            and not has_own_methods(policy)
        )

    def forward(self, observations: th.Tensor | TensorDict) -> Outputs:
        policy = self._policy
        features = self._flatten(preprocessed(policy, observations))
        values = self._critic.forward(features).flatten()
        return Outputs(self._actor.forward(features), _copied(self._log_std), values, self._actor.latent)

    def backward(self, gradient: Outputs) -> None:
        self._actor.backward(gradient.actions)
        self._critic.backward(gradient.values.unsqueeze(1))
        if self._log_std is not None:
            assert gradient.log_std is not None
            assert self._log_std.grad is not None
            self._log_std.grad.copy_(gradient.log_std)


def _copied(log_std: th.Tensor | None) -> th.Tensor | None:
    return None if log_std is None else log_std.detach().clone()


def _are_all_parameters(policy: ActorCriticPolicy, layers: list[nn.Linear]) -> bool:
    """Whether these layers' parameters and any ``log_std`` are all that a policy has, each once, none frozen or watched."""
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    if hasattr(policy, "log_std"):
        parameters.append(policy.log_std)
    distinct = {*parameters}
    return (
        len(distinct) == len(parameters)
        and distinct == {*policy.parameters()}
        and all(parameter.requires_grad and not _has_hooks(parameter) for parameter in parameters)
    )


def _has_hooks(watched: th.Tensor | nn.Module) -> bool:
    """Whether the user has a forward or backward hook there."""
    if isinstance(watched, nn.Module):
        # A module takes long to say that it has no such attribute
        return any(vars(watched).get(name) for name in HOOKS)
    return any(getattr(watched, name, None) for name in HOOKS)


def preprocessed(policy: ActorCriticPolicy, observations: th.Tensor | TensorDict) -> th.Tensor | TensorDict:
    """
    :param policy: A policy.
    :param observations: As the rollout buffer has them.
    :return: As the policy's features extractors take them.
    """
    return preprocess_obs(observations, policy.observation_space, normalize_images=policy.normalize_images)
