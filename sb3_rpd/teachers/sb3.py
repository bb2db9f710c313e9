"""A teacher that is a trained Stable-Baselines3 model, with the observation statistics it was trained with."""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path

import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.offers import describe_observations
from sb3_rpd.common.student_files import load_student
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.vec_normalize import load_statistics, normalized
from sb3_rpd.common.wording import cut, shortened
from sb3_rpd.teachers.action_masks import MASK_NAMES, find_action_masks, only_allowed
from sb3_rpd.teachers.units import ConvertActions, make_conversion, same_actions


def _load_model(path: str | Path, algorithm: type[BaseAlgorithm] | None) -> BaseAlgorithm:
    try:
        return load_student(path, algorithm, device="auto")
    except ValueError as error:
        raise TeacherError(
            f"{error} Name the class that saved it (algorithm=...), or load it yourself and pass the model."
        ) from error


class SB3Teacher(Teacher):
    """
    Ask a trained model, in the way in which it was trained: the observation is normalized with the model's own
    statistics, and its images are transposed as its network wants them.

    Of the environment's observation the model gets the part that its observation space asks for: for a Dict space the
    entries of the same names, otherwise the array, or the only entry of a dict.

    A deterministic teacher gives its distribution where it is a diagonal Gaussian in the environment's units or
    a set of logits: PPO, A2C and whatever else has an ``ActorCriticPolicy``, unless it squashes its actions.
    For all other models (SAC, TD3, DQN, ...) the answer is the action alone.

    A model that takes action masks (MaskablePPO) gets those that the environment offers as "action_mask" or "action_masks",
    of shape (n, choices), true where an action is allowed; a state in which none is has no answer. ``MaskableRPD`` offers
    those of its student.

    :param model: The model, or the path of the archive that its ``save()`` wrote.
    :param vec_normalize: The statistics of the model's own training, or the path that ``VecNormalize.save()`` wrote;
        None for those of the ``VecNormalize`` in the model's own environment, if it has one. An object is copied: what
        happens to it later does not matter.
    :param algorithm: The class that saved ``model``, where that is a path; None finds out whether it is PPO (which loads what
        RPD has saved) or MaskablePPO.
    :param deterministic: Whether to answer with the mode of the model's distribution, which touches no random number
        generator. A teacher that samples draws from the process's own generators (torch's and numpy's) and so
        changes what a student draws from them.
    :param convert_actions: From the units of the model's training to the environment's: a ``ConvertActions``. With a
        function the teacher gives no distribution.
    :raises TeacherError: if the archive does not load, or if the model is recurrent: a teacher has no memory.
    """

    def __init__(
        self,
        model: BaseAlgorithm | str | Path,
        vec_normalize: VecNormalize | str | Path | None = None,
        *,
        algorithm: type[BaseAlgorithm] | None = None,
        deterministic: bool = True,
        convert_actions: ConvertActions = None,
    ) -> None:
        self.model = model if isinstance(model, BaseAlgorithm) else _load_model(model, algorithm)
        if hasattr(self.model.policy, "lstm_actor"):
            raise TeacherError(
                f"{type(self.model).__name__} is recurrent, and a teacher answers each state by itself, in any order. "
                "Run such a model inside the environment instead: TeacherActionWrapper(env, controller=...)."
            )
        statistics = self.model.get_vec_normalize_env() if vec_normalize is None else vec_normalize
        self.vec_normalize = None if statistics is None else load_statistics(statistics)
        self.deterministic = deterministic
        self.convert_actions = make_conversion(convert_actions)
        self.takes_action_masks = "action_masks" in signature(self.model.predict).parameters
        policy = self.model.policy
        self.gives_distribution = (
            deterministic
            and isinstance(policy, ActorCriticPolicy)
            and not policy.squash_output
            and self.convert_actions.keeps_distribution
        )

    def __repr__(self) -> str:
        return f"SB3Teacher({type(self.model).__name__})"

    def setup(self, action_space: spaces.Space) -> None:
        if not same_actions(self.model.action_space, action_space, self.convert_actions):
            raise TeacherError(
                f"The teacher model acts in {cut(self.model.action_space)}, the environment in {cut(action_space)}. "
                "Train the teacher with the environment's control mode, wrap the environment to match, or convert the actions "
                "(convert_actions)."
            )

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> TeacherOutput:
        observation = normalized(self._select(observations), self.vec_normalize, "teacher")
        return self.convert_actions.output(self._answer(observation, observations))

    def _answer(self, observation: RawObservation, offered: RawObservation) -> TeacherOutput:
        """The model's own answer, in the units of its training."""
        if self.takes_action_masks:
            masks = find_action_masks(offered, self.model.action_space)
            actions = self.model.predict(observation, deterministic=self.deterministic, action_masks=masks)[0]  # type: ignore[call-arg]
            return TeacherOutput(only_allowed(actions, masks, self.model.action_space))
        if not self.gives_distribution:
            return TeacherOutput(self.model.predict(observation, deterministic=self.deterministic)[0])
        policy = self.model.policy
        assert isinstance(policy, ActorCriticPolicy)
        policy.set_training_mode(False)
        with th.no_grad():
            distribution = policy.get_distribution(policy.obs_to_tensor(observation)[0])
            return self._to_output(distribution)

    def _select(self, observations: RawObservation) -> RawObservation:
        """The part of the environment's observation that the model was trained on."""
        space = self.model.observation_space
        if isinstance(space, spaces.Dict):
            if not isinstance(observations, dict) or not set(space.spaces) <= set(observations):
                raise TeacherError(
                    f"The teacher model needs the observations {shortened(sorted(space.spaces))}, the environment offers "
                    f"{describe_observations(observations)}."
                )
            return {name: observations[name] for name in space.spaces}
        if isinstance(observations, dict):
            meant = [name for name in observations if not (self.takes_action_masks and name in MASK_NAMES)]
            if len(meant) != 1:
                raise TeacherError(
                    f"The teacher model takes one array of {cut(space)}, the environment offers "
                    f"{describe_observations(observations)}: let its TeacherActionWrapper offer only the one that is meant."
                )
            return observations[meant[0]]
        return observations

    def _to_output(self, distribution: Distribution) -> TeacherOutput:
        space = self.model.action_space
        actions = distribution.mode().cpu().numpy().reshape(-1, *(space.shape or ()))
        if isinstance(distribution, (DiagGaussianDistribution, StateDependentNoiseDistribution)):
            assert isinstance(space, spaces.Box)
            # gSDE as well: given the state, its actions are Gaussian and their dimensions independent
            std = distribution.distribution.stddev.cpu().numpy().reshape(actions.shape)
            return TeacherOutput(actions, std=std).clip(space)
        if isinstance(distribution, MultiCategoricalDistribution):
            logits = th.cat([categorical.logits for categorical in distribution.distribution], dim=1)
        else:
            assert isinstance(distribution, (CategoricalDistribution, BernoulliDistribution))
            logits = distribution.distribution.logits
        return TeacherOutput(actions, logits=logits.cpu().numpy())
