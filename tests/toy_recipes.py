"""A fine-tuning of a few steps."""

from sb3_rpd.finetuning import Recipe

SHORT = Recipe(
    steps=6,
    batch_size=4,
    accumulation=1,
    learning_rate=3e-3,
    warmup_steps=2,
    lora_rank=4,
    held_out=0.3,
    held_out_frames=8,
    evaluate_every=3,
    save_every=2,
)
