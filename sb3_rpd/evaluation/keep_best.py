"""Keeps the best of the policies that a training goes through, by evaluation episodes of its own."""

from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.save_util import load_from_pkl, save_to_pkl
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_rpd.evaluation.student import Student
from sb3_rpd.evaluation.teacher_evaluation import TeacherEvaluation, evaluate_teacher


class _Best(NamedTuple):
    num_timesteps: int
    evaluation: TeacherEvaluation
    parameters: dict[str, Any]
    obs_rms: Any


class KeepBest(BaseCallback):
    """
    Evaluate the deterministic student now and then in episodes that are only for this choice, and keep the best: that of most
    successes, where the environment says ``info["is_success"]``, then that of the highest mean return. Kept are its
    parameters and, where a ``VecNormalize`` of the training environment has any, the statistics of its observations. The
    policy with which a training happens to end may be far worse than the one a thousand steps before.

    The episodes are the same each time. The evaluation draws no random numbers of the training: a training with it is the
    same to the last bit as one without::

        keep_best = KeepBest(evaluation_env, every=5_000)
        model.learn(100_000, callback=keep_best)
        keep_best.restore()
        model.save("student.zip")

    :param env: Where to evaluate: an environment of its own, without a ``VecNormalize``; it is not closed.
    :param every: Environment steps of training between two evaluations. They take place between rollouts; the last one is
        after the last training.
    :param n_episodes: Episodes of each evaluation.
    :param seed: Their seed. The episodes that a result is counted over are to be others.
    :ivar evaluations: (environment steps of training, evaluation) of each evaluation so far.
    """

    def __init__(self, env: VecEnv, *, every: int, n_episodes: int = 20, seed: int = 500_000) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every={every}: at least one environment step must lie between two evaluations.")
        self.env = env
        self.every = every
        self.n_episodes = n_episodes
        self.seed = seed
        self.evaluations: list[tuple[int, TeacherEvaluation]] = []
        self._best: _Best | None = None

    @property
    def best(self) -> tuple[int, TeacherEvaluation]:
        """
        The environment steps of training after which the best policy was found, and how it did in the choice's own episodes,
        which flatters it.

        :raises ValueError: if there has been no evaluation yet.
        """
        best = self._found()
        return best.num_timesteps, best.evaluation

    def restore(self) -> None:
        """
        Give the model the parameters of the best policy, and its ``VecNormalize`` that policy's statistics of observations.

        :raises ValueError: if there has been no evaluation yet.
        """
        best = self._found()
        self.model.policy.load_state_dict(best.parameters)
        statistics = self._observation_statistics()
        if statistics is not None:
            statistics.obs_rms = deepcopy(best.obs_rms)

    def save(self, path: str | Path) -> None:
        """
        Save what the evaluations have found, for a training that goes on in another process.

        :param path: Where to. The file is a pickle.
        """
        save_to_pkl(path, (self.evaluations, self._best))

    def load(self, path: str | Path) -> None:
        """
        Go on from what ``save`` wrote.

        :param path: The file: a pickle, so one of somebody you trust.
        """
        self.evaluations, self._best = load_from_pkl(path)

    def _found(self) -> _Best:
        if self._best is None:
            raise ValueError("There has been no evaluation yet, and so there is no best policy: call learn() first.")
        return self._best

    def _observation_statistics(self) -> VecNormalize | None:
        """One that normalizes rewards alone has none."""
        statistics = self.model.get_vec_normalize_env()
        return statistics if statistics is not None and statistics.norm_obs else None

    def _on_rollout_start(self) -> None:
        # The policy is as the last train() left it
        last = self.evaluations[-1][0] if self.evaluations else 0
        if self.num_timesteps - last >= self.every:
            self._evaluate()

    def _on_training_end(self) -> None:
        self._evaluate()

    def _on_step(self) -> bool:
        return True

    def _evaluate(self) -> None:
        statistics = self._observation_statistics()
        student = Student(self.model, statistics)
        evaluation = evaluate_teacher(student, self.env, self.n_episodes, seed=self.seed, needs_success=False)
        self.evaluations.append((self.num_timesteps, evaluation))
        if evaluation.successes is not None:
            self.logger.record("eval/success_rate", evaluation.success_rate)
        self.logger.record("eval/mean_reward", evaluation.mean_return)
        if self._best is None or _rank(evaluation) >= _rank(self._best.evaluation):
            parameters = deepcopy(self.model.policy.state_dict())
            obs_rms = None if statistics is None else deepcopy(statistics.obs_rms)
            self._best = _Best(self.num_timesteps, evaluation, parameters, obs_rms)


def _rank(evaluation: TeacherEvaluation) -> tuple[int, float]:
    return evaluation.successes or 0, evaluation.mean_return
