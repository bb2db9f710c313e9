"""
How many actions a second OpenVLATeacher's network gives, against the batch size; beside what people do without it.

On a GPU: OpenVLA-7B's geometry in bfloat16 with random weights, made on the spot; nothing is downloaded. On a CPU: a tiny
checkpoint in float32. The yardstick is the usual loop: one frame at a time, logits of the whole vocabulary over the whole
sequence. Both get the same frames (256 x 256) and prompts of different lengths, and both start from the frames. All batch
sizes and the loop take turns; medians over the rounds are reported, ratios with quartiles.

    python benchmarks/openvla_throughput.py [--device cuda] [--batch-sizes 1 8 64] [--rounds 5] [--json FILE]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import numpy as np
import torch as th
import transformers
from measuring import spread, spread_of_ratios, take_turns, write_record

from sb3_rpd.teachers.openvla import make_tiny_openvla
from sb3_rpd.teachers.openvla.checkpoint import load_model
from sb3_rpd.teachers.openvla.config import OPENVLA_7B, OpenVLAConfig
from sb3_rpd.teachers.openvla.model import OpenVLAModel, cache_argument
from sb3_rpd.teachers.openvla.processing import ImageProcessor

ACTION_DIM = 7
FRAME_SIDE = 256
#: Words of a prompt; with Llama's tokenizer those of the ManiSkill instructions have 18 to 28.
PROMPT_WORDS = (18, 28)
#: The yardstick, and how many frames it is given.
LOOP, LOOP_ROWS = "one by one, whole vocabulary", 4


def make_7b(device: th.device) -> OpenVLAModel:
    with th.device("meta"):
        model = OpenVLAModel(OpenVLAConfig.from_json(OPENVLA_7B))
    weights = {}
    for name, tensor in model.state_dict().items():
        # norms and other vectors of ones, matrices that keep the signal's size
        scale = 0.0 if tensor.ndim == 1 else tensor[0].numel() ** -0.5
        weights[name] = th.randn(tensor.shape, device=device, dtype=th.bfloat16) * scale + (1.0 if tensor.ndim == 1 else 0.0)
    first, bins = model.config.first_action_token, model.config.action_bins
    # as in a trained network, the words for actions are the likeliest
    weights["language_model.lm_head.weight"][first : first + bins] *= 4
    model.load_state_dict(weights, assign=True)
    model.reset_rotary_embeddings(device)
    return model.requires_grad_(False)


def make_tiny(device: th.device) -> OpenVLAModel:
    with tempfile.TemporaryDirectory() as folder:
        return load_model(make_tiny_openvla(Path(folder)), device, th.float32)


class Turn(NamedTuple):
    """
    :param seconds: For each action: on a GPU on the clock, on a CPU of the time of the process.
    :param peak_gib: The most GPU memory in use, 0 without a GPU.
    """

    seconds: float
    peak_gib: float


class Contest:
    """The two ways of asking the same network."""

    def __init__(self, model: OpenVLAModel, device: th.device) -> None:
        self.model, self.device = model, device
        self.dtype = next(model.parameters()).dtype
        sizes = tuple((trunk.image_size, trunk.image_size) for trunk in model.config.trunks)
        self.process = ImageProcessor(sizes, means=((0.5,) * 3,) * len(sizes), stds=((0.5,) * 3,) * len(sizes))

    def questions(self, n: int) -> tuple[np.ndarray, list[list[int]]]:
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 256, (n, FRAME_SIDE, FRAME_SIDE, 3), dtype=np.uint8)
        lengths = rng.integers(*PROMPT_WORDS, size=n, endpoint=True)
        return frames, [[1, *rng.integers(3, self.model.config.first_action_token, size=length)] for length in lengths]

    def pixels(self, frames: np.ndarray) -> th.Tensor:
        return self.process(th.from_numpy(frames).to(self.device)).to(self.dtype)

    def batched(self, frames: np.ndarray, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        return self.model.action_logits(self.pixels(frames), prompts, ACTION_DIM).argmax(dim=2).cpu().numpy()

    @th.inference_mode()
    def one_by_one(self, frames: np.ndarray, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        """A batch of one, and at each step the output layer of the language model as it is."""
        first, bins = self.model.config.first_action_token, self.model.config.action_bins
        answers = []
        for frame, prompt in zip(frames, prompts, strict=True):
            embeddings, _ = self.model.assemble(self.pixels(frame[None]), [prompt])
            cache = {cache_argument(self.model.language_model.forward): transformers.DynamicCache()}
            answer = []
            for _ in range(ACTION_DIM):
                logits = self.model.language_model(inputs_embeds=embeddings, use_cache=True, **cache).logits
                answer.append(logits.float()[:, -1, first : first + bins].argmax(dim=1))
                embeddings = self.model.embed_words(answer[-1][:, None] + first)
            answers.append(th.cat(answer).cpu().numpy())
        return np.array(answers)

    def turn(self, ask: Callable[..., np.ndarray], n: int) -> Turn:
        """Ask about n frames."""
        frames, prompts = self.questions(n)
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            th.cuda.reset_peak_memory_stats(self.device)
        clock = time.perf_counter if on_gpu else time.process_time
        started = clock()
        ask(frames, prompts)  # ends with a copy to the host, so nothing is still running
        seconds = (clock() - started) / n
        return Turn(seconds, th.cuda.max_memory_allocated(self.device) / 2**30 if on_gpu else 0.0)


def measure(contest: Contest, batch_sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    runs: dict[str, Callable[[], Turn]] = {LOOP: lambda: contest.turn(contest.one_by_one, LOOP_ROWS)}
    runs |= {str(n): lambda n=n: contest.turn(contest.batched, n) for n in batch_sizes}
    turns = take_turns(runs, rounds)
    seconds = {name: [turn.seconds for turn in own] for name, own in turns.items()}
    print("| batch size | actions a second | times the loop | peak GPU memory (GiB) |\n| ---: | ---: | ---: | ---: |")
    rows = {}
    for name, own in seconds.items():
        rate, ratio = spread([1.0 / per_action for per_action in own]), spread_of_ratios(seconds[LOOP], own)
        peak = max(turn.peak_gib for turn in turns[name])
        print(f"| {name} | {rate.median:.1f} | {ratio} | {peak:.1f} |", flush=True)
        rows[name] = {"actions_per_second": rate.as_json(), "over_loop": ratio.as_json(), "peak_gib": peak}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if th.cuda.is_available() else "cpu")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    args = parser.parse_args()
    device = th.device(args.device)

    contest = Contest(make_7b(device) if device.type == "cuda" else make_tiny(device), device)
    same = np.mean(contest.batched(*contest.questions(8)) == contest.one_by_one(*contest.questions(8)))
    name = th.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {th.get_num_threads()} thread(s)"
    parameters = sum(parameter.numel() for parameter in contest.model.parameters())
    print(
        f"{name}; {parameters / 1e6:,.1f} million parameters, {contest.dtype}; {same:.0%} of the words are the same both ways"
    )
    settings = {"device": name, "rounds": args.rounds, "parameters": parameters, "same": float(same)}
    settings["transformers"] = transformers.__version__
    write_record(args.json, settings, measure(contest, args.batch_sizes, args.rounds))


if __name__ == "__main__":
    main()
