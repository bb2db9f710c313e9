"""One simulator of ManiSkill3 and what it says of its environments, as rows of numpy arrays."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch as th

#: Reads something off ManiSkill3's own environment for all environments: a tensor whose first axis is theirs.
BatchedSource: TypeAlias = Callable[[Any], th.Tensor]


class Simulation:
    """
    The environments of one task that a simulator of ManiSkill3 runs together: one on the CPU, many on a GPU.

    Each of them is an ``ManiSkill3Env``. Whatever is read off the simulator is read for all of them, once for each state, and
    copied to the CPU as a whole.

    :param simulator: ManiSkill3's own environment, without wrappers.
    :ivar actions: The actions of the last step, shape (n_envs, \\*action_space.shape).
    :ivar states: In the state mode the observations, float32 of shape (n_envs, number), otherwise None.
    :ivar rewards: Of the last step, float32 of shape (n_envs,).
    :ivar terminated: Which environments were solved, or failed, in the last step: bool of shape (n_envs,).
    :ivar info: ManiSkill3's ``info`` as far as it is about single environments: arrays whose first axis is theirs.
    """

    def __init__(self, simulator: Any) -> None:
        self.simulator = simulator
        self.num_envs: int = simulator.num_envs
        self.actions: np.ndarray | None = None
        self.states: np.ndarray | None = None
        self.rewards = np.zeros(self.num_envs, np.float32)
        self.terminated = np.zeros(self.num_envs, bool)
        self.info: dict[str, np.ndarray] = {}
        self._rng = np.random.default_rng()
        self._known: dict[BatchedSource, np.ndarray] = {}

    def reset(self, rows: Sequence[int], seeds: Sequence[int] | None = None, options: Mapping[str, Any] | None = None) -> None:
        """
        Start episodes, and leave the other environments as they are.

        Where no seeds are given they are drawn: ManiSkill3 itself would go on with torch's global random numbers, which
        a student draws its actions from, and which are the same in each new process.

        :param rows: In which environments.
        :param seeds: One for each environment, also for those that go on. They decide these episodes and all that follow
            without seeds. Most tasks draw all episodes of one reset from the first seed.
        :param options: Further options of ManiSkill3's.
        """
        if seeds is not None:
            self._rng = np.random.default_rng(list(seeds))
        else:
            seeds = self._rng.integers(2**31, size=self.num_envs).tolist()
        where = {} if len(rows) == self.num_envs else {"env_idx": th.as_tensor(rows, device=self.simulator.device)}
        self._take(*self.simulator.reset(seed=list(seeds), options={**(options or {}), **where}))

    def step(self, actions: np.ndarray) -> None:
        """
        Act for one control step in all environments.

        :param actions: Shape (n_envs, \\*action_space.shape), in the environments' units.
        """
        self.actions = actions
        observation, rewards, terminated, _, info = self.simulator.step(th.as_tensor(actions, device=self.simulator.device))
        self.rewards, self.terminated = _to_numpy(rewards).astype(np.float32), _to_numpy(terminated)
        self._take(observation, info)

    def read(self, source: BatchedSource) -> np.ndarray:
        """
        :param source: What to read.
        :return: What it gives in the present states, first axis the environments. It is called once for these states.
        """
        if source not in self._known:
            self._known[source] = _to_numpy(source(self.simulator))
        return self._known[source]

    def close(self) -> None:
        """End the simulator."""
        self.simulator.close()

    def _take(self, observation: Any, info: Mapping[str, Any]) -> None:
        self._known = {}
        self.states = _to_numpy(observation) if isinstance(observation, th.Tensor) else None
        of_each = {key: value for key, value in info.items() if isinstance(value, th.Tensor) and value.ndim > 0}
        self.info = {key: _to_numpy(value) for key, value in of_each.items()}


def _to_numpy(tensor: th.Tensor) -> np.ndarray:
    # A copy: on the CPU some tensors are the simulator's own memory
    return np.array(tensor.cpu())
