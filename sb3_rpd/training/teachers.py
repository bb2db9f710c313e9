"""Teachers by name, and what each of them has to see."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.envs import human_frame, privileged_state, task_instruction
from sb3_rpd.envs.simulators import GymEnv
from sb3_rpd.teachers import SCRIPTED_TASKS, OpenVLATeacher, ScriptedTeacher, make_teacher
from sb3_rpd.training.environments import is_function, is_maniskill2_task
from sb3_rpd.training.settings import TrainingSettings

#: The name of the scripted controller of a ManiSkill2 task.
SCRIPTED = "scripted"


class NamedTeacher(NamedTuple):
    """
    A teacher, and the environments that it needs.

    :param teacher: The teacher, None where a controller in the environment gives the labels.
    :param wrap: Put around each environment, None for nothing.
    :param needs_frames: Whether the environments have to render.
    """

    teacher: Teacher | None
    wrap: Callable[[GymEnv], GymEnv] | None = None
    needs_frames: bool = False


def find_teacher(settings: TrainingSettings) -> NamedTeacher:
    """
    Make the teacher of a training.

    :param settings: The settings.
    :return: The teacher.
    :raises ValueError: if there is none of that name, or not for that environment.
    :raises TeacherError: if a function that is named makes none.
    """
    name = settings.teacher
    if settings.teacher_kwargs and (name is None or not _is_checkpoint(name)):
        raise ValueError("teacher_kwargs are for the folder of an OpenVLA checkpoint: other teachers take none.")
    if name is None:
        return NamedTeacher(None)
    if _is_checkpoint(name):
        shown = partial(TeacherActionWrapper, observation={"frame": human_frame}, instruction=task_instruction)
        wrap = shown if is_maniskill2_task(settings.env) else TeacherActionWrapper
        return NamedTeacher(OpenVLATeacher(name, **settings.teacher_kwargs), wrap, needs_frames=True)
    if name == SCRIPTED:
        if settings.env not in SCRIPTED_TASKS:
            raise ValueError(f"There is no scripted teacher for {settings.env!r}, only for {', '.join(SCRIPTED_TASKS)}.")
        shown = partial(TeacherActionWrapper, observation={"privileged": privileged_state})
        return NamedTeacher(ScriptedTeacher(settings.env), shown)
    if not is_function(name):
        raise ValueError(
            f'{name!r} is no teacher: name a function ("package.module:function"), "{SCRIPTED}", or the folder of an OpenVLA '
            "checkpoint, which has a config.json."
        )
    return NamedTeacher(make_teacher(name))


def _is_checkpoint(name: str) -> bool:
    return (Path(name) / "config.json").is_file()
