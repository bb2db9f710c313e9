"""The numbers of the VLA's training."""

from sb3_rpd.finetuning import Recipe


def make_recipe(steps: int) -> Recipe:
    """
    :param steps: How many.
    :return: How the VLA is trained: one cosine from a high learning rate, soft labels; nothing is cropped, for the camera
        itself was moved.
    """
    # success goes from none to most episodes within a fifth of the steps, and a weak checkpoint is to be among those kept
    between = max(1, steps // 16)
    return Recipe(
        steps=steps,
        batch_size=64,
        accumulation=1,
        learning_rate=1e-3,
        warmup_steps=60,
        final_share=0.02,
        weight_decay=0.05,
        beta2=0.98,
        lora_rank=None,
        label_width=3.0,
        augment=False,
        held_out=0.1,
        evaluate_every=between,
        save_every=50,
        keep_every=between,
    )
