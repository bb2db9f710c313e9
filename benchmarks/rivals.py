"""What RPD is compared with, besides Stable-Baselines3's PPO: the obvious way to write it, sb3_distill's PPD, SBX's PPO."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from free_env import ACTION_DIM, free_teacher
from measuring import Seconds
from stable_baselines3 import PPO
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.utils import explained_variance
from torch.nn import functional as F


class ObviousRPD(PPO):
    """
    RPD as one writes it in an afternoon: a copy of ``PPO.train`` with a few lines more.

    For each minibatch the teacher is asked, and the student's action comes from a second forward pass. Left out of the copy
    is what the benchmarks do not use: discrete actions, ``clip_range_vf``, ``target_kl``.

    :param args: See PPO.
    :param teacher: Maps the observations of a minibatch to actions, tensors both.
    :param imitation_coef: Weight of the imitation loss.
    :param kwargs: See PPO.
    """

    def __init__(
        self, *args: Any, teacher: Callable[[th.Tensor], th.Tensor], imitation_coef: float = 1.0, **kwargs: Any
    ) -> None:
        self.teacher = teacher
        self.imitation_coef = imitation_coef
        super().__init__(*args, **kwargs)

    def train(self) -> None:
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        assert callable(self.clip_range)
        clip_range = self.clip_range(self._current_progress_remaining)
        policy_losses, value_losses, entropy_losses, imitation_losses, clip_fractions = [], [], [], [], []
        for _ in range(self.n_epochs):
            approx_kls = []
            for batch in self.rollout_buffer.get(self.batch_size):
                values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, batch.actions)
                advantages = batch.advantages
                if self.normalize_advantage and len(advantages) > 1:
                    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
                ratio = th.exp(log_prob - batch.old_log_prob)
                clipped = advantages * th.clamp(ratio, 1 - clip_range, 1 + clip_range)
                policy_loss = -th.min(advantages * ratio, clipped).mean()
                policy_losses.append(policy_loss.item())
                clip_fractions.append(th.mean((th.abs(ratio - 1) > clip_range).float()).item())
                value_loss = F.mse_loss(batch.returns, values.flatten())
                value_losses.append(value_loss.item())
                entropy_loss = -th.mean(-log_prob) if entropy is None else -th.mean(entropy)
                entropy_losses.append(entropy_loss.item())

                with th.no_grad():
                    teacher_actions = self.teacher(batch.observations)
                student_actions = self.policy.get_distribution(batch.observations).mode()
                imitation_loss = F.mse_loss(student_actions, teacher_actions)
                imitation_losses.append(imitation_loss.item())

                loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
                loss = loss + self.imitation_coef * imitation_loss
                with th.no_grad():
                    log_ratio = log_prob - batch.old_log_prob
                    approx_kls.append(th.mean((th.exp(log_ratio) - 1) - log_ratio).cpu().numpy())
                self.policy.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                self.policy.optimizer.step()
            self._n_updates += 1

        buffer = self.rollout_buffer
        self.logger.record("train/entropy_loss", np.mean(entropy_losses))
        self.logger.record("train/policy_gradient_loss", np.mean(policy_losses))
        self.logger.record("train/value_loss", np.mean(value_losses))
        self.logger.record("train/imitation_loss", np.mean(imitation_losses))
        self.logger.record("train/approx_kl", np.mean(approx_kls))
        self.logger.record("train/clip_fraction", np.mean(clip_fractions))
        self.logger.record("train/loss", loss.item())
        self.logger.record("train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
        self.logger.record("train/std", th.exp(self.policy.log_std).mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip_range)


class FreeTeacherModel:
    """``free_teacher`` as a model of Stable-Baselines3, PPD's kind of teacher: it asks ``policy.get_distribution``."""

    def __init__(self) -> None:
        self.policy = self

    def get_distribution(self, observations: th.Tensor) -> DiagGaussianDistribution:
        actions = free_teacher(observations)
        return DiagGaussianDistribution(ACTION_DIM).proba_distribution(actions, th.zeros_like(actions))


def load_ppd(folder: Path) -> Callable[..., Any]:
    """
    Proximal Policy Distillation (https://github.com/spiglerg/sb3_distill), from a copy of it.

    :param folder: The one that holds the package ``sb3_distill``.
    :return: Its class; the model has a teacher after ``set_teacher``.
    """
    if not (folder / "sb3_distill" / "__init__.py").is_file():
        raise FileNotFoundError(f"{folder} does not hold the package sb3_distill.")
    sys.path.insert(0, str(folder))
    try:
        package = importlib.import_module("sb3_distill")
    finally:
        sys.path.remove(str(folder))
    return package.ProximalPolicyDistillation  # type: ignore[no-any-return]


class SBX:
    """
    PPO of SBX, without any imitation, in a process of its own.

    :param python: The interpreter of an environment that has SBX.
    :param student: A student's name.
    :param quick: Whether to take the small one of that name.
    """

    def __init__(self, python: Path, student: str, *, quick: bool) -> None:
        program = Path(__file__).with_name("sbx_side.py")
        # One thread, as everybody else
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        self._process = subprocess.Popen(
            [str(python), str(program), student, *["--quick"] * quick],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XLA_FLAGS": flags, "NPROC": "1", "JAX_PLATFORMS": "cpu"},
        )
        self._read_line()

    def train(self) -> Seconds:
        """One ``train()``."""
        return self._ask("train")

    def iterate(self) -> Seconds:
        """One iteration: collect a rollout, train on it."""
        return self._ask("iterate")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, turn: str) -> Seconds:
        assert self._process.stdin is not None
        print(turn, file=self._process.stdin, flush=True)
        return Seconds(*map(float, self._read_line().split()))

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"SBX has ended with exit code {self._process.wait()}; above is what it said.")
        return line
