"""The suite on ManiSkill2: cube tasks from state observations, and what their scripted teachers are made to do wrong."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from experiments.worlds.world import World
from sb3_rpd import TeacherActionWrapper
from sb3_rpd.common.history import HistoryWrapper, read_past
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.envs import make_maniskill2_vec_env, privileged_state
from sb3_rpd.teachers import DegradedTeacher, ScriptedTeacher
from sb3_rpd.teachers.faults import Inversion, misjudged_cube, stall_near_cube

#: Variations of LiftCube that its scripted teacher cannot solve, and what each is made with, in meters.
VARIATIONS: Mapping[str, Mapping[str, float]] = {
    "LiftSmallCube-v0": {"cube_half_size": 0.011},
    "LiftCubeHigher-v0": {"goal_height": 0.23},
    "LiftCubeBesideBlock-v0": {"gap": 0.032},
}

EPISODE_STEPS = 100
LATE_BY = 88

_FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "noise": dict(noise_std=0.4, wrong_fraction=0.1),
    "offset 0.3": dict(bias=(0.3, 0.3, 0, 0, 0, 0, 0)),
    "offset 0.5": dict(bias=(0.5, 0.5, 0, 0, 0, 0, 0)),
    "late gripper": dict(gripper_delay=LATE_BY),
    "stall": dict(faults=(stall_near_cube(0.05),)),
    "inverted axis": dict(faults=(Inversion(0),)),
    "misjudgment": dict(faults=(misjudged_cube((0.0, 0.03, 0.0)),)),
}


def make_env(task: str, error: str | None, reward: str, n_envs: int, seed: int) -> VecEnv:
    if task in VARIATIONS:
        import_module("experiments.worlds.variations")
    show_teacher: Callable[[gym.Env], gym.Env] = partial(_show_teacher, history=LATE_BY if error == "late gripper" else 0)
    return make_maniskill2_vec_env(
        task, n_envs, seed=seed, reward=reward, max_episode_steps=EPISODE_STEPS, wrap=show_teacher if error else None
    )


def _show_teacher(env: gym.Env, history: int) -> TeacherActionWrapper:
    if not history:
        return TeacherActionWrapper(env, observation={"privileged": privileged_state})
    remembering = HistoryWrapper(env, privileged_state, length=history)
    return TeacherActionWrapper(remembering, observation={"privileged": privileged_state, "privileged_past": read_past})


def make_teacher(task: str, error: str, seed: int) -> Teacher:
    scripted = ScriptedTeacher("LiftCube-v0" if task in VARIATIONS else task)
    return DegradedTeacher(scripted, **_FAULTS[error], seed=seed)


MANISKILL2 = World(
    make_env=make_env,
    make_teacher=make_teacher,
    errors={
        "none": "the scripted teacher as it is",
        "noise": "Gaussian noise of 0.4 on each action, nonsense in a tenth of the states",
        "offset 0.3": "0.3 too much in x and y",
        "offset 0.5": "0.5 too much in x and y",
        "late gripper": f"the fingers do what they should have done {LATE_BY} steps ago",
        "stall": "hand and wrist stand still within 5 cm of the cube",
        "inverted axis": "the wrong sign in x",
        "misjudgment": "takes the cube to be 3 cm further along y, across the hand",
    },
    n_envs=8,
    normalize_observations=True,
    settings=dict(
        learning_rate=LinearSchedule(1e-3, 0.0, 1.0), n_steps=100, batch_size=200, n_epochs=8, gae_lambda=0.9, device="cpu"
    ),
    policy_kwargs=dict(net_arch=[256, 256], log_std_init=-2.0),
    coefs={"mse": 5.0, "l1": 5.0, "nll": 0.026, "kl": 0.026, "cosine": 3.0},
    directions={"translation": (0, 1, 2), "rotation": (3, 4, 5)},
    shut_off=dict(window=20, patience=20),
    teacher_std=0.135,
    selections=12,
    selection_episodes=20,
    evaluation_episodes=100,
    task_settings=VARIATIONS,
)
