"""From the environment's own observations to what the student's policy takes: normalization and the layout of images."""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize, VecTransposeImage

from sb3_rpd.common.errors import ExportError

#: What an observation is called that is a single array.
OBSERVATION = "observation"


def entries_of(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """
    :param space: The observation space of a student.
    :return: The space of each array in an observation, by its name.
    """
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {OBSERVATION: space}


class _Normalize(th.nn.Module):
    """What ``VecNormalize.normalize_obs`` does, in its precision: the mean of a large observation needs the 64 bits."""

    mean: th.Tensor
    std: th.Tensor

    def __init__(self, statistics: RunningMeanStd, epsilon: float, clip: float) -> None:
        super().__init__()
        self.register_buffer("mean", th.as_tensor(np.array(statistics.mean, dtype=np.float64)))
        self.register_buffer("std", th.as_tensor(np.sqrt(statistics.var + epsilon).astype(np.float64)))
        self.clip = float(clip)

    def forward(self, observation: th.Tensor) -> th.Tensor:
        return th.clamp((observation.double() - self.mean) / self.std, -self.clip, self.clip).float()


class _ChannelsFirst(th.nn.Module):
    def forward(self, images: th.Tensor) -> th.Tensor:
        return images.permute(0, 3, 1, 2)


class RawObservations(th.nn.Module):
    """
    Takes the arrays of the environment's observations, gives the policy's observation.

    :param model: The student.
    :param vec_normalize: The statistics that it was trained with, None if it was trained without.
    :param channels_first: Whether the environment has the channels of its images first. None looks at the model's own
        environment; without one they are last there, as in most environments.
    :raises ExportError: if the statistics are those of other observations.
    """

    def __init__(self, model: BaseAlgorithm, vec_normalize: VecNormalize | None, channels_first: bool | None) -> None:
        super().__init__()
        self.is_dict = isinstance(model.observation_space, spaces.Dict)
        #: The space of each array as the environment has it: an image that SB3 has transposed is channels last.
        self.spaces = entries_of(model.observation_space)
        #: ``VecNormalize``'s statistics by the name of what they normalize.
        self.statistics = _statistics_by_name(vec_normalize)
        _check_fit(self.statistics, self.spaces)
        transposed = _transposed_entries(model, self.spaces, channels_first)
        steps = []
        for name, space in self.spaces.items():
            step: th.nn.Module = th.nn.Identity()
            if name in self.statistics:
                assert vec_normalize is not None
                step = _Normalize(self.statistics[name], vec_normalize.epsilon, vec_normalize.clip_obs)
            if name in transposed:
                assert isinstance(space, spaces.Box)
                self.spaces[name] = spaces.Box(space.low.transpose(1, 2, 0), space.high.transpose(1, 2, 0), dtype=np.uint8)
                step = _ChannelsFirst()
            steps.append(step)
        self.steps = th.nn.ModuleList(steps)

    def forward(self, inputs: dict[str, th.Tensor]) -> th.Tensor | dict[str, th.Tensor]:
        """
        :param inputs: For each name a batch of arrays, in the environment's dtype.
        :return: What the policy takes.
        """
        prepared = {name: step(inputs[name]) for name, step in zip(self.spaces, self.steps, strict=True)}
        return prepared if self.is_dict else prepared[OBSERVATION]


def _statistics_by_name(vec_normalize: VecNormalize | None) -> dict[str, RunningMeanStd]:
    if vec_normalize is None or not vec_normalize.norm_obs:
        return {}
    statistics = vec_normalize.obs_rms
    if not isinstance(statistics, dict):
        return {OBSERVATION: statistics}
    assert vec_normalize.norm_obs_keys is not None
    return {name: statistics[name] for name in vec_normalize.norm_obs_keys}


def _check_fit(statistics: dict[str, RunningMeanStd], observed: dict[str, spaces.Space[Any]]) -> None:
    for name, one in statistics.items():
        shape = observed[name].shape if name in observed else None
        if shape != one.mean.shape:
            raise ExportError(
                f"The VecNormalize statistics of {name!r} have the shape {one.mean.shape}, and the student's observation "
                f"{'has none of that name' if shape is None else f'has {shape}'}: these are not the statistics that it was "
                "trained with. A VecNormalize below a VecFrameStack cannot be exported; put it on top."
            )


def _transposed_entries(
    model: BaseAlgorithm, observed: dict[str, spaces.Space[Any]], channels_first: bool | None
) -> frozenset[str]:
    """The names of the images that are channels last in the environment and channels first in the policy."""
    images = {
        name
        for name, space in observed.items()
        if isinstance(space, spaces.Box) and is_image_space(space) and is_image_space_channels_first(space)
    }
    if channels_first is not None or model.get_env() is None:
        return frozenset() if channels_first else frozenset(images)
    env = model.get_env()
    while isinstance(env, VecEnvWrapper):
        if isinstance(env, VecTransposeImage):
            keys = env.image_space_keys if isinstance(model.observation_space, spaces.Dict) else [OBSERVATION]
            return frozenset() if env.skip else frozenset(keys)
        env = env.venv
    return frozenset()
