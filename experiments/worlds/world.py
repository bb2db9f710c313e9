"""What a suite of runs says about its tasks, its teachers and its students."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.teacher import Teacher


@dataclass(frozen=True)
class World:
    """
    :param make_env: ``make_env(task, error, reward, n_envs, seed)`` makes the environments; they offer what a teacher with
        that error asks for.
    :param make_teacher: ``make_teacher(task, error, seed)`` makes the teacher of a task with one of its declared errors.
    :param errors: What each error is, in words that a reader of the results understands.
    :param n_envs: How many environments a student trains in.
    :param normalize_observations: Whether ``VecNormalize`` stands between environments and student.
    :param settings: PPO's settings, the same for each method.
    :param policy_kwargs: The student's network, the same for each method.
    :param coefs: The imitation coefficient of each loss. That of the MSE is the world's choice; with the others, each loss
        pulls the student about as hard as the MSE does, at an error of 0.5 and with the student's standard deviation at the
        start.
    :param directions: Which dimensions of the action make up a direction, by name, for the directional loss.
    :param shut_off: Window and patience of the ``RewardTrendGate`` that ends the directional guidance.
    :param teacher_std: Standard deviation that is ascribed to the teacher where a method asks for its distribution: the
        student's own at the start, so that the method does not change how much the student explores.
    :param selections: How often the student is evaluated while it trains, to keep the best.
    :param selection_episodes: Over how many episodes each time.
    :param evaluation_episodes: Over how many held-out episodes the results are counted.
    :param policy: The class of the student's policy.
    :param final_coef: At what the recommended setting's coefficient ends; None is a tenth of that at the beginning.
    :param label_memory: Arguments of the recommended setting's ``LabelMemory``. It may go over labels often where a teacher
        gives each state the same one whenever it is asked, and there is no noise to be learned by heart.
    :param identify_teacher: ``identify_teacher(error)`` tells a teacher that is read from a file from others; it stands in the
        results of its runs.
    :param task_settings: What tasks of our own are made with, by task; it is among the settings of their runs.
    :param make_acting_teacher: As ``make_teacher``, for a teacher that acts by itself and decodes its actions otherwise then;
        None where it does not.
    """

    make_env: Callable[[str, str | None, str, int, int], VecEnv]
    make_teacher: Callable[[str, str, int], Teacher]
    errors: Mapping[str, str]
    n_envs: int
    normalize_observations: bool
    settings: Mapping[str, Any]
    policy_kwargs: Mapping[str, Any]
    coefs: Mapping[str, float]
    directions: Mapping[str, tuple[int, ...]]
    shut_off: Mapping[str, int]
    teacher_std: float
    selections: int
    selection_episodes: int
    evaluation_episodes: int
    policy: str = "MlpPolicy"
    final_coef: float | None = None
    label_memory: Mapping[str, int] = field(default_factory=dict)
    identify_teacher: Callable[[str], str] | None = None
    task_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    make_acting_teacher: Callable[[str, str, int], Teacher] | None = None
