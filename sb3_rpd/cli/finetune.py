"""``sb3-rpd finetune``: trains OpenVLA on demonstrations."""

import argparse
from dataclasses import fields

from sb3_rpd.cli.options import Commands, HelpFormatter, example, say
from sb3_rpd.finetuning import Recipe, finetune
from sb3_rpd.teachers.units import CONVERSIONS

_HELP = {
    "steps": "steps of the optimizer",
    "batch_size": "frames that go through the network at once; they bound the memory",
    "accumulation": "so many of those batches make one step",
    "learning_rate": "at its highest: it rises linearly, then falls along a cosine",
    "warmup_steps": "steps in which it rises",
    "weight_decay": "of AdamW, on matrices",
    "lora_rank": "rank of the adapters; 0 trains all weights",
    "label_width": "standard deviation of soft labels, in words; 0 for the right word alone, as published",
    "augment": "crop the frames and change their colors at random, as published",
    "held_out": "share of the episodes to test on",
    "held_out_frames": "so many of their frames at most",
    "evaluate_every": "steps between two tests",
    "save_every": "steps after which an interrupted training goes on from where it was",
    "keep_every": "steps after which a whole checkpoint is written, besides the best one at the end",
    "gradient_checkpointing": "compute activations twice in place of keeping them",
    "seed": "of the order of the frames, of the augmentation and of the adapters",
}


def add(commands: Commands) -> None:
    """:param commands: Where the command is declared."""
    parser = commands.add_parser(
        "finetune",
        help="train OpenVLA on demonstrations",
        description="Train an OpenVLA checkpoint on demonstrations, with LoRA or with all its weights, and write another.\n"
        "Ended and started again with the same arguments, it goes on.",
        epilog=example("sb3-rpd finetune openvla/openvla-7b --data demos/ --to tuned/"),
        formatter_class=HelpFormatter,
    )
    parser.add_argument("checkpoint", help="a folder, or a repository on the Hugging Face hub")
    parser.add_argument("--data", required=True, help="folder of demonstrations, as `sb3-rpd record` writes it")
    parser.add_argument("--to", required=True, help="folder to write to")
    parser.add_argument("--unnorm-key", help="name of the action statistics; without it, the name of the data's folder")
    parser.add_argument("--camera", help="the camera to look through, where there are several")
    parser.add_argument(
        "--convert-actions",
        choices=[*CONVERSIONS, "none"],
        default="signed_gripper",
        help="what OpenVLATeacher will be given to come from the network's units to the environment's",
    )
    parser.add_argument("--device", default="auto", help="one of torch's devices; auto for a GPU where there is one")
    for field in fields(Recipe):
        if field.name in _HELP:
            option = "--" + field.name.replace("_", "-")
            if isinstance(field.default, bool):
                parser.add_argument(
                    option, action=argparse.BooleanOptionalAction, default=field.default, help=_HELP[field.name]
                )
            else:
                kind = int if field.default is None else type(field.default)
                parser.add_argument(option, type=kind, default=field.default, help=_HELP[field.name])
    parser.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """
    :param parser: For complaints about the command line.
    :param arguments: The command line.
    :return: The exit status.
    """
    numbers = {name: getattr(arguments, name) for name in _HELP}
    try:
        done = finetune(
            arguments.checkpoint,
            arguments.data,
            arguments.to,
            Recipe(**{**numbers, "lora_rank": numbers["lora_rank"] or None}),
            unnorm_key=arguments.unnorm_key,
            camera=arguments.camera,
            convert_actions=None if arguments.convert_actions == "none" else arguments.convert_actions,
            device=arguments.device,
            show=say,
        )
    except KeyboardInterrupt:
        say(f"\n{arguments.to}: stopped; the same command goes on")
        return 130
    print(f"{done.folder} (unnorm_key {done.unnorm_key!r}): step {done.best.step}, {done.best}")
    return 0
