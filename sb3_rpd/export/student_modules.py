"""Students as modules from raw observations to the environment's actions: what ``model.predict(deterministic=True)`` does."""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sb3_rpd.common.errors import ExportError
from sb3_rpd.export.raw_observations import RawObservations

#: What a recurrent student takes beside its observation, and gives beside its action.
STATES = ("hidden_state", "cell_state")
NEXT_STATES = ("next_hidden_state", "next_cell_state")
#: Where a recurrent student forgets its state: at the first step of an episode.
EPISODE_START = "episode_start"


class _EnvironmentActions(th.nn.Module):
    """From the policy's actions to the environment's: clipped to its Box, or stretched to it if a tanh has squashed them."""

    low: th.Tensor
    high: th.Tensor

    def __init__(self, space: spaces.Space[Any], squashed: bool) -> None:
        super().__init__()
        self.shape = space.shape or ()
        self.is_box = isinstance(space, spaces.Box)
        self.squashed = squashed
        if isinstance(space, spaces.Box):
            self.register_buffer("low", th.as_tensor(space.low.copy()))
            self.register_buffer("high", th.as_tensor(space.high.copy()))

    def forward(self, actions: th.Tensor) -> th.Tensor:
        actions = actions.reshape(-1, *self.shape)
        if not self.is_box:
            return actions
        if self.squashed:
            return self.low + 0.5 * (actions + 1.0) * (self.high - self.low)
        return th.clamp(actions, self.low, self.high)


class StudentModule(th.nn.Module):
    """
    A student without memory.

    :param policy: Its policy.
    :param observations: Takes the environment's observations to the policy.
    """

    def __init__(self, policy: BasePolicy, observations: RawObservations) -> None:
        super().__init__()
        self.observations = observations
        self.policy = policy
        self.actions = _EnvironmentActions(policy.action_space, policy.squash_output)

    def forward(self, inputs: dict[str, th.Tensor]) -> dict[str, th.Tensor]:
        """
        :param inputs: A batch of the environment's observations, by their names.
        :return: ``{"action": ...}``, in the environment's units.
        """
        return {"action": self.actions(self.policy._predict(self.observations(inputs), deterministic=True))}


class RecurrentStudentModule(StudentModule):
    """
    A student of sb3-contrib's RecurrentPPO: its LSTM's state, of shape (layers, n, size), goes in and comes out.

    sb3-contrib's own pass decides in Python whether an episode starts, which no exported program can; in the one step of an
    action, a state that is multiplied by zero where an episode starts is the same.
    """

    def forward(self, inputs: dict[str, th.Tensor]) -> dict[str, th.Tensor]:
        """
        :param inputs: See ``StudentModule``; and the state, and whether an episode starts, of shape (n,).
        :return: The action and the next state.
        """
        policy: Any = self.policy
        # That of an actor and critic gives the features of both
        features = BasePolicy.extract_features(policy, self.observations(inputs), policy.pi_features_extractor)
        keep = 1.0 - inputs[EPISODE_START].to(features.dtype).reshape(1, -1, 1)
        hidden, cell = (inputs[name] * keep for name in STATES)
        output, (hidden, cell) = policy.lstm_actor(features.unsqueeze(0), (hidden, cell))
        latent = policy.mlp_extractor.forward_actor(output.squeeze(0))
        action = policy._get_action_dist_from_latent(latent).get_actions(deterministic=True)
        return {"action": self.actions(action), **dict(zip(NEXT_STATES, (hidden, cell), strict=True))}


def make_student_module(model: BaseAlgorithm, observations: RawObservations) -> StudentModule:
    """
    :param model: The student.
    :param observations: Takes the environment's observations to its policy.
    :return: The module that fits the model.
    :raises ExportError: if the model acts by more than its observation and an LSTM's state.
    """
    policy = model.policy
    if hasattr(policy, "lstm_actor"):
        taken = {*STATES, EPISODE_START} & observations.spaces.keys()
        if taken:
            raise ExportError(f"The observation has an entry called {sorted(taken)[0]!r}, as the LSTM's state is: rename it.")
        return RecurrentStudentModule(policy, observations)
    if "action_masks" in signature(policy._predict).parameters:
        raise ExportError(
            f"{type(model).__name__} acts by masks that the environment gives, and a file without them would take forbidden "
            "actions: such students cannot be exported."
        )
    return StudentModule(policy, observations)


@contextmanager
def ready_to_act(policy: BasePolicy) -> Iterator[None]:
    """
    Have the policy on the CPU, in evaluation mode, without checks of the distributions' arguments, which cannot be exported.

    :param policy: A policy; as before at the end.
    """
    device, training, checks = policy.device, policy.training, th.distributions.Distribution._validate_args
    th.distributions.Distribution.set_default_validate_args(False)
    policy.to("cpu")
    policy.set_training_mode(False)
    try:
        yield
    finally:
        policy.set_training_mode(training)
        policy.to(device)
        th.distributions.Distribution.set_default_validate_args(checks)


def example_states(policy: Any, n: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """
    :param policy: The policy of a recurrent student.
    :param n: How many rows.
    :param generator: Draws them.
    :return: A state as an LSTM may have it, within (-1, 1), and where episodes start.
    """
    layers, _, size = policy.lstm_hidden_state_shape
    states = {name: generator.uniform(-0.9, 0.9, (layers, n, size)).astype(np.float32) for name in STATES}
    return {**states, EPISODE_START: generator.random(n) < 0.5}
