"""
What a picture costs that is rendered in software: ManiSkill2's LiftCube through the "human" camera, with sapien's own shaders
and with those of this package, with Mesa's own choice of threads and with none, and with fewer triangles of the robot.

Each way has a process of its own, since Mesa starts its threads when it is first used; all take turns, round by round. They
must give the same pictures, but for fewer triangles. Time is CPU time of the process.

    python benchmarks/frame_cost.py [--rounds 15] [--frames 15] [--sizes 64 224 512] [--json FILE]
"""

import argparse
import hashlib
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import numpy as np
from measuring import spread, spread_of_ratios, take_turns, write_record

from sb3_rpd.envs import make_maniskill2_env


class Way(NamedTuple):
    """
    :param options: Further arguments of ``make_maniskill2_env``.
    :param threads: What Mesa is told of threads; None for nothing.
    """

    options: dict[str, Any]
    threads: str | None


def ways() -> dict[str, Way]:
    # Mesa starts as many threads as there are cores
    cores = str(len(os.sched_getaffinity(0)))
    return {
        "sapien's shaders, Mesa's threads": Way({"shader_dir": "trivial"}, cores),
        "sapien's shaders": Way({"shader_dir": "trivial"}, "0"),
        "shaders with textures": Way({"robot": "panda"}, None),
        "shaders without textures": Way({}, None),
        "the same, fewer triangles": Way({"mesh_reduction": 0.9}, None),
    }


def work(connection: Connection, way: Way, size: int) -> None:
    """For each message: render some frames, say how long one took and what all so far looked like."""
    os.environ.update({} if way.threads is None else {"LP_NUM_THREADS": way.threads})
    env = make_maniskill2_env("LiftCube-v0", render_mode="rgb_array", image_size=size, renderer="software", **way.options)
    env.reset(seed=0)
    generator, pictures = np.random.default_rng(0), hashlib.sha256()
    while n_frames := connection.recv():
        seconds = 0.0
        for _ in range(n_frames):
            if any(env.step(generator.uniform(-1, 1, 7).astype(np.float32))[2:4]):
                env.reset()
            started = time.process_time()
            frame: Any = env.render()
            seconds += time.process_time() - started
            pictures.update(frame.tobytes())
        connection.send((seconds / n_frames, pictures.hexdigest()))


def compare(rounds: int, n_frames: int, size: int) -> dict[str, Any]:
    """Each way's time for a frame of one size, and how many times as fast it is as the first."""
    context = multiprocessing.get_context("spawn")
    connections = {}
    for name, way in ways().items():
        connections[name], theirs = context.Pipe()
        context.Process(target=work, args=(theirs, way, size), daemon=True).start()

    def turn(connection: Connection) -> tuple[float, str]:
        connection.send(n_frames)
        seconds, pictures = connection.recv()
        return seconds, pictures

    results = take_turns({name: lambda c=connection: turn(c) for name, connection in connections.items()}, rounds)
    for connection in connections.values():
        connection.send(0)
    pictures = {name: turns[-1][1] for name, turns in results.items()}
    exact = {pictures[name] for name, way in ways().items() if "mesh_reduction" not in way.options}
    if len(exact) > 1:
        raise RuntimeError(f"at {size} pixels the ways gave different pictures")
    seconds = {name: [time for time, _ in turns] for name, turns in results.items()}
    first = next(iter(seconds.values()))
    return {
        name: {
            "milliseconds": spread(1000 * np.array(times)).as_json(),
            "speed_over_first": spread_of_ratios(first, times).as_json(),
            "is_exact": pictures[name] in exact,
        }
        for name, times in seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--frames", type=int, default=15, help="frames in each turn")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224, 512], help="sides of the frames in pixels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    args = parser.parse_args()

    results = {}
    for size in args.sizes:
        results[str(size)] = compare(args.rounds, args.frames, size)
        print(f"{size} x {size} pixels: ms of CPU for a frame, and the speed over the first row's")
        for name, row in results[str(size)].items():
            time_, speed = row["milliseconds"], row["speed_over_first"]
            print(
                f"    {name:34s} {time_['median']:6.2f} ({time_['quartiles'][0]:.2f} to {time_['quartiles'][1]:.2f})   "
                f"{speed['median']:.2f} ({speed['quartiles'][0]:.2f} to {speed['quartiles'][1]:.2f})"
            )
    write_record(args.json, {"rounds": args.rounds, "frames": args.frames}, results)


if __name__ == "__main__":
    main()
