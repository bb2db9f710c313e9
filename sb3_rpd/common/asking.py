"""From what the environments offer to checked labels, and why a teacher has none, in words."""

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim

from sb3_rpd.common.errors import ERRORS_OF_OTHER_ARGUMENTS, TeacherError
from sb3_rpd.common.offers import describe_instructions, describe_observations, how_to_use
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.stacking import stack, stack_inputs
from sb3_rpd.common.teacher import Teacher, ask_teacher
from sb3_rpd.common.teacher_outputs import CheckedOutput, check_teacher_output
from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.common.wording import cut


def set_up(teacher: Teacher | None, action_space: spaces.Space) -> None:
    """
    Make a teacher ready to be asked.

    :param teacher: The teacher; None where controllers in the environments give all actions.
    :param action_space: The action space of one environment.
    :raises TeacherError: if the teacher, or any student of SB3, cannot act in that space.
    """
    if np.any(getattr(action_space, "start", 0)):
        raise TeacherError(
            f"Stable-Baselines3 trains in {cut(action_space)} as if it began at 0, so a teacher's actions would be "
            "taken for others. Wrap the environment so that its actions begin at 0."
        )
    if teacher is not None:
        teacher.setup(action_space)


def ask_about(teacher: Teacher, infos: Sequence[TeacherInfo], action_space: spaces.Space) -> CheckedOutput:
    """
    Ask a teacher about some states and check what it says.

    :param teacher: Whom to ask.
    :param infos: What it may see of each state.
    :param action_space: The action space of one environment.
    :return: The answer.
    :raises TeacherError: if shape or dtype do not fit the action space, or if a distribution is missing that was promised.
    """
    output = check_teacher_output(ask_teacher(teacher, stack_inputs(infos)), action_space, len(infos))
    if teacher.gives_distribution and output.distribution is None:
        field = "std" if isinstance(action_space, spaces.Box) else "logits"
        raise TeacherError(
            f"The teacher has gives_distribution=True and gave actions only: return TeacherOutput(actions, {field}=...), or "
            "leave gives_distribution out."
        )
    return output


def take_actions(infos: Sequence[TeacherInfo], action_space: spaces.Space) -> CheckedOutput:
    """
    Check actions that controllers in the environments have given already.

    :param infos: Each with an ``"action"``.
    :param action_space: The action space of one environment.
    :return: The actions.
    :raises TeacherError: if shape or dtype do not fit the action space.
    """
    actions = stack("action", [info["action"] for info in infos])
    return check_teacher_output(actions, action_space, len(infos), "The controller in the environment")


def act_alone(teacher: Teacher | None, infos: Sequence[TeacherInfo], action_space: spaces.Space) -> np.ndarray:
    """
    What a teacher, or a controller in the environment, does in each environment where no student acts.

    :param teacher: Whom to ask where no controller has answered; None where all have.
    :param infos: What it may see of each state.
    :param action_space: The action space of one environment.
    :return: Actions of shape (n, \\*action_space.shape), as the environments take them.
    :raises TeacherError: if there is no teacher, or if a state is left unanswered.
    """
    finished, unanswered = ([row for row, info in enumerate(infos) if ("action" in info) is has] for has in (True, False))
    actions = np.empty((len(infos), get_action_dim(action_space)), np.float32)
    if finished:
        output = take_actions([infos[row] for row in finished], action_space)
        actions[finished] = _all_actions(output, "controller in the environment")
    if unanswered:
        if teacher is None:
            raise TeacherError("There is no teacher, and the environments have no controller that acts.")
        output = ask_about(teacher, [infos[row] for row in unanswered], action_space)
        actions[unanswered] = _all_actions(output, f"teacher {teacher!r}")
    actions = actions.reshape(len(infos), *(action_space.shape or ()))
    return actions if isinstance(action_space, spaces.Box) else actions.astype(np.int64)


def _all_actions(output: CheckedOutput, who: str) -> np.ndarray:
    if output.complaint is not None:
        raise TeacherError(f"The {who} cannot act alone: {output.complaint}.")
    return output.actions


def check_offer(infos: Sequence[TeacherInfo], action_space: spaces.Space) -> Questions | None:
    """
    Check what can be known before a teacher is asked: that the environments offer the same things, and that these are arrays.

    :param infos: What each environment offers.
    :param action_space: The action space of one environment.
    :return: What a teacher would be asked; None where controllers have answered all.
    :raises TeacherError: if something is wrong.
    """
    finished = [info for info in infos if "action" in info]
    if finished:
        take_actions(finished, action_space)
    open_questions = [info for info in infos if "action" not in info]
    if not open_questions:
        return None
    questions = stack_inputs(open_questions)
    for name, array in questions.named_observations.items():
        if array.dtype == object:
            first = cut(repr(np.ravel(array)[0]), 100)
            raise TeacherError(f"The environments offer {cut(repr(name), 60)} as {first}, which is no array of numbers.")
    return questions


def explain_failure(error: Exception, infos: Sequence[TeacherInfo]) -> str:
    """
    Say why a first query failed, to somebody who may have misunderstood what a teacher is given.

    :param error: What was raised.
    :param infos: What the query was about.
    :return: A sentence or two, without the last full stop.
    """
    if isinstance(error, TeacherError):
        return str(error).removesuffix(".")
    raised = f"it raised {cut(repr(error))}"
    if type(error) not in ERRORS_OF_OTHER_ARGUMENTS or any("action" in info for info in infos):
        return raised
    questions = stack_inputs(infos)
    return (
        f"{raised}. It was given {describe_observations(questions.observations)}, and "
        f"{describe_instructions(questions.instructions)}: {how_to_use(questions.observations)}"
    )
