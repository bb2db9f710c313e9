"""Writes ManiSkill's format: ``trajectory.h5`` with a group for each episode, and ``trajectory.json`` beside it."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.demonstrations.episodes import Episode
from sb3_rpd.demonstrations.errors import DemonstrationsError
from sb3_rpd.demonstrations.files import write_json, write_whole
from sb3_rpd.demonstrations.recordings import RecordingList, Settings

_H5, _JSON = "trajectory.h5", "trajectory.json"

# Episodes that are finished and not yet in the one file, each in a file of its own
_PARTS = ".episodes"
_ENTRY = "entry"


class ManiSkillWriter:
    """
    A folder with ``trajectory.h5`` and ``trajectory.json``.

    A file that a killed process was writing to cannot be read, so an episode is a file of its own until ``finish`` puts it
    into the new version of the one file.

    :param folder: The folder; what is there is gone on with.
    :param env: The environment, for the description of it.
    :raises DemonstrationsError: if the folder holds another environment's episodes, or something else.
    """

    def __init__(self, folder: Path, env: gym.Env[Any, Any]) -> None:
        self._h5py = import_optional("h5py", extra="demonstrations")
        self._folder = folder
        self._recordings = RecordingList(folder, "recordings.json")
        self._description: dict[str, Any] = {"env_info": _describe(env), "commit_info": None, "episodes": []}
        if (folder / _JSON).exists():
            there = json.loads((folder / _JSON).read_text(encoding="utf-8"))
            if there["env_info"] != self._description["env_info"]:
                raise DemonstrationsError(
                    f"{folder} holds episodes of {there['env_info']['env_id']} in another setting, and this format has one "
                    "environment a folder: take another folder."
                )
            self._description = there
        self._n_merged = len(self._description["episodes"])
        self._entries: list[dict[str, Any]] = list(self._description["episodes"])
        while (part := self._part(len(self._entries))).exists():
            with self._h5py.File(part, "r") as file:
                self._entries.append(json.loads(file.attrs[_ENTRY]))

    def begin(self, settings: Settings) -> int:
        return self._recordings.begin(settings)

    def origins(self, recording: int) -> list[dict[str, Any]]:
        return [entry["origin"] for entry in self._entries if entry["origin"]["recording"] == recording]

    def add(self, episode: Episode) -> None:
        entry = {
            "episode_id": len(self._entries),
            "episode_seed": episode.seed,
            "reset_kwargs": {"seed": episode.seed},
            "control_mode": self._description["env_info"]["env_kwargs"].get("control_mode"),
            "elapsed_steps": episode.length,
            "info": {"success": episode.success},
            "instruction": episode.instruction,
            "origin": {**episode.origin, "frames": len(episode)},
        }
        write_whole(self._part(len(self._entries)), lambda path: self._write_part(path, episode, entry))
        self._entries.append(entry)

    def finish(self) -> None:
        if len(self._entries) > self._n_merged:
            write_whole(self._folder / _H5, self._write_merged)
            write_json(self._folder / _JSON, {**self._description, "episodes": self._entries})
            self._n_merged = len(self._entries)
        shutil.rmtree(self._folder / _PARTS, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self._folder / _PARTS / f"{_group(number)}.h5"

    def _write_part(self, path: Path, episode: Episode, entry: dict[str, Any]) -> None:
        with self._h5py.File(path, "w") as file:
            file.attrs[_ENTRY] = json.dumps(entry)
            group = file.create_group(_group(entry["episode_id"]), track_order=True)
            for name, images in episode.images.items():
                group.create_dataset(f"obs/image/{name}/rgb", data=images, compression="gzip", compression_opts=5)
            for name, rows in episode.vectors.items():
                group.create_dataset(f"obs/{name}", data=rows)
            columns = {
                "actions": episode.actions,
                "executed_actions": episode.executed_actions,
                "rewards": episode.rewards,
                "success": episode.successes,
                "env_states": episode.env_states,
            }
            for name, column in columns.items():
                if column is not None:
                    group.create_dataset(name, data=column)

    def _write_merged(self, path: Path) -> None:
        if self._n_merged:
            shutil.copyfile(self._folder / _H5, path)
        with self._h5py.File(path, "a" if self._n_merged else "w") as file:
            for number in range(self._n_merged, len(self._entries)):
                # left by a process that was killed before it had written the JSON file
                file.pop(_group(number), None)
                with self._h5py.File(self._part(number), "r") as part:
                    part.copy(_group(number), file)


def _group(number: int) -> str:
    return f"traj_{number}"


def _describe(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """What ManiSkill's tools make the environment with; of its arguments those that JSON can hold."""
    spec = env.unwrapped.spec
    kwargs = {} if spec is None else {name: value for name, value in spec.kwargs.items() if _is_plain(value)}
    return {
        "env_id": type(env.unwrapped).__name__ if spec is None else spec.id,
        "max_episode_steps": None if spec is None else spec.max_episode_steps,
        "env_kwargs": kwargs,
    }


def _is_plain(value: Any) -> bool:
    return value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, np.generic))
