"""The teacher of the paper: OpenVLA, asked for batches."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.instructions import read_instruction
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import cut
from sb3_rpd.teachers.images import find_images
from sb3_rpd.teachers.openvla.actions import DECODINGS, ActionDecoder
from sb3_rpd.teachers.openvla.checkpoint import find_checkpoint, load_model, read_action_statistics, read_json
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.processing import ImageProcessor, PromptProcessor
from sb3_rpd.teachers.units import ConvertActions, check_range, make_conversion

#: The checkpoint and the statistics of the paper's ManiSkill experiments.
CHECKPOINT = "Juelg/openvla-7b-finetuned-maniskill"
UNNORM_KEY = "maniskill_human:7.0.0"

_CURE = "Choose with OpenVLATeacher(camera=...), or offer one in TeacherActionWrapper(observation=...)."


class _Replica:
    """One copy of the network on one device."""

    def __init__(self, folder: Path, device: th.device, dtype: th.dtype, center_crop: bool) -> None:
        self._device, self._dtype = device, dtype
        self._model = load_model(folder, device, dtype)
        self._process = ImageProcessor.from_json(read_json(folder, "preprocessor_config.json"), center_crop)

    def action_logits(self, frames: np.ndarray, prompts: Sequence[Sequence[int]], action_dim: int) -> np.ndarray:
        images = self._process(th.from_numpy(np.ascontiguousarray(frames)).to(self._device)).to(self._dtype)
        return self._model.action_logits(images, prompts, action_dim).cpu().numpy()


class OpenVLATeacher(Teacher):
    """
    Ask OpenVLA (Kim et al. 2024, arXiv:2406.09246) what it would do: a camera frame and an instruction in, an action out.

    The defaults are those of the paper: its checkpoint, its statistics, greedy decoding, no crop. Nothing is loaded before
    ``setup()`` or the first question; then the weights are read from a folder or from the hub as they were published.
    Needs ``pip install "sb3_rpd[openvla]"``.

    :param checkpoint: A folder, or the id of a repository on the Hugging Face hub.
    :param unnorm_key: The data set by whose statistics actions are un-normalized.
    :param revision: Branch, tag or commit of the repository.
    :param instruction: What to do, where the environment does not say it.
    :param camera: The name of the images among what the environment offers; None for "frame" or the only images that there
        are.
    :param center_crop: Keep the central 90 % of each frame's area: for checkpoints that were trained on random crops.
    :param convert_actions: From the data's units to the environment's: a ``ConvertActions``. "signed_gripper" is for data
        whose gripper goes from 0 (closed) to 1 (open), as OpenVLA's does, and an environment where it goes from -1 (closed)
        to 1 (open); None leaves the actions as they are. With a function the teacher gives no distribution.
    :param decode: The action: "greedy" takes the likeliest word in each dimension, "mean" the mean over the words, which is
        what minimizes a squared error. Either way each dimension is conditioned on the likeliest words before it.
    :param device: One of torch's devices, "auto" for a GPU where there is one, or several devices: each gets a copy of the
        network and its share of each batch.
    :param dtype: Precision of the network; None for bfloat16 on a GPU and float32 on a CPU.
    :param batch_size: The most frames that go through the network of one device at once; it bounds the memory.
    :raises ValueError: if ``convert_actions``, ``decode`` or ``batch_size`` make no sense.
    """

    def __init__(
        self,
        checkpoint: str | Path = CHECKPOINT,
        unnorm_key: str = UNNORM_KEY,
        *,
        revision: str | None = None,
        instruction: str | None = None,
        camera: str | None = None,
        center_crop: bool = False,
        convert_actions: ConvertActions = "signed_gripper",
        decode: str = "greedy",
        device: str | th.device | Sequence[str | th.device] = "auto",
        dtype: th.dtype | None = None,
        batch_size: int = 64,
    ) -> None:
        if decode not in DECODINGS:
            raise ValueError(f"decode must be one of {', '.join(map(repr, DECODINGS))}; got {decode!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}")
        self.checkpoint = checkpoint
        self.unnorm_key = unnorm_key
        self.revision = revision
        self.instruction = None if instruction is None else read_instruction(instruction, "OpenVLATeacher's instruction")
        self.camera = camera
        self.center_crop = center_crop
        self.convert_actions = make_conversion(convert_actions)
        self.gives_distribution = self.convert_actions.keeps_distribution
        self.decode = decode
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self._action_space: spaces.Box | None = None
        self._prompts: dict[str, list[int]] = {}

    @cached_property
    def _folder(self) -> Path:
        return find_checkpoint(self.checkpoint, self.revision)

    @cached_property
    def _decoder(self) -> ActionDecoder:
        return ActionDecoder.from_statistics(read_action_statistics(self._folder, self.unnorm_key), self.decode)

    @cached_property
    def _make_prompt(self) -> Callable[[str], list[int]]:
        return PromptProcessor(self._folder, OpenVLAConfig.from_json(read_json(self._folder, "config.json")))

    @cached_property
    def _replicas(self) -> list[_Replica]:
        devices = [self.device] if isinstance(self.device, (str, th.device)) else list(self.device)
        replicas = []
        for name in devices:
            device = th.device("cuda" if th.cuda.is_available() else "cpu") if name == "auto" else th.device(name)
            dtype = self.dtype or (th.float32 if device.type == "cpu" else th.bfloat16)
            replicas.append(_Replica(self._folder, device, dtype, self.center_crop))
        return replicas

    def setup(self, action_space: spaces.Space) -> None:
        ends = self.convert_actions(np.stack([self._decoder.low, self._decoder.high]))
        if not isinstance(action_space, spaces.Box) or action_space.shape != ends.shape[1:]:
            raise TeacherError(
                f"OpenVLATeacher gives {ends.shape[1]} numbers (unnorm_key={self.unnorm_key!r}), the environment takes "
                f"{cut(action_space)}. In ManiSkill that is control_mode='pd_ee_delta_pose'."
            )
        check_range(
            ends.min(axis=0),
            ends.max(axis=0),
            action_space,
            teacher=f"OpenVLATeacher with unnorm_key={self.unnorm_key!r}",
            cure="Choose the statistics of data in the environment's units (unnorm_key), or convert them (convert_actions).",
        )
        self._action_space = action_space
        self._load()

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> TeacherOutput:
        questions = Questions(observations, instructions).told(self.instruction)
        offered = questions.named_observations
        frames = offered[find_images(offered, self.camera, seeker="OpenVLATeacher", cure=_CURE)]
        if questions.instructions is None:
            raise TeacherError(
                "OpenVLATeacher was not told what to do: pass an instruction to it, or to the environment's "
                "TeacherActionWrapper."
            )
        self._load()
        prompts = [self._prompt(instruction) for instruction in questions.instructions]
        actions, std = self._decoder(self._action_logits(frames, prompts))
        output = self.convert_actions.output(TeacherOutput(actions, std=std))
        output = TeacherOutput(
            output.actions.astype(np.float32), std=None if output.std is None else output.std.astype(np.float32)
        )
        return output if self._action_space is None else output.clip(self._action_space)

    def close(self) -> None:
        """Let the networks go; the next question loads them again."""
        self.__dict__.pop("_replicas", None)

    def _load(self) -> None:
        """Bring everything in, what is cheap and may be wrong first."""
        _ = self._decoder, self._make_prompt, self._replicas

    def _prompt(self, instruction: str) -> list[int]:
        if instruction not in self._prompts:
            self._prompts[instruction] = self._make_prompt(instruction)
        return self._prompts[instruction]

    def _action_logits(self, frames: np.ndarray, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        """Deal the rows out to the replicas, each of which takes them in pieces of at most ``batch_size``."""

        def ask(share: tuple[_Replica, np.ndarray]) -> list[np.ndarray]:
            replica, rows = share
            pieces = np.split(rows, range(self.batch_size, len(rows), self.batch_size))
            return [
                replica.action_logits(frames[piece], [prompts[row] for row in piece], self._decoder.action_dim)
                for piece in pieces
                if len(piece)
            ]

        shares = list(zip(self._replicas, np.array_split(np.arange(len(frames)), len(self._replicas)), strict=True))
        if len(shares) == 1:
            return np.concatenate(ask(shares[0]))
        with ThreadPoolExecutor(len(shares)) as pool:
            return np.concatenate([logits for answers in pool.map(ask, shares) for logits in answers])
