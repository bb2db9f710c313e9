"""Whether a teacher fits an environment: it is asked once, and what it was offered and what it said is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecNormalize

from sb3_rpd.common.asking import ask_about, check_offer, explain_failure, set_up, take_actions
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.offers import describe_instructions, describe_observations
from sb3_rpd.common.teacher_inputs import teacher_inputs_after_reset
from sb3_rpd.common.teacher_outputs import CheckedOutput
from sb3_rpd.common.wording import cut
from sb3_rpd.teachers.resolve import make_teacher


@dataclass(frozen=True)
class TeacherCheck:
    """
    What a teacher was offered and what it answered. Prints as a few lines.

    :param teacher: Who was asked.
    :param offered: The observations: their names, dtypes and the shapes for one state.
    :param instruction: What it was told to do.
    :param action_space: The action space of one environment.
    :param asked: In how many states.
    :param usable: How many of the answers can be labels.
    :param lowest: The smallest number in the usable answers, NaN if there are none.
    :param highest: The largest.
    :param clipped_share: For a Box, the share of the numbers in the usable answers that were clipped to it: what training logs
        as ``teacher/clipped``; None for other spaces.
    :param bound_share: For a Box, the share of the numbers that lie at one of its bounds, clipped or not. A gripper may well
        do so; where all numbers do, the units are wrong. None for other spaces.
    :param gives_distribution: Whether it gave its distribution too, as the loss "kl" needs it.
    :param complaint: Why the other answers are not usable, None if all are.
    """

    teacher: str
    offered: str
    instruction: str
    action_space: str
    asked: int
    usable: int
    lowest: float
    highest: float
    clipped_share: float | None
    bound_share: float | None
    gives_distribution: bool
    complaint: str | None

    def __str__(self) -> str:
        numbers = f"from {self.lowest:.4g} to {self.highest:.4g}"
        if self.bound_share is not None:
            numbers += f", {self.bound_share:.0%} of them at a bound of the Box, {self.clipped_share:.0%} clipped to it"
        lines = {
            "teacher": self.teacher,
            "offered": self.offered,
            "told": self.instruction,
            "acts in": self.action_space,
            "answered": f"{self.usable} of {self.asked} states" + (f": {self.complaint}" if self.complaint else ""),
            "numbers": numbers,
            "distribution": "given" if self.gives_distribution else "not given (only the loss 'kl' needs it)",
        }
        return "\n".join(f"{name:<12}  {text}" for name, text in lines.items())


def check_teacher(teacher: Any, env: gym.Env[Any, Any] | VecEnv) -> TeacherCheck:
    """
    Reset an environment, show what it offers a teacher, and ask the teacher about it.

    ``RPD.learn`` makes the same checks: those that need no question before the first rollout, the others on its first batch.

    :param teacher: The teacher, or anything that ``make_teacher`` accepts; None where controllers in the environments give
        the actions. Its ``setup`` is called.
    :param env: One environment, or several with all wrappers that they have in training. It is reset and not closed; the
        statistics of a ``VecNormalize`` stay as they are. A single environment's state is asked about twice in one batch,
        since the answer to a batch of one may fit by chance.
    :return: What was seen. Print it.
    :raises TeacherError: if the teacher does not fit the environment, fails, or answers in a wrong shape or dtype.
    :raises TypeError: if ``teacher`` is none.
    """
    venv: VecEnv = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
    asked = None if teacher is None else make_teacher(teacher)
    set_up(asked, venv.action_space)
    with _frozen_statistics(venv):
        infos = teacher_inputs_after_reset(venv, venv.reset())
    infos = infos * 2 if len(infos) == 1 else infos
    questions = check_offer(infos, venv.action_space)
    if questions is None:
        output = take_actions(infos, venv.action_space)
        return _check("the controller in the environment", "a finished action", "nothing", venv.action_space, output)
    if asked is None:
        raise TeacherError("There is no teacher to check, and the environments have no controller that gives the actions.")
    infos = [info for info in infos if "action" not in info]
    try:
        output = ask_about(asked, infos, venv.action_space)
    except Exception as error:
        raise TeacherError(f"The check of the teacher {asked!r} failed: {explain_failure(error, infos)}.") from error
    offered, instruction = describe_observations(questions.observations), describe_instructions(questions.instructions)
    return _check(repr(asked), offered, instruction, venv.action_space, output)


def _check(teacher: str, offered: str, instruction: str, action_space: spaces.Space, output: CheckedOutput) -> TeacherCheck:
    usable = ~np.isnan(output.actions).any(axis=1)
    rows = output.actions[usable]
    clipped_share = bound_share = None
    if isinstance(action_space, spaces.Box) and rows.size:
        assert output.clipped is not None
        clipped_share = float(output.clipped[usable].mean())
        at_bound = (rows <= action_space.low.reshape(-1)) | (rows >= action_space.high.reshape(-1))
        bound_share = float(at_bound.mean())
    return TeacherCheck(
        teacher=teacher,
        offered=offered,
        instruction=instruction,
        action_space=cut(action_space),
        asked=len(output.actions),
        usable=len(rows),
        lowest=float(rows.min()) if rows.size else np.nan,
        highest=float(rows.max()) if rows.size else np.nan,
        clipped_share=clipped_share,
        bound_share=bound_share,
        gives_distribution=output.distribution is not None,
        complaint=output.complaint,
    )


@contextmanager
def _frozen_statistics(env: VecEnv) -> Iterator[None]:
    """Every VecNormalize around an environment as in evaluation: a reset would count as a step of training."""
    layers = []
    while isinstance(env, VecEnvWrapper):
        if isinstance(env, VecNormalize):
            layers.append((env, env.training))
        env = env.venv
    for layer, _ in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer, training in layers:
            layer.training = training
