"""``sb3-rpd record``: demonstrations of a teacher or of a trained student."""

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from sb3_rpd.cli.options import (
    FACTORY_HELP,
    STATISTICS_HELP,
    STUDENT_HELP,
    TEACHER_HELP,
    Commands,
    HelpFormatter,
    example,
    say,
    search_current_folder,
)
from sb3_rpd.cli.progress import Progress
from sb3_rpd.common.factories import find_factory
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.wording import cut
from sb3_rpd.common.wrappers import ObservationSource, TeacherActionWrapper
from sb3_rpd.demonstrations import FORMATS, ActionNoise, MoreNearCube, Recording, record
from sb3_rpd.envs import (
    CameraMoveWrapper,
    CubeJumpWrapper,
    camera_frame,
    make_maniskill2_env,
    privileged_state,
    proprioception,
    task_instruction,
)
from sb3_rpd.envs.cameras import HUMAN_CAMERA
from sb3_rpd.evaluation import Student
from sb3_rpd.teachers import SCRIPTED_TASKS
from sb3_rpd.training.settings import TrainingSettings
from sb3_rpd.training.students import find_student
from sb3_rpd.training.teachers import SCRIPTED, find_teacher

# Of pd_ee_delta_pose: a rotation is noisy by half as much as a translation, and the gripper by flips alone
_NOISE_WEIGHTS = (1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.0)
_GRIPPER_FLIPS = 0.08
_IMAGE_SIZE = 224


def add(commands: Commands) -> None:
    """:param commands: Where the command is declared."""
    parser = commands.add_parser(
        "record",
        help="write what a teacher or a student does as demonstrations",
        description="Let a teacher or a trained student act, and write down what it sees and wants to do.\n"
        "The same command again goes on where it was; another one into the same folder adds to it.",
        epilog=example(
            "sb3-rpd record --task LiftCube-v0 --episodes 150 --noise 0.0,0.2,0.4 --camera human --size 224 --to demos/"
        ),
        formatter_class=HelpFormatter,
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--task", help="a task of ManiSkill2")
    where.add_argument("--env", help=f"or what makes an environment: {FACTORY_HELP}")
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--teacher", help=f"who acts: {TEACHER_HELP}; without one, the task's scripted controller, or that in --env"
    )
    who.add_argument("--student", type=Path, help=f"or a student: {STUDENT_HELP}")
    parser.add_argument("--vec-normalize", type=Path, help=STATISTICS_HELP)
    parser.add_argument("--to", type=Path, required=True, help="the folder to write to, or to add to")
    parser.add_argument("--format", choices=FORMATS, default="lerobot", help="how to write: %(choices)s")
    parser.add_argument("--episodes", type=int, default=100, help="how many there are to be in the end")
    parser.add_argument("--successes-only", action="store_true", help="play episodes without success again, differently")
    parser.add_argument("--instruction", help="what the robot is told to do, in place of what the environment says")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random")
    states = parser.add_argument_group("which states")
    states.add_argument(
        "--noise",
        type=_numbers,
        default="0.0",
        help="its levels, which episodes take in turn; the noisy action acts, the clean one is the label",
    )
    states.add_argument("--gripper-flips", action="store_true", help="noise opens and closes the gripper, too")
    states.add_argument(
        "--keep",
        type=_numbers,
        default="1.0",
        help="share of the states to keep, others are not rendered; a second one for those near the cube",
    )
    task = parser.add_argument_group("with --task")
    task.add_argument("--camera", help=f"{HUMAN_CAMERA}, or one of the task's cameras; without it, {HUMAN_CAMERA}")
    task.add_argument("--size", type=int, help=f"side of the images in pixels; without it, the student's, or {_IMAGE_SIZE}")
    task.add_argument(
        "--mesh-reduction", type=float, help="share of the robot's triangles that is not drawn; with 0.9 a frame costs a third"
    )
    task.add_argument("--max-steps", type=int, help="time limit of an episode, in place of the task's own")
    task.add_argument("--move-cube", type=float, help="share of the episodes in which the cube jumps")
    task.add_argument(
        "--move-camera",
        type=float,
        help=f"how far the {HUMAN_CAMERA} camera may be from its place, anew in each episode, in meters",
    )
    parser.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """
    :param parser: For complaints about the command line.
    :param arguments: The command line.
    :return: The exit status.
    """
    _check(parser, arguments)
    search_current_folder()
    actor = _find_actor(arguments)
    env, sources = _make_env(parser, arguments, actor)
    try:
        recording = record(
            env,
            arguments.to,
            teacher=actor,
            episodes=arguments.episodes,
            instruction=arguments.instruction,
            observation=sources,
            noise=ActionNoise(
                arguments.noise,
                weights=_NOISE_WEIGHTS if arguments.task else None,
                gripper_flips=_GRIPPER_FLIPS if arguments.gripper_flips else 0.0,
            ),
            keep=arguments.keep[0] if len(arguments.keep) == 1 else MoreNearCube(*reversed(arguments.keep)),
            successes_only=arguments.successes_only,
            format=arguments.format,
            seed=arguments.seed,
            notes=_notes(arguments),
            progress=_Lines(),
        )
    except KeyboardInterrupt:
        say(f"\n{arguments.to}: stopped; the same command goes on")
        return 130
    finally:
        env.close()
        if isinstance(actor, Teacher):
            actor.close()
    print(f"{arguments.to}: {recording.episodes} episodes, {_summary(recording)}")
    return 0


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.vec_normalize and not arguments.student:
        parser.error("--vec-normalize is a student's: name it, --student")
    if len(arguments.keep) > 2:
        parser.error("--keep takes one share, or two: that of all states, and that of those near the cube")
    if arguments.task is None:
        for name in ("camera", "size", "mesh_reduction", "max_steps", "move_cube", "move_camera"):
            if getattr(arguments, name) is not None:
                parser.error(f"--{name.replace('_', '-')} goes with --task: --env is made as it is")
    elif arguments.move_camera and arguments.camera not in (None, HUMAN_CAMERA):
        parser.error(
            f"--move-camera moves the {HUMAN_CAMERA} camera, and --camera is {arguments.camera}: leave one of them out"
        )
    elif not (arguments.teacher or arguments.student or arguments.task in SCRIPTED_TASKS):
        parser.error(f"{arguments.task} has no scripted controller: name a --teacher or a --student")


def _find_actor(arguments: argparse.Namespace) -> Teacher | Student | None:
    if arguments.student:
        return find_student(arguments.student, arguments.vec_normalize)
    name = arguments.teacher or (SCRIPTED if arguments.task else None)
    return find_teacher(TrainingSettings(arguments.task or arguments.env, teacher=name)).teacher


def _make_env(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, actor: Teacher | Student | None
) -> tuple[gym.Env[Any, Any], Mapping[str, ObservationSource] | None]:
    """The environment, and what is recorded of it."""
    if arguments.task is None:
        env = find_factory(arguments.env, "environment")()
        if not isinstance(env, gym.Env):
            parser.error(f"--env {arguments.env} makes {cut(repr(env), 60)}, and one gymnasium environment is needed")
        return env, None
    camera = arguments.camera or HUMAN_CAMERA
    obs, size = _student_view(actor) if isinstance(actor, Student) else ("state", _IMAGE_SIZE)
    env = make_maniskill2_env(
        arguments.task,
        obs,
        camera=camera,
        image_size=arguments.size or size,
        mesh_reduction=arguments.mesh_reduction or 0.0,
        render_mode="rgb_array",
        max_episode_steps=arguments.max_steps,
        instruction=arguments.instruction,
        wrap=partial(_wrap, arguments=arguments),
    )
    return env, {camera: camera_frame, "state": proprioception}


def _wrap(env: gym.Env[Any, Any], arguments: argparse.Namespace) -> gym.Env[Any, Any]:
    if arguments.move_cube:
        env = CubeJumpWrapper(env, arguments.move_cube)
    if arguments.move_camera:
        env = CameraMoveWrapper(env, arguments.move_camera)
    if arguments.student:
        return env
    offered: dict[str, ObservationSource] = {"privileged": privileged_state} if arguments.task in SCRIPTED_TASKS else {}
    if arguments.teacher:
        offered.update(frame=camera_frame, state=proprioception)
    return TeacherActionWrapper(env, observation=offered, instruction=task_instruction)


def _student_view(student: Student) -> tuple[str, int]:
    """What a student observes, in the words of ``make_maniskill2_env``, and the side of its images."""
    space = student.model.observation_space
    if isinstance(space, spaces.Dict):
        return "rgb+state", _side(space["rgb"])
    return ("rgb", _side(space)) if len(space.shape or ()) == 3 else ("state", _IMAGE_SIZE)


def _side(image: spaces.Space) -> int:
    """Of a square image, channels first or last."""
    return int(sorted(image.shape or (_IMAGE_SIZE,))[-1])


def _notes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Which environment and which teacher it is, as far as these cannot say it themselves."""
    names = ("task", "env", "camera", "size", "mesh_reduction", "max_steps", "teacher", "student", "vec_normalize")
    return {name: str(value) for name in names if (value := getattr(arguments, name)) is not None}


class _Lines:
    """Shows how far a recording is."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __call__(self, recording: Recording) -> None:
        if self._progress is None:
            self._progress = Progress(recording.wanted, "episodes", done=recording.episodes)
        self._progress.show(recording.episodes, _summary(recording))


def _summary(recording: Recording) -> str:
    successes = "" if recording.successes is None else f", {recording.successes} successes"
    failed = recording.attempts - recording.episodes
    thrown_away = f", {failed} attempts thrown away" if failed else ""
    return f"{recording.frames} frames{successes}{thrown_away}"


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))
