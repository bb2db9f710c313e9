"""
What stands in for a simulator of ManiSkill3 that runs several environments, for which the real one needs a GPU.

It keeps to the interface of ManiSkill3 3.0.1: batched torch tensors, ``reset(seed=list, options={"env_idx": ...})``, ends
without a time limit, a camera. The real simulator, of one environment, goes through the same code in ``real_maniskill3.py``.
"""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces


class StandIn:
    """
    Each environment counts. A state is (what was drawn at the episode's start, steps so far, sum of the actions); it is solved
    after the number of steps that ``solved_after`` has for the environment, in each of its episodes.

    :param solved_after: One for each environment.
    :param shows_state: Whether it is in ManiSkill3's observation mode "state", otherwise it is in mode "none".
    """

    device = th.device("cpu")
    single_observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    single_action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, solved_after: list[int], *, shows_state: bool) -> None:
        self.num_envs = len(solved_after)
        self.solved_after = th.tensor(solved_after)
        self.shows_state = shows_state
        self.state = th.zeros(self.num_envs, 3)
        self.seeds: list[list[int]] = []
        self.resets: list[list[int]] = []
        self.n_frames = 0
        self.n_closed = 0
        self.scene: Any = self
        self.human_render_cameras = {"render_camera": None}

    def reset(self, seed: list[int], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        rows = options.get("env_idx", th.arange(self.num_envs))
        self.seeds.append(seed)
        self.resets.append(rows.tolist())
        with th.random.fork_rng():
            # As ManiSkill3: all draws of a reset come from the first seed
            th.manual_seed(seed[0])
            self.state[rows] = 0.0
            self.state[rows, 0] = th.rand(len(rows))
        return self._observation(), self._info()

    def step(self, action: th.Tensor) -> tuple[Any, th.Tensor, th.Tensor, th.Tensor, dict[str, Any]]:
        assert action.shape == (self.num_envs, 2)
        self.state[:, 1] += 1
        self.state[:, 2] += action.sum(dim=1)
        info = self._info()
        never = th.zeros(self.num_envs, dtype=th.bool)
        return self._observation(), self.state[:, 2] / 10, info["success"].clone(), never, info

    def _observation(self) -> th.Tensor | dict[str, Any]:
        return self.state.clone() if self.shows_state else {}

    def _info(self) -> dict[str, Any]:
        success = self.state[:, 1] == self.solved_after
        # The memory itself, as ManiSkill3's elapsed_steps on the CPU, and two entries that are about no single environment
        return {"success": success, "steps": self.state[:, 1], "progress": self.state.mean(), "reconfigure": False}

    def render_rgb_array(self, camera: str) -> th.Tensor:
        assert camera == "render_camera"
        self.n_frames += 1
        pixels = (self.state * 10).round().to(th.uint8)
        return pixels[:, None, None, :].expand(-1, 4, 5, -1)

    def close(self) -> None:
        self.n_closed += 1


def frame_of(state: np.ndarray) -> np.ndarray:
    """The frame of a state, worked out by numpy."""
    return np.broadcast_to(np.rint(np.asarray(state, np.float32) * 10).astype(np.uint8), (4, 5, 3))
