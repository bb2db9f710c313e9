"""The vision transformers of OpenVLA (DINOv2 with registers, SigLIP), with the names of the published tensors."""

import torch as th
import torch.nn.functional as F
from torch import nn

from sb3_rpd.teachers.openvla.config import TrunkConfig

_NORM_EPS = 1e-6


class _Attention(nn.Module):
    """Self-attention; queries, keys and values come from one matrix, in this order."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: th.Tensor) -> th.Tensor:
        # (batch, tokens, 3 * dim) -> three of (batch, heads, tokens, dim / heads)
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        projected: th.Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class _Mlp(nn.Module):
    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, tokens: th.Tensor) -> th.Tensor:
        # the exact GELU, in SigLIP too (other implementations of SigLIP take the tanh approximation)
        transformed: th.Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return transformed


class _LayerScale(nn.Module):
    """The published name is ``scale_factor``: transformers used to rename every ``gamma``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(th.ones(dim))

    def forward(self, tokens: th.Tensor) -> th.Tensor:
        return tokens * self.scale_factor


class _Block(nn.Module):
    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=_NORM_EPS)
        self.attn = _Attention(config.embed_dim, config.num_heads)
        self.ls1 = _LayerScale(config.embed_dim) if config.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=_NORM_EPS)
        self.mlp = _Mlp(config.embed_dim, config.mlp_dim)
        self.ls2 = _LayerScale(config.embed_dim) if config.layer_scale else nn.Identity()

    def forward(self, tokens: th.Tensor) -> th.Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        transformed: th.Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return transformed


class PatchEmbedding(nn.Module):
    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.embed_dim, kernel_size=config.patch_size, stride=config.patch_size)

    def forward(self, images: th.Tensor) -> th.Tensor:
        patches: th.Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return patches


class _AttentionPool(nn.Module):
    """SigLIP's pooling head. It has a place in the checkpoint and none in the computation."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.latent = nn.Parameter(th.zeros(1, 1, dim))
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.mlp = _Mlp(dim, config.mlp_dim)


class VisionTrunk(nn.Module):
    """
    One vision transformer: from images to the features of their patches.

    The features are the output of the last block but one, without the final norm; the last block, the final norm and the
    pooling head are there because they are in the checkpoint.

    :param config: Its geometry.
    """

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.num_prefix_tokens = int(config.class_token) + config.register_tokens
        self.patch_embed = PatchEmbedding(config)
        self.cls_token = nn.Parameter(th.zeros(1, 1, config.embed_dim)) if config.class_token else None
        self.reg_token = (
            nn.Parameter(th.zeros(1, config.register_tokens, config.embed_dim)) if config.register_tokens else None
        )
        # of the patches only: the tokens in front of them have no position
        self.pos_embed = nn.Parameter(th.zeros(1, config.num_patches, config.embed_dim))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.embed_dim, eps=_NORM_EPS)
        self.attn_pool = _AttentionPool(config) if config.attention_pool else None

    def forward(self, images: th.Tensor) -> th.Tensor:
        """
        Compute features.

        :param images: Normalized images of shape (batch, 3, image_size, image_size).
        :return: Features of shape (batch, num_patches, embed_dim).
        """
        patches = self.patch_embed(images) + self.pos_embed
        prefix = [token.expand(len(images), -1, -1) for token in (self.cls_token, self.reg_token) if token is not None]
        tokens = th.cat([*prefix, patches], dim=1)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return tokens[:, self.num_prefix_tokens :]


class VisionBackbone(nn.Module):
    """
    One or two trunks, each of which looks at three of the input's channels.

    :param trunks: Their geometries.
    """

    def __init__(self, trunks: tuple[TrunkConfig, ...]) -> None:
        super().__init__()
        self.featurizer = VisionTrunk(trunks[0])
        self.fused_featurizer = VisionTrunk(trunks[1]) if len(trunks) == 2 else None

    def forward(self, images: th.Tensor) -> th.Tensor:
        """
        Compute features.

        :param images: Shape (batch, 3 * number of trunks, image_size, image_size).
        :return: The trunks' features side by side, of shape (batch, num_patches, sum of embed_dim).
        """
        features: th.Tensor = self.featurizer(images[:, :3])
        if self.fused_featurizer is None:
            return features
        return th.cat([features, self.fused_featurizer(images[:, 3:])], dim=2)


class Projector(nn.Module):
    """
    From the features of patches to word embeddings: two layers for one trunk, three for two.

    :param trunks: The geometries of the trunks.
    :param text_dim: Width of a word embedding.
    """

    def __init__(self, trunks: tuple[TrunkConfig, ...], text_dim: int) -> None:
        super().__init__()
        dim = sum(trunk.embed_dim for trunk in trunks)
        fused = len(trunks) == 2
        self.fc1 = nn.Linear(dim, 4 * dim if fused else text_dim)
        self.fc2 = nn.Linear(4 * dim if fused else text_dim, text_dim)
        self.fc3 = nn.Linear(text_dim, text_dim) if fused else None

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        Project.

        :param features: Shape (batch, num_patches, sum of embed_dim).
        :return: Shape (batch, num_patches, text_dim).
        """
        projected: th.Tensor = self.fc2(F.gelu(self.fc1(features)))
        return projected if self.fc3 is None else self.fc3(F.gelu(projected))
