"""The suites of the VLA: LiftCube, taught by the network of ``experiments.vla``, which sees pixels and errs as VLAs do."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from stable_baselines3.common.vec_env import VecEnv

from experiments.vla.evaluation import KEPT, UNNORM_KEY
from experiments.vla.tasks import IMAGE_SIZE, MAX_STEPS, TASKS, moved_camera
from experiments.worlds.maniskill2 import MANISKILL2
from sb3_rpd import TeacherActionWrapper
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.envs import CameraView, human_frame, make_maniskill2_vec_env
from sb3_rpd.teachers import OpenVLATeacher

#: Of the checkpoints "good" and "weak": those that are kept, or another outcome of ``make vla``.
FOLDER = Path(os.environ.get("SB3_RPD_VLA", KEPT))

#: What the VLA was not trained on: a smaller cube of another color, and a block beside it; meters.
VARIATIONS: Mapping[str, Mapping[str, float]] = {"LiftOtherCube-v0": {"cube_half_size": 0.015, "distance": 0.1}}

_MOVES = (0.03, 0.06, 0.10, 0.16)
_CAMERAS = {f"camera {round(100 * distance)} cm": moved_camera(distance) for distance in _MOVES}
_STUDENT_IMAGE_SIZE = 64


def make_env(
    task: str, error: str | None, reward: str, n_envs: int, seed: int, *, obs: str, mesh_reduction: float = 0.0
) -> VecEnv:
    if task in VARIATIONS:
        import_module("experiments.worlds.vla_variations")
    show_teacher = partial(
        TeacherActionWrapper,
        observation={"frame": human_frame},
        # variations have no instruction of their own
        instruction=TASKS["lift"].instruction,
    )
    return make_maniskill2_vec_env(
        task,
        n_envs,
        obs,
        seed=seed,
        camera=_CAMERAS.get(error or "", CameraView("human")),
        image_size=_STUDENT_IMAGE_SIZE,
        frame_size=IMAGE_SIZE,
        mesh_reduction=mesh_reduction,
        reward=reward,
        max_episode_steps=MAX_STEPS,
        render_mode="rgb_array" if error else None,
        wrap=show_teacher if error else None,
    )


def checkpoint(error: str) -> Path:
    """:return: The folder of the VLA that has an error."""
    return FOLDER / ("weak" if error == "weak" else "good")


def make_teacher(task: str, error: str, seed: int, *, decode: str) -> Teacher:
    return OpenVLATeacher(checkpoint(error), UNNORM_KEY, device="cpu", decode=decode)


def identify_teacher(error: str) -> str:
    """:return: A number that tells this VLA from others."""
    return hashlib.sha256((checkpoint(error) / "model.safetensors").read_bytes()).hexdigest()[:16]


VLA = replace(
    MANISKILL2,
    make_env=partial(make_env, obs="state"),
    # a mean is the better label, the likeliest word the better action: means of "open" and "closed" are neither
    make_teacher=partial(make_teacher, decode="mean"),
    make_acting_teacher=partial(make_teacher, decode="greedy"),
    identify_teacher=identify_teacher,
    errors={
        "none": "the VLA, by the camera that it was trained on",
        "weak": "a VLA that was trained for less long, likewise",
        **{error: f"the VLA, by a camera that was moved by {error.removeprefix('camera ')}" for error in _CAMERAS},
    },
    # from a few trials on another seed: with those of a scripted teacher no episode was solved in 20,000 steps
    coefs={loss: 10 * coef for loss, coef in MANISKILL2.coefs.items()},
    final_coef=0.5,
    task_settings=VARIATIONS,
)

#: The student looks through the VLA's camera. A frame for each step is most of the work, hence fewer triangles.
VLA_IMAGES = replace(
    VLA,
    make_env=partial(make_env, obs="rgb", mesh_reduction=0.9),
    errors={error: f"{words}, with mesh_reduction=0.9" for error, words in VLA.errors.items()},
    policy="CnnPolicy",
    policy_kwargs=dict(log_std_init=-2.0),
    normalize_observations=False,
    # from one trial on another seed: seeing takes many labels, gone over often. Moved images are not learned by heart so soon
    label_memory=dict(minibatches=100, batch_size=256, capacity=30_000, random_shift=2),
)
