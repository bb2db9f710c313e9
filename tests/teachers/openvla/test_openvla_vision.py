"""What of an image a trunk looks at. Its numbers are held against a float64 reference in ``test_openvla_model.py``."""

import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_rpd.teachers.openvla.config import TrunkConfig
from sb3_rpd.teachers.openvla.vision import VisionTrunk


def make_trunk(image_size: int, patch_size: int, **kwargs: bool | int) -> VisionTrunk:
    trunk = VisionTrunk(TrunkConfig(image_size, patch_size, embed_dim=4, depth=3, num_heads=2, mlp_dim=6, **kwargs)).double()
    generator = th.Generator().manual_seed(0)
    with th.no_grad():
        for parameter in trunk.parameters():
            parameter.copy_(th.randn(parameter.shape, generator=generator))
    return trunk


@settings(max_examples=20)
@given(
    patch_size=st.integers(2, 4),
    per_side=st.integers(1, 3),
    rest=st.integers(0, 3),
    class_token=st.booleans(),
    register_tokens=st.integers(0, 2),
)
def test_what_exceeds_a_multiple_of_the_patch_size_is_not_looked_at(
    patch_size: int, per_side: int, rest: int, class_token: bool, register_tokens: int
) -> None:
    """The features are those of the image without it, one for each patch and none for the tokens in front."""
    rest, whole = rest % patch_size, patch_size * per_side
    prefix = {"class_token": class_token, "register_tokens": register_tokens}
    larger, smaller = make_trunk(whole + rest, patch_size, **prefix), make_trunk(whole, patch_size, **prefix)
    images = th.randn(2, 3, whole + rest, whole + rest, dtype=th.float64, generator=th.Generator().manual_seed(1))
    images.requires_grad_()

    features = larger(images)

    assert features.shape == (2, per_side**2, 4)
    th.testing.assert_close(features, smaller(images[..., :whole, :whole]), rtol=1e-12, atol=1e-12)
    (gradient,) = th.autograd.grad((features * th.arange(features.numel()).reshape(features.shape)).sum(), images)
    assert (gradient[..., :whole, :whole] != 0).all()
    assert (gradient[..., whole:, :] == 0).all()
    assert (gradient[..., whole:] == 0).all()


def test_patches_are_in_the_order_of_reading() -> None:
    """With a kernel that sums a patch up and blocks that do nothing, a feature is the sum of its patch."""
    trunk = make_trunk(4, 2, layer_scale=True, class_token=True)
    with th.no_grad():
        trunk.pos_embed.zero_()
        trunk.patch_embed.proj.weight.fill_(1.0)
        trunk.patch_embed.proj.bias.copy_(th.tensor([0.0, 100.0, 200.0, 300.0]))
        for block in trunk.blocks:
            block.ls1.scale_factor.zero_()
            block.ls2.scale_factor.zero_()
    image = th.zeros(1, 3, 4, 4, dtype=th.float64)
    image[0, 0] = th.arange(16.0).reshape(4, 4)
    # 0 + 1 + 4 + 5, 2 + 3 + 6 + 7, 8 + 9 + 12 + 13, 10 + 11 + 14 + 15
    sums = [10.0, 18.0, 42.0, 50.0]
    assert trunk(image)[0].tolist() == [[one, one + 100, one + 200, one + 300] for one in sums]
