"""How to train: the numbers of a fine-tuning."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """
    The numbers of a training. The defaults are those that RL4VLA (Liu et al. 2025, arXiv:2505.19789) documents for OpenVLA in
    ManiSkill, with the image augmentation that OpenVLA was trained with; RPD's own are not published.

    :param steps: Steps of the optimizer.
    :param batch_size: Frames that go through the network at once; they bound the memory.
    :param accumulation: So many of those batches make one step.
    :param learning_rate: Of AdamW, at its highest.
    :param warmup_steps: Steps in which it rises to that, linearly. Afterwards it falls along a cosine.
    :param final_share: What is left of it after the last step, as a share.
    :param weight_decay: Of AdamW, on matrices only.
    :param beta2: Of AdamW: how long the squares of gradients are remembered.
    :param max_grad_norm: Gradients are shortened to this norm.
    :param lora_rank: The rank of the adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) beside each linear layer but the last,
        ``lm_head``; None trains all weights.
    :param label_width: Standard deviation, in words, of the Gaussian around the right word that is the label; the words that
        the network is fed with are drawn from it. 0 has the right word alone, as published.
    :param augment: Whether frames are cropped and their colors changed at random.
    :param held_out: Share of the episodes to test on.
    :param held_out_frames: So many of their frames at most.
    :param evaluate_every: Steps between two tests; one more comes at the end.
    :param save_every: Steps after which an interrupted training goes on from where it was.
    :param keep_every: If given, steps after which a whole checkpoint is written, besides the best one at the end.
    :param gradient_checkpointing: Compute the language model's activations twice in place of keeping them: less memory, about
        a third more time.
    :param seed: Of the order of the frames, of the augmentation and of the adapters.
    :raises ValueError: if a number is out of its range.
    """

    steps: int = 5_000
    batch_size: int = 8
    accumulation: int = 4
    learning_rate: float = 5e-4
    warmup_steps: int = 100
    final_share: float = 0.0
    weight_decay: float = 0.01
    beta2: float = 0.999
    max_grad_norm: float = 1.0
    lora_rank: int | None = 32
    label_width: float = 0.0
    augment: bool = True
    held_out: float = 0.05
    held_out_frames: int = 256
    evaluate_every: int = 250
    save_every: int = 250
    keep_every: int | None = None
    gradient_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        at_least = dict.fromkeys(("steps", "batch_size", "accumulation", "held_out_frames", "evaluate_every", "save_every"), 1)
        at_least |= dict.fromkeys(("lora_rank", "keep_every"), 1)
        at_least |= dict.fromkeys(("warmup_steps", "final_share", "weight_decay", "label_width", "seed"), 0)
        for name, lowest in at_least.items():
            value = getattr(self, name)
            # A NaN is not at least anything
            if value is not None and not value >= lowest:
                raise ValueError(f"{name} must be at least {lowest}; got {value}")
        if not (0 < self.learning_rate < math.inf and self.max_grad_norm > 0):
            raise ValueError(f"learning_rate={self.learning_rate} and max_grad_norm={self.max_grad_norm} must be above 0")
        if not 0 <= self.beta2 < 1:
            raise ValueError(f"beta2={self.beta2} must be at least 0 and below 1")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out={self.held_out} is not a share between 0 and 1")

    def learning_rate_at(self, step: int) -> float:
        """
        :param step: The step, counted from 0.
        :return: Its learning rate: ``learning_rate`` times a linear warm-up, then half a cosine down to ``final_share``.
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * (self.final_share + (1 - self.final_share) * (1 + math.cos(math.pi * done)) / 2)
