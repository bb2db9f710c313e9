"""How good a teacher is by itself: it acts in the environment, and the successes are counted."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_rpd.common.wording import shortened
from sb3_rpd.evaluation.acting import acting_in
from sb3_rpd.evaluation.intervals import wilson_interval


class Episode(NamedTuple):
    """
    One episode of an evaluation.

    :param total_reward: Its undiscounted return, in the environment's own rewards.
    :param length: Its number of steps.
    :param is_success: Whether it ended in success, None if the environment does not say.
    """

    total_reward: float
    length: int
    is_success: bool | None


@dataclass(frozen=True)
class TeacherEvaluation:
    """
    What a teacher achieved by itself.

    :param episodes: Number of episodes.
    :param successes: How many of them ended with ``info["is_success"]``, None if the environment does not say.
    :param mean_return: Mean undiscounted return, in the environment's own rewards.
    :param mean_length: Mean number of steps.
    """

    episodes: int
    successes: int | None
    mean_return: float
    mean_length: float

    @property
    def success_rate(self) -> float:
        """Successes per episode, NaN if they are unknown."""
        return math.nan if self.successes is None else self.successes / self.episodes

    @property
    def success_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the success rate (``wilson_interval``), NaN if it is unknown."""
        if self.successes is None:
            return math.nan, math.nan
        return wilson_interval(self.successes, self.episodes)


def evaluate_teacher(
    teacher: Any,
    env: gym.Env[Any, Any] | VecEnv,
    n_episodes: int = 100,
    *,
    seed: int | None = 0,
    needs_success: bool = True,
    on_episode: Callable[[Episode], None] | None = None,
) -> TeacherEvaluation:
    """
    Let a teacher, or a ``Student``, act alone and count its successes.

    A teacher sees what it would see in training: what the environment's ``TeacherActionWrapper`` offers, or without
    that wrapper the environment's observation; one that takes action masks gets the environment's. A student sees the
    environment's observation. Of a vectorized environment only the innermost part is used, so that
    wrappers made for a student (``VecNormalize``, ``VecFrameStack``, ...) take no part and are not changed; they
    have to be reset before a student uses them again.

    :param teacher: The teacher, or anything that ``make_teacher`` accepts, or a ``Student``. Its ``setup`` is called.
    :param env: One environment or several. It is not closed.
    :param n_episodes: How many episodes, shared evenly among the environments: counting those that end first
        would favor short ones.
    :param seed: Seed of the first reset, after which the environments draw on their own generators: the same seed gives the
        same episodes. None leaves the environments' generators as they are.
    :param needs_success: Whether it is an error if the environment does not say which episodes are successes.
    :param on_episode: Called with each episode that counts, as it ends.
    :return: The figures.
    :raises TeacherError: if the teacher does not fit the environment or leaves a state unanswered.
    :raises ValueError: if the environment's ``info`` does not say whether an episode was a success, and it has to.
    """
    if n_episodes < 1:
        raise ValueError(f"n_episodes={n_episodes}: a success rate needs at least one episode.")
    venv: VecEnv = env.unwrapped if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
    quota = np.array([(n_episodes + i) // venv.num_envs for i in range(venv.num_envs)])
    counted = np.zeros(venv.num_envs, dtype=int)
    returns, lengths = np.zeros(venv.num_envs), np.zeros(venv.num_envs, dtype=int)
    episodes: list[Episode] = []
    with acting_in(venv, teacher) as actor:
        if seed is not None:
            venv.seed(seed)
        actor.begin(venv.reset())
        while (counted < quota).any():
            observations, rewards, dones, infos = venv.step(actor.act())
            actor.go_on(observations, dones, infos)
            returns += rewards
            lengths += 1
            for i in np.flatnonzero(dones & (counted < quota)):
                episodes.append(Episode(float(returns[i]), int(lengths[i]), _is_success(infos[i], needs_success)))
                if on_episode is not None:
                    on_episode(episodes[-1])
                counted[i] += 1
            returns[dones], lengths[dones] = 0.0, 0
    return _summary(episodes)


def _summary(episodes: list[Episode]) -> TeacherEvaluation:
    outcomes = [episode.is_success for episode in episodes if episode.is_success is not None]
    total_return = sum(episode.total_reward for episode in episodes)
    total_length = sum(episode.length for episode in episodes)
    n = len(episodes)
    return TeacherEvaluation(n, sum(outcomes) if len(outcomes) == n else None, total_return / n, total_length / n)


def _is_success(info: dict[str, Any], needs_success: bool) -> bool | None:
    if "is_success" not in info:
        if not needs_success:
            return None
        raise ValueError(
            'An episode ended without info["is_success"], so it cannot be told whether the teacher succeeded. Let '
            "the environment (or a wrapper around it) write that key in its last step; info has only "
            f"{shortened(sorted(info), limit=8)}."
        )
    return bool(info["is_success"])
