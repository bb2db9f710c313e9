"""SB3's convolutional network on a minibatch of images, with the images in memory as its convolutions like them."""

from typing import cast

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_rpd.common.mixed_precision import features_extractors


class ImageFeatures:
    """
    Scales images from bytes to numbers from 0 to 1, as SB3 does, and puts them through a ``NatureCNN``.

    The numbers go into the same tensor at each minibatch: getting new memory takes longer than scaling. On a CPU they are
    channels-last, in which the convolutions are faster.

    :param batch_size: The largest number of images in a minibatch.
    :param policy: The policy that they are for.
    """

    def __init__(self, batch_size: int, policy: ActorCriticPolicy) -> None:
        assert isinstance(policy.observation_space, spaces.Box)
        self._memory_format = th.channels_last if policy.device.type == "cpu" else th.contiguous_format
        shape = (batch_size, *policy.observation_space.shape)
        self._scaled = th.empty(shape, device=policy.device, memory_format=self._memory_format)

    @staticmethod
    def fits(policy: ActorCriticPolicy) -> bool:
        """
        :param policy: A policy.
        :return: Whether its networks begin with SB3's own convolutions, on images that it scales.
        """
        extractors = {type(extractor) for extractor in features_extractors(policy)}
        return extractors == {NatureCNN} and policy.normalize_images and is_image_space(policy.observation_space)

    def scale(self, images: th.Tensor) -> th.Tensor:
        """
        :param images: Bytes, shape (batch, channels, height, width).
        :return: Valid until the next call.
        """
        return self._scaled[: len(images)].copy_(images).div_(255.0)

    def extract(self, extractor: NatureCNN, images: th.Tensor) -> th.Tensor:
        """
        :param extractor: The network.
        :param images: Scaled.
        :return: What ``extractor(images)`` returns.
        """
        last_before_flattening = extractor.cnn[-2]
        handle = last_before_flattening.register_forward_hook(self._keep_layout_in_backward)
        try:
            return cast(th.Tensor, extractor(images))
        finally:
            handle.remove()

    def _keep_layout_in_backward(self, layer: nn.Module, inputs: tuple[th.Tensor, ...], output: th.Tensor) -> None:
        # The gradient arrives in the order of the flattened numbers, and the derivative of two mixed layouts is slow
        if output.requires_grad:
            output.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: gradient.contiguous(memory_format=self._memory_format)
            )
