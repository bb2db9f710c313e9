"""Students in a small environment, schedules of their coefficient, and who writes it down."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import ACTION_SPACES, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.schedules import CoefSchedule, TrainingProgress

BOX = ACTION_SPACES["box"]
N_STEPS = 6
MLP: dict[str, Any] = {"net_arch": [4]}


class Countdown(CoefSchedule):
    """A schedule of the user's own, with a state: three calls at 1, then 0 for good."""

    def __init__(self) -> None:
        self.calls_left = 3

    def __call__(self, training: TrainingProgress) -> float:
        self.calls_left -= 1
        return float(self.calls_left >= 0)


def make_env(action_space: spaces.Space = BOX, observation_space: spaces.Space | None = None, n_envs: int = 1) -> DummyVecEnv:
    return DummyVecEnv([lambda: SpacesEnv(action_space, observation_space) for _ in range(n_envs)])


def make_model(env: DummyVecEnv | None = None, policy: str = "MlpPolicy", **kwargs: Any) -> RPD:
    env = make_env() if env is None else env
    teacher = scripted_teacher(env.action_space)
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": N_STEPS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    arguments |= {"policy_kwargs": MLP, "teacher": teacher}
    return RPD(policy, env, **(arguments | kwargs))


class CoefRecorder(BaseCallback):
    """
    Writes down the imitation coefficient of each rollout.

    :param stop_after: After how many rollouts to end training, in the middle of the next one.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.stop_after = stop_after
        self.coefs: list[float] = []

    def _on_rollout_start(self) -> None:
        self.coefs.append(self.model._current_imitation_coef)

    def _on_step(self) -> bool:
        return self.stop_after is None or len(self.coefs) <= self.stop_after
