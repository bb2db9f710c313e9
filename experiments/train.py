"""One run: trains a student, keeps the best of its policies, and counts the successes of the last one and of the best."""

import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.utils import safe_mean
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from experiments.methods import METHODS, TEACHER
from experiments.runs import Run
from experiments.teachers import CountedTeacher
from experiments.worlds import WORLDS
from experiments.worlds.world import World
from sb3_rpd.evaluation import KeepBest, Student, TeacherEvaluation, evaluate_teacher

#: Training environments have the seeds from 100 times the run's on; the best policy is chosen in episodes from
#: SELECTION_SEED on, and the results are counted in episodes from EVALUATION_SEED on. No two of them meet.
SELECTION_SEED = 500_000
EVALUATION_SEED = 1_000_000

CURVE_POINTS = 80
PACKAGES = ("numpy", "torch", "stable_baselines3", "gymnasium", "mani_skill2", "sb3_rpd")


class ExploringSuccess(BaseCallback):
    """
    Records how often the exploring student succeeds: the success rate over its last 100 episodes, as SB3 logs it.

    :param every: Environment steps between two points.
    :ivar curve: (environment steps, success rate) of each point.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.curve: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        last = self.curve[-1][0] if self.curve else 0
        successes = self.model.ep_success_buffer
        if successes and self.num_timesteps - last >= self.every:
            self.curve.append((self.num_timesteps, round(safe_mean(successes), 3)))


def settings_of(run: Run) -> dict[str, Any]:
    """:return: All that the result of a run depends on beside its own fields, as JSON holds it."""
    world, method = WORLDS[run.suite], METHODS[run.method]
    task = {"task": dict(world.task_settings[run.task])} if run.task in world.task_settings else {}
    if method.algorithm is None:
        assert run.error is not None
        return task | {"teacher_error": world.errors[run.error], "evaluation_episodes": world.evaluation_episodes}
    return task | {
        "algorithm": method.algorithm.__name__,
        "arguments": {name: repr(value) for name, value in method.arguments(world).items()},
        "teacher_std": world.teacher_std if method.needs_distribution else None,
        "teacher_error": world.errors[run.error] if run.error is not None else None,
        "ppo": {name: repr(value) if callable(value) else value for name, value in world.settings.items()},
        "policy_class": world.policy,
        "policy": dict(world.policy_kwargs),
        "n_envs": world.n_envs,
        "normalize_observations": world.normalize_observations,
        "selections": world.selections,
        "selection_episodes": world.selection_episodes,
        "evaluation_episodes": world.evaluation_episodes,
    }


def train(run: Run) -> dict[str, Any]:
    """
    :param run: What to do.
    :return: What came of it, as JSON can hold it; without the run and its settings.
    """
    started = time.monotonic()
    result = _evaluate_teacher_alone(run) if run.method == TEACHER else _train_student(run)
    versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    identify = WORLDS[run.suite].identify_teacher
    if identify is not None and run.error is not None:
        result["teacher"] = identify(run.error)
    return {**result, "seconds": round(time.monotonic() - started, 1), "versions": versions}


def _evaluate_teacher_alone(run: Run) -> dict[str, Any]:
    assert run.error is not None
    world = WORLDS[run.suite]
    env = world.make_env(run.task, run.error, run.reward, world.n_envs, EVALUATION_SEED)
    make_teacher = world.make_acting_teacher or world.make_teacher
    teacher = make_teacher(run.task, run.error, EVALUATION_SEED)
    evaluation = evaluate_teacher(teacher, env, world.evaluation_episodes, seed=EVALUATION_SEED)
    env.close()
    return {"last": _as_json(evaluation)}


def _train_student(run: Run) -> dict[str, Any]:
    world = WORLDS[run.suite]
    env = world.make_env(run.task, run.error, run.reward, world.n_envs, 100 * run.seed)
    reward_mode = env.get_attr("reward_mode")[0]
    training_env = VecNormalize(env, norm_reward=False) if world.normalize_observations else env
    model, teacher = _make_student(run, world, training_env)
    selection_env = world.make_env(run.task, None, run.reward, world.n_envs, SELECTION_SEED)
    keep_best = KeepBest(
        selection_env, every=run.steps // world.selections, n_episodes=world.selection_episodes, seed=SELECTION_SEED
    )
    exploring = ExploringSuccess(run.steps // CURVE_POINTS)
    model.learn(run.steps, callback=CallbackList([exploring, keep_best]))

    evaluation_env = world.make_env(run.task, None, run.reward, world.n_envs, EVALUATION_SEED)
    best = last = _evaluate(model, evaluation_env, world)
    found_at, _ = keep_best.best
    if found_at != model.num_timesteps:
        keep_best.restore()
        best = _evaluate(model, evaluation_env, world)
    for finished in (evaluation_env, selection_env, training_env):
        finished.close()
    return {
        "reward_mode": reward_mode,
        "curve": exploring.curve,
        "selection": [(steps, round(evaluation.success_rate, 3)) for steps, evaluation in keep_best.evaluations],
        "last": _as_json(last),
        "best": {**_as_json(best), "found_at": found_at},
        "queries": teacher.queries if teacher is not None else 0,
    }


def _make_student(run: Run, world: World, env: VecEnv) -> tuple[PPO, CountedTeacher | None]:
    method = METHODS[run.method]
    arguments: dict[str, Any] = dict(world.settings, gamma=run.gamma, seed=run.seed, policy_kwargs=dict(world.policy_kwargs))
    teacher = None
    if method.has_teacher:
        assert run.error is not None
        std = world.teacher_std if method.needs_distribution else None
        teacher = CountedTeacher(world.make_teacher(run.task, run.error, run.seed), std)
        arguments |= {"label_every": run.label_every, **method.arguments(world), "teacher": teacher}
    assert method.algorithm is not None
    make: Callable[..., PPO] = method.algorithm
    return make(world.policy, env, **arguments), teacher


def _evaluate(model: PPO, env: VecEnv, world: World) -> TeacherEvaluation:
    return evaluate_teacher(Student(model), env, world.evaluation_episodes, seed=EVALUATION_SEED)


def _as_json(evaluation: TeacherEvaluation) -> dict[str, Any]:
    return {
        "episodes": evaluation.episodes,
        "successes": evaluation.successes,
        "mean_return": round(evaluation.mean_return, 4),
        "mean_length": round(evaluation.mean_length, 2),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
