"""
Do the runs that are missing.

    python -m experiments.run fast                       # one process
    python -m experiments.run maniskill2 --processes 2
    python -m experiments.run maniskill2 --methods ppo rpd --only LiftCube-v0 --seeds 0
    python -m experiments.run fast --list                # what is done and what is missing
    python -m experiments.run fast --steps 1600 --results runs/trial      # does it run? too short to learn anything

It may be killed at any moment and started again: a result is written when its run is complete, and a run whose result is
there is not done again, unless its declared settings have changed, or the network that its teacher is.
"""

import argparse
import fcntl
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

# Before numpy and torch are imported, here and in the processes to come
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch as th

from experiments.results import RESULTS, clear_unfinished, is_done, path_of, write
from experiments.runs import Run, runs_of
from experiments.train import train
from experiments.worlds import WORLDS


def die_with_parent() -> None:
    """Runs in each worker: one thread of computation, and no life of its own after the runner was killed."""
    th.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def do(run: Run, folder: Path) -> str:
    """Train, and write the result. :return: A line about it."""
    result = train(run)
    write(run, result, folder)
    counts = ", ".join(f"{name} {result[name]['successes']}" for name in ("last", "best") if name in result)
    return f"{counts} of {result['last']['episodes']}, {result['seconds']:.0f} s"


@contextmanager
def only_runner(suite: str, folder: Path) -> Iterator[None]:
    """Held while a suite is worked on; the operating system lets it go whatever becomes of the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{suite}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"Another runner is at work on {suite!r} in {folder}: wait for it, or end it.") from None
        yield


def do_all(runs: Sequence[Run], processes: int, folder: Path) -> int:
    """:return: How many of the runs failed."""
    failed = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, die_with_parent) as pool:
        futures = {pool.submit(do, run, folder): run for run in runs}
        for done, future in enumerate(as_completed(futures), start=1):
            name = path_of(futures[future], Path())
            try:
                print(f"{done} of {len(runs)}: {name}: {future.result()}", flush=True)
            except BrokenProcessPool:
                raise SystemExit("A worker was killed. What is finished is kept: start again to go on.") from None
            except Exception:
                failed += 1
                print(f"{done} of {len(runs)}: {name} FAILED", file=sys.stderr)
                traceback.print_exc()
    return failed


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=WORLDS)
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="how many runs at a time, on a core each")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="only these methods")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="only these seeds")
    parser.add_argument("--only", metavar="TEXT", help="only runs whose file name holds this")
    parser.add_argument("--steps", type=int, metavar="N", help="train for N steps and not for as long as declared")
    parser.add_argument("--list", action="store_true", help="say what is done and what is missing, and do nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results are kept")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    length = {} if options.steps is None else {"steps": options.steps}
    wanted = [
        replace(run, **length) if run.steps else run
        for run in runs_of(options.suite)
        if (options.methods is None or run.method in options.methods)
        and (options.seeds is None or run.seed in options.seeds)
        and (options.only is None or options.only in str(path_of(run, Path())))
    ]
    missing = [run for run in wanted if not is_done(run, options.results)]
    if options.list:
        for run in missing:
            print(f"missing: {path_of(run, Path())}")
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are done, {len(missing)} are missing.", flush=True)
    if options.list or not missing:
        return
    with only_runner(options.suite, options.results):
        clear_unfinished(options.suite, options.results)
        if do_all(missing, options.processes, options.results):
            raise SystemExit("Some runs failed, see above. Start again to try them once more.")


if __name__ == "__main__":
    main()
