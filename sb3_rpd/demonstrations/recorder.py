"""Records what a teacher or a student does, into a folder that can be added to."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from inspect import isfunction
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium as gym

from sb3_rpd.common.asking import set_up
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.wording import function_name, shortened
from sb3_rpd.common.wrappers import ObservationSource
from sb3_rpd.demonstrations.episodes import Episode
from sb3_rpd.demonstrations.files import only_writer
from sb3_rpd.demonstrations.lerobot.writing import LeRobotWriter
from sb3_rpd.demonstrations.maniskill import ManiSkillWriter
from sb3_rpd.demonstrations.noise import ActionNoise
from sb3_rpd.demonstrations.playing import Keep, Player
from sb3_rpd.demonstrations.recordings import EpisodeWriter, Settings
from sb3_rpd.evaluation import Student
from sb3_rpd.teachers.resolve import make_teacher

#: What ``format`` may say.
FORMATS = ("lerobot", "lerobot-video", "maniskill")

# Attempts in a row without the success that is wanted, after which none is expected
_PATIENCE = 200


@dataclass
class Recording:
    """
    How far a recording is.

    :param wanted: How many episodes it is to have.
    :param episodes: How many it has.
    :param frames: How many frames these have.
    :param attempts: How many were played for them.
    :param successes: How many of its episodes are successes; None where the environment does not say.
    """

    wanted: int
    episodes: int = 0
    frames: int = 0
    attempts: int = 0
    successes: int | None = 0

    def count(self, frames: int, attempt: int, success: bool | None) -> None:
        """
        Count an episode in.

        :param frames: Its frames.
        :param attempt: Which attempt it was, from 0.
        :param success: Whether it was one.
        """
        self.episodes += 1
        self.frames += frames
        self.attempts = attempt + 1
        self.successes = None if success is None or self.successes is None else self.successes + success


def record(
    env: gym.Env[Any, Any],
    folder: str | Path,
    *,
    teacher: Any = None,
    episodes: int = 100,
    instruction: str | None = None,
    observation: Mapping[str, ObservationSource] | None = None,
    noise: ActionNoise | None = None,
    keep: Keep = 1.0,
    successes_only: bool = False,
    format: str = "lerobot",
    fps: int | None = None,
    seed: int = 0,
    notes: Mapping[str, Any] | None = None,
    progress: Callable[[Recording], None] | None = None,
) -> Recording:
    """
    Let a teacher or a trained student act, and write down what it sees and does.

    The same call again, after whatever end, goes on where it was; one with other settings, or with another seed, adds its
    episodes to those in the folder. A process that is killed leaves no half-written episode.

    :param env: The environment. A teacher sees what it would see in training: what a ``TeacherActionWrapper`` offers, or
        else the observation; a student sees the observation.
    :param folder: Where to.
    :param teacher: Who acts: anything that ``make_teacher`` takes, or a trained ``Student``. None where a controller in the
        environment acts.
    :param episodes: How many there are to be in the end.
    :param instruction: What the robot is told to do; None for what the environment says: that of its
        ``TeacherActionWrapper``, or its attribute ``instruction``.
    :param observation: What is recorded of each state, by name: functions of the environment that return a color image
        (uint8, height x width x 3) or a vector. The vector that LeRobot calls the state has the name "state". None for the
        environment's own observation, with its rendered frame where that has no image.
    :param noise: On the actions: the noisy action acts, the clean one is the label. None for none.
    :param keep: The chance that a state is kept: a number, or a function of the environment. Only states that are kept are
        observed, so that images of others are not rendered. Frames of an episode are then not evenly spaced in time;
        the column ``step`` says where each belongs.
    :param successes_only: Whether episodes without success are thrown away and played again, differently.
    :param format: "lerobot" for LeRobot v3.0 with images as PNGs, "lerobot-video" for MP4 videos in their place, which are
        smaller and not exact; "maniskill" for ManiSkill's h5 and json, which have every state, that after the last action
        too, and the simulator's own states.
    :param fps: Actions a second; None for what the environment says.
    :param seed: Of all that is random here.
    :param notes: What else, in JSON's types, tells this recording from others in the folder: settings of the environment,
        which cannot be read off it.
    :param progress: Called at the start and after each episode.
    :return: What the recording has.
    :raises DemonstrationsError: if the folder holds something else, or episodes that these do not fit.
    :raises TeacherError: if the teacher does not fit the environment.
    :raises ValueError: if an argument is out of its range, or if no episode is a success where only successes are wanted.
    """
    noise = ActionNoise() if noise is None else noise
    _check(episodes, keep, format)
    actor = _ready(teacher, env)
    player = Player(env, actor, observation, instruction, noise, keep, whole=format == "maniskill")
    settings: Settings = {
        "env": str(env),
        "teacher": repr(actor),
        "instruction": instruction,
        "observation": None if observation is None else list(observation),
        "noise": asdict(noise),
        "keep": function_name(keep) if isfunction(keep) else repr(keep),
        "successes_only": successes_only,
        "seed": seed,
        "notes": dict(notes or {}),
    }
    folder = Path(folder)
    with only_writer(folder):
        writer: EpisodeWriter
        if format == "maniskill":
            writer = ManiSkillWriter(folder, env)
        else:
            writer = LeRobotWriter(folder, fps=fps or _fps(env), robot=_name(env), video=format == "lerobot-video")
        try:
            return _record(player, writer, settings, episodes, progress)
        finally:
            writer.finish()


def _record(
    player: Player,
    writer: EpisodeWriter,
    settings: Settings,
    episodes: int,
    progress: Callable[[Recording], None] | None,
) -> Recording:
    number = writer.begin(settings)
    recording = Recording(episodes)
    for origin in writer.origins(number):
        recording.count(origin["frames"], origin["attempt"], origin["success"])
    report = progress or (lambda recording: None)
    report(recording)
    levels = player.noise.levels
    while recording.episodes < episodes:
        level = float(levels[recording.episodes % len(levels)])
        for attempt in count(recording.attempts):
            episode = player.play(level, recording=number, attempt=attempt, seed=settings["seed"])
            if not settings["successes_only"] or _is_success(episode):
                break
            if attempt - recording.attempts >= _PATIENCE:
                raise ValueError(
                    f"Only successes are wanted, and {_PATIENCE} attempts in a row at a noise level of {level} were none."
                )
        writer.add(episode)
        recording.count(len(episode), episode.attempt, episode.success)
        report(recording)
    return recording


def _ready(actor: Any, env: gym.Env[Any, Any]) -> Teacher | Student | None:
    if isinstance(actor, Student):
        actor.setup(env)
        return actor
    teacher = None if actor is None else make_teacher(actor)
    set_up(teacher, env.action_space)
    return teacher


def _is_success(episode: Episode) -> bool:
    if episode.success is None:
        raise ValueError('Only successes are wanted, and the environment does not say which they are, in info["is_success"].')
    return episode.success


def _check(episodes: int, keep: Keep, format: str) -> None:
    if episodes < 1:
        raise ValueError(f"episodes={episodes}: at least one is needed.")
    if not callable(keep) and not 0 < keep <= 1:
        raise ValueError(f"keep={keep} is not a share above 0 and at most 1.")
    if format not in FORMATS:
        raise ValueError(f"format={format!r} is none of {shortened(FORMATS)}.")
    if format == "maniskill" and keep != 1.0:
        raise ValueError('format="maniskill" has every state: leave keep out.')


def _name(env: gym.Env[Any, Any]) -> str:
    return type(env.unwrapped).__name__ if env.spec is None else env.spec.id


def _fps(env: gym.Env[Any, Any]) -> int:
    """How many actions a second the environment takes: by ManiSkill's name for it, or by gymnasium's."""
    rate = getattr(env.unwrapped, "control_freq", None) or env.metadata.get("render_fps")
    if rate is None:
        raise ValueError("The environment does not say how many actions it takes a second: say it, record(fps=...).")
    return round(float(rate))
