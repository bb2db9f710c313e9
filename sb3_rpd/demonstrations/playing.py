"""Plays one episode: a teacher or a student acts, with or without noise, and what it sees and wants is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np

from sb3_rpd.common.asking import act_alone
from sb3_rpd.common.instructions import read_instruction
from sb3_rpd.common.stacking import stack_inputs
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.common.wrappers import TEACHER_INFO_KEY, ObservationSource
from sb3_rpd.demonstrations.episodes import Episode
from sb3_rpd.demonstrations.noise import ActionNoise
from sb3_rpd.demonstrations.observing import is_image, observe
from sb3_rpd.evaluation import Student
from sb3_rpd.teachers.action_masks import masks_of

#: The chance that a state is kept: a number, or a function of the environment that returns one.
Keep: TypeAlias = float | Callable[[gym.Env[Any, Any]], float]


@dataclass
class Player:
    """
    Plays episodes of one environment.

    :param env: The environment.
    :param actor: Who acts; None where a controller in the environment does.
    :param sources: What is recorded, as ``observe`` takes it.
    :param instruction: What the robot is told to do; None for what the environment says.
    :param noise: On the actions.
    :param keep: Which states are kept. The first of an episode always is.
    :param whole: Whether to keep the state after the last step, and the simulator's states, too.
    """

    env: gym.Env[Any, Any]
    actor: Teacher | Student | None
    sources: Mapping[str, ObservationSource] | None = None
    instruction: str | None = None
    noise: ActionNoise = field(default_factory=ActionNoise)
    keep: Keep = 1.0
    whole: bool = False

    def play(self, level: float, *, recording: int, attempt: int, seed: int) -> Episode:
        """
        Play one episode. What is random in it depends on the three numbers alone.

        :param level: Of the noise.
        :param recording: Which recording of its folder it belongs to.
        :param attempt: Which attempt of that recording it is.
        :param seed: The recording's.
        :return: The episode.
        """
        env_stream, noise_stream, keep_stream = np.random.SeedSequence([seed, recording, attempt]).spawn(3)
        # simulators take seeds of 31 bits
        env_seed = int(env_stream.generate_state(1)[0] >> 1)
        disturb = self.noise.start(level, self.env.action_space, np.random.default_rng(noise_stream))
        keep_rng = np.random.default_rng(keep_stream)
        observation, info = self.env.reset(seed=env_seed)
        instruction = self._find_instruction(info)
        notes = _Notes()
        ended = False
        while not ended:
            action = self._act(observation, info, is_first=notes.length == 0)
            kept = notes.length == 0 or keep_rng.random() < (self.keep(self.env) if callable(self.keep) else self.keep)
            self._note_state(notes, observation, kept)
            # an action without axes is a number for the environment
            executed = disturb(np.ravel(action)).reshape(np.shape(action))[()]
            observation, reward, terminated, truncated, info = self.env.step(executed)
            ended = bool(terminated or truncated)
            if kept:
                notes.add_step(action, executed, reward, ended, info)
            notes.length += 1
        self._note_state(notes, observation, self.whole)
        success = None if "is_success" not in info else bool(info["is_success"])
        return notes.to_episode(
            instruction=instruction, success=success, seed=env_seed, noise=level, recording=recording, attempt=attempt
        )

    def _act(self, observation: Any, info: dict[str, Any], *, is_first: bool) -> Any:
        if not isinstance(self.actor, Student):
            return act_alone(self.actor, [_offered(info, observation)], self.env.action_space)[0]
        masks = masks_of(self.env)[np.newaxis] if self.actor.takes_action_masks else None
        alone = stack_inputs([{"observation": observation}]).observations
        return self.actor.act(alone, np.array([is_first]), masks)[0]

    def _note_state(self, notes: "_Notes", observation: Any, kept: bool) -> None:
        if kept:
            notes.observations.append(observe(self.env, observation, self.sources))
        if self.whole and hasattr(self.env.unwrapped, "get_state"):
            notes.env_states.append(np.array(self.env.unwrapped.get_state(), dtype=np.float32))

    def _find_instruction(self, info: dict[str, Any]) -> str:
        if self.instruction is not None:
            return self.instruction
        offered = info.get(TEACHER_INFO_KEY, {})
        if "instruction" in offered:
            return read_instruction(offered["instruction"], "The environment's instruction")
        try:
            return read_instruction(self.env.get_wrapper_attr("instruction"), "The environment's instruction")
        except AttributeError:
            raise ValueError("The environment has no instruction: say what is done in it, record(instruction=...).") from None


def _offered(info: dict[str, Any], observation: Any) -> TeacherInfo:
    """What the teacher sees: what a ``TeacherActionWrapper`` offers, or the environment's observation."""
    return dict(info[TEACHER_INFO_KEY]) if TEACHER_INFO_KEY in info else {"observation": observation}


@dataclass
class _Notes:
    """What is written down during an episode: ``observations`` of the states that are kept, the rest of their steps."""

    length: int = 0
    observations: list[dict[str, np.ndarray]] = field(default_factory=list)
    env_states: list[np.ndarray] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def add_step(self, action: Any, executed: Any, reward: Any, ended: bool, info: dict[str, Any]) -> None:
        step = {
            "actions": np.ravel(action),
            "executed_actions": np.ravel(executed),
            "rewards": np.float32(reward),
            "dones": ended,
            "successes": bool(info.get("is_success", False)),
            "steps": self.length,
        }
        for name, value in step.items():
            self.columns.setdefault(name, []).append(value)

    def to_episode(self, **origin: Any) -> Episode:
        stacked = {name: np.stack([state[name] for state in self.observations]) for name in self.observations[0]}
        columns: dict[str, Any] = {name: np.array(values) for name, values in self.columns.items()}
        return Episode(
            images={name: array for name, array in stacked.items() if is_image(array[0])},
            vectors={name: array for name, array in stacked.items() if not is_image(array[0])},
            length=self.length,
            env_states=np.stack(self.env_states) if self.env_states else None,
            **columns,
            **origin,
        )
