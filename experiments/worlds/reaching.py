"""The fast suite: the reaching world, a controller that solves it, and what the controller is made to do wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from experiments.worlds.reaching_env import OFFSET_SCALE, ReachingVecEnv
from experiments.worlds.world import World
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.teachers import DegradedTeacher
from sb3_rpd.teachers.faults import Inversion, Misperception, Stall

#: Of the way to the object, how many actions of 1 the teacher asks for per unit.
GAIN = 8.0
#: Distances between which the teacher's fingers go from closed to open.
CLOSED_AT, OPEN_AT = 0.04, 0.10

LATE_BY = 35


class ReachingTeacher(Teacher):
    """Goes straight for the object and closes its fingers there; closed fingers open first. It solves every episode."""

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        assert isinstance(observations, dict)
        state = observations["state"].astype(np.float64)
        way = state[:, :3] / OFFSET_SCALE
        aperture = 2 * np.clip((np.linalg.norm(way, axis=1) - CLOSED_AT) / (OPEN_AT - CLOSED_AT), 0, 1) - 1
        fingers = np.where(state[:, 6] > 0, aperture, 1.0)
        return np.column_stack([np.clip(GAIN * way, -1, 1), fingers]).astype(np.float32)


def _distance(observations: RawObservation) -> np.ndarray:
    assert isinstance(observations, dict)
    return np.asarray(np.linalg.norm(observations["state"][:, :3] / OFFSET_SCALE, axis=1))


_FAULTS: dict[str, dict[str, Any]] = {
    "noise": dict(noise_std=1.2, wrong_fraction=0.1),
    "offset": dict(bias=(0.8, 0.8, 0.0, 0.0)),
    "late gripper": dict(gripper_delay=LATE_BY),
    "stall": dict(faults=(Stall(_distance, 0.2, slice(0, 3)),)),
    "inverted axis": dict(faults=(Inversion(2),)),
    "misjudgment": dict(faults=(Misperception(tuple(OFFSET_SCALE * np.array([0.10, -0.08, 0.06])), slice(0, 3), "state"),)),
}


def make_env(task: str, error: str | None, reward: str, n_envs: int, seed: int) -> VecEnv:
    env = ReachingVecEnv(n_envs, reward, history=LATE_BY if error == "late gripper" else 0)
    env.seed(seed)
    return env


def make_teacher(task: str, error: str, seed: int) -> Teacher:
    return DegradedTeacher(ReachingTeacher(), **_FAULTS[error], seed=seed)


REACHING = World(
    make_env=make_env,
    make_teacher=make_teacher,
    errors={
        "noise": "Gaussian noise of 1.2 on each action, nonsense in a tenth of the states",
        "offset": "0.8 too much in x and y",
        "late gripper": f"the fingers do what they should have done {LATE_BY} steps ago",
        "stall": "stands still within 0.2 of the object",
        "inverted axis": "the wrong sign in z",
        "misjudgment": "takes the object to be 0.14 aside, always in the same direction",
    },
    n_envs=32,
    normalize_observations=False,
    settings=dict(learning_rate=1e-3, n_steps=50, batch_size=400, n_epochs=4, gae_lambda=0.95, device="cpu"),
    policy_kwargs=dict(net_arch=[64, 64], log_std_init=-0.7),
    coefs={"mse": 4.0, "l1": 4.0, "nll": 0.5, "kl": 0.5, "cosine": 2.0},
    directions={"translation": (0, 1, 2)},
    shut_off=dict(window=20, patience=20),
    teacher_std=0.5,
    selections=10,
    selection_episodes=64,
    evaluation_episodes=128,
)
