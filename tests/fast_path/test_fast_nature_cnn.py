"""SB3's convolutions on a minibatch: the numbers of SB3, in memory as the convolutions like them."""

from typing import Any

import hypothesis
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import NatureCNN

from sb3_rpd.fast_path.nature_cnn import ImageFeatures

#: Large enough for the last convolution to put out more than one pixel, which has a layout.
IMAGE = spaces.Box(0, 255, (2, 60, 64), np.uint8)


def make_policy(space: spaces.Box = IMAGE, **kwargs: Any) -> ActorCriticPolicy:
    th.manual_seed(0)
    arguments = {"net_arch": [6], "features_extractor_kwargs": {"features_dim": 7}}
    return ActorCriticCnnPolicy(space, spaces.Discrete(3), lambda _: 1e-3, **arguments | kwargs)


POLICY = make_policy()


def images_of(n_rows: int, seed: int) -> th.Tensor:
    return th.randint(0, 256, (n_rows, *IMAGE.shape), dtype=th.uint8, generator=th.Generator().manual_seed(seed))


@hypothesis.settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3), seed=st.integers(0, 100))
def test_minibatches_of_any_size_are_scaled_as_by_sb3_in_the_same_memory(sizes: list[int], seed: int) -> None:
    features = ImageFeatures(5, POLICY)
    addresses = set()
    for n_rows in sizes:
        images = images_of(n_rows, seed)
        scaled = features.scale(images)
        assert th.equal(scaled, preprocess_obs(images, IMAGE))
        assert scaled.is_contiguous(memory_format=th.channels_last)
        addresses.add(scaled.data_ptr())
    assert len(addresses) == 1


def test_features_and_gradients_are_those_of_the_extractor() -> None:
    """In float64, in which the order of sums makes no difference that could be seen."""
    policy = make_policy()
    extractor = policy.features_extractor.double()
    features = ImageFeatures(4, policy)
    # The same images in both layouts, as after `scale`
    scaled = features.scale(images_of(3, seed=1)).double()
    weights = th.randn(3, 7, dtype=th.float64, generator=th.Generator().manual_seed(2))
    expected = extractor(scaled.contiguous())
    by_parameter = th.autograd.grad((expected * weights).sum(), [*extractor.parameters()])

    actual = features.extract(extractor, scaled)
    th.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    gradients = th.autograd.grad((actual * weights).sum(), [*extractor.parameters()])
    for one, other in zip(gradients, by_parameter, strict=True):
        assert other.abs().max() > 0.0
        th.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_last_derivative_of_the_convolutions_is_given_one_layout() -> None:
    """The gradient comes in the order of the flattened numbers where nothing is done about it."""
    policy = make_policy()
    gradients: list[th.Tensor] = []

    def watch(layer: th.nn.Module, inputs: tuple[th.Tensor, ...], output: th.Tensor) -> None:
        # After all hooks of the output itself
        output.grad_fn.register_prehook(lambda arriving: gradients.append(arriving[0]))

    extractor = policy.features_extractor
    extractor.cnn[-2].register_forward_hook(watch)
    features = ImageFeatures(3, policy)
    scaled = features.scale(images_of(3, seed=1))
    for extract in (features.extract, lambda extractor, images: extractor(images)):
        extract(extractor, scaled).sum().backward()
    assert [gradient.is_contiguous(memory_format=th.channels_last) for gradient in gradients] == [True, False]
    assert th.equal(*gradients)


@pytest.mark.parametrize("is_wrong", [False, True], ids=["after a pass", "after an error"])
def test_network_is_left_as_it_was(is_wrong: bool) -> None:
    policy = make_policy()
    extractor, features = policy.features_extractor, ImageFeatures(3, policy)
    images = features.scale(images_of(2, seed=1))
    if is_wrong:
        with pytest.raises(RuntimeError, match="channels"):
            features.extract(extractor, images[:, :1])
    else:
        with th.no_grad():
            assert not features.extract(extractor, images).requires_grad
    assert not any(module._forward_hooks for module in extractor.modules())


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [({}, True), ({"share_features_extractor": False}, True), ({"normalize_images": False}, False)],
)
def test_which_policies_begin_with_sb3s_convolutions(arguments: dict[str, Any], fits: bool) -> None:
    if not fits:
        arguments = arguments | {"features_extractor_kwargs": {"features_dim": 7, "normalized_image": True}}
    assert ImageFeatures.fits(make_policy(**arguments)) is fits


def test_numbers_that_sb3_does_not_scale_are_left_to_it() -> None:
    """Its convolutions on what is no image: nothing is divided by 255."""
    space = spaces.Box(0.0, 1.0, IMAGE.shape, np.float32)
    kwargs = {"features_extractor_kwargs": {"features_dim": 7, "normalized_image": True}}
    assert not ImageFeatures.fits(make_policy(space, **kwargs))


@pytest.mark.parametrize("shared", [True, False])
def test_extractors_that_are_looked_at_are_those_in_use(shared: bool) -> None:
    class OwnCNN(NatureCNN):
        """Could do anything."""

    policy = make_policy(share_features_extractor=shared)
    setattr(policy, "features_extractor" if shared else "vf_features_extractor", OwnCNN(IMAGE, 7))
    assert not ImageFeatures.fits(policy)
