"""Recordings whose process is killed (SIGKILL), at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from lerobot_specification import check_lerobot
from toy_painted_env import PaintedEnv, to_the_middle

from sb3_rpd.demonstrations import FORMATS, ActionNoise, read_demonstrations, record

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
EPISODES = 4


def h5_content(folder):
    found = {}
    with h5py.File(folder / "trajectory.h5", "r") as file:
        file.visititems(lambda name, item: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None)
    return found


def lerobot_content(folder):
    check_lerobot(folder)
    frames = read_demonstrations(folder)
    images = np.stack([frames.image(index) for index in range(len(frames))])
    return {"actions": frames.actions, "states": frames.states, "episodes": frames.episodes, "images": images}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with a recording in each format, whose processes were killed, and how many were."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, str(Path(__file__).with_name("killed_recording.py")), str(folder), str(EPISODES)]
    finished = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return folder, json.loads(finished.stdout)


@pytest.mark.parametrize("format", FORMATS)
def test_a_recording_that_is_killed_at_each_moment_is_the_same_in_the_end(format, killed, tmp_path):
    folder, kills = killed
    assert kills[format] >= 5
    record(PaintedEnv(), tmp_path, teacher=to_the_middle, episodes=EPISODES, noise=ActionNoise((0.0, 0.5)), format=format)
    read = h5_content if format == "maniskill" else lerobot_content
    found, expected = read(folder / format), read(tmp_path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert not list((folder / format).rglob("*.unfinished"))


@pytest.mark.slow
def test_the_command_goes_on_after_a_kill_from_outside(tmp_path):
    toy = ["--env", "toy_painted_env:PaintedEnv", "--teacher", "toy_painted_env:make_teacher"]
    command = [sys.executable, "-m", "sb3_rpd", "record", *toy, "--to", "demos"]
    endless = [*command, "--episodes", "100000"]
    with subprocess.Popen(endless, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        table = tmp_path / "demos/meta/episodes/chunk-000/file-000.parquet"
        while not table.exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    n_there = len(np.unique(read_demonstrations(tmp_path / "demos").episodes))
    assert n_there >= 1
    enough = [*command, "--episodes", str(n_there + 2)]
    finished = subprocess.run(enough, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert finished.stdout.startswith(f"demos: {n_there + 2} episodes")
    check_lerobot(tmp_path / "demos")
