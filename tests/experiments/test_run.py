"""The runner: what a result holds, a runner that is killed and started again, settings that have changed, failures."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import results, run, train
from experiments.runs import Run
from experiments.worlds import WORLDS

ROOT = Path(__file__).parents[2]
QUICK = Run("fast", "reach", "offset", "dense", 0.99, "rpd", seed=0, steps=1600)


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "experiments.run", "fast", "--steps", "1600", "--results", str(folder), *options]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(runner: subprocess.Popen[str]) -> str:
    output, _ = runner.communicate(timeout=240)
    assert runner.returncode == 0, output
    return output


def members(session: int) -> list[int]:
    """Processes of a session that are still there."""
    alive = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, _, _, of_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(of_session) == session and state != "Z":
                alive.append(int(folder.name))
    return alive


@pytest.mark.slow
def test_killed_runner_goes_on_where_it_was(tmp_path: Path) -> None:
    options = ("--only", "offset_dense", "--methods", "rpd", "dagger", "--seeds", "0", "1", "2")
    runner = start(tmp_path, *options)
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.rglob("*.json")):
            assert runner.poll() is None, runner.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.communicate()
    # The workers see that their parent is gone
    deadline = time.monotonic() + 60
    while members(runner.pid):
        assert time.monotonic() < deadline, "workers outlive their runner"
        time.sleep(0.1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert 1 <= len(before) < 6
    for content in before.values():
        assert json.loads(content)["last"]["episodes"] == 128
    (next(iter(before)).parent / "seed-9.123.unfinished").write_text("{")

    output = finish(start(tmp_path, *options))
    assert f"{len(before)} of 6 runs are done, {6 - len(before)} are missing." in output
    after = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert len(after) == 6
    assert before.items() <= after.items()
    assert not list(tmp_path.rglob("*.unfinished"))
    assert "6 of 6 runs are done, 0 are missing." in finish(start(tmp_path, *options))


@pytest.fixture(scope="module")
def quick_result() -> dict[str, Any]:
    return train.train(QUICK)


def test_result_says_what_the_environment_reports_and_what_was_counted(quick_result: dict[str, Any]) -> None:
    assert quick_result["reward_mode"] == "dense"
    # one rollout of 50 steps in 32 environments, each state labeled
    assert quick_result["queries"] == 1600
    assert [steps for steps, _ in quick_result["curve"]] == [1600]
    assert quick_result["selection"][0][0] == quick_result["best"]["found_at"] == 1600
    assert quick_result["last"]["episodes"] == quick_result["best"]["episodes"] == 128
    # there was one evaluation to choose from
    assert quick_result["best"]["successes"] == quick_result["last"]["successes"]
    assert quick_result["versions"]["stable_baselines3"]
    assert len(results.as_text(quick_result)) < 4000


def test_same_run_same_result(quick_result: dict[str, Any]) -> None:
    again = train.train(QUICK)
    assert {**again, "seconds": 0} == {**quick_result, "seconds": 0}
    assert {**train.train(replace(QUICK, seed=1)), "seconds": 0} != {**quick_result, "seconds": 0}


def test_teacher_alone_is_counted() -> None:
    result = train.train(Run("fast", "reach", "offset", "sparse", 1.0, "teacher", seed=0, steps=0))
    assert result["last"]["episodes"] == 128
    assert result["last"]["successes"] < 8


def test_result_is_found_again_until_its_settings_change(
    quick_result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert results.find(QUICK, tmp_path) is None
    results.write(QUICK, quick_result, tmp_path)
    found = results.find(QUICK, tmp_path)
    assert found is not None
    assert found["run"] == vars(QUICK)
    assert found["last"] == quick_result["last"]
    assert results.find(replace(QUICK, seed=1), tmp_path) is None
    changed = replace(WORLDS["fast"], settings={**WORLDS["fast"].settings, "n_epochs": 5})
    monkeypatch.setitem(WORLDS, "fast", changed)
    assert results.find(QUICK, tmp_path) is None


def test_a_result_stays_when_an_argument_gets_another_field_until_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(QUICK, method="recommended")
    results.write(run, {}, tmp_path)
    path = results.path_of(run, tmp_path)
    younger = ", random_shift=0)"
    assert younger in path.read_text()
    path.write_text(path.read_text().replace(younger, ")"))
    assert results.find(run, tmp_path) is not None
    for changed, stays in (({"random_shift": 0}, True), ({"random_shift": 1}, False), ({"batch_size": 3}, False)):
        monkeypatch.setitem(WORLDS, "fast", replace(WORLDS["fast"], label_memory=changed))
        assert (results.find(run, tmp_path) is not None) == stays


def test_result_of_another_network_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(error: str) -> str:
        raise FileNotFoundError

    ppo = replace(QUICK, method="ppo", error=None)
    results.write(QUICK, {"teacher": "a1"}, tmp_path)
    results.write(ppo, {}, tmp_path)
    for identify, is_done in ((None, True), (lambda error: "a1", True), (lambda error: "b2", False), (gone, True)):
        monkeypatch.setitem(WORLDS, "fast", replace(WORLDS["fast"], identify_teacher=identify))
        assert results.is_done(QUICK, tmp_path) == is_done
        # what has no teacher does not depend on it
        assert results.is_done(ppo, tmp_path)
    assert not results.is_done(replace(QUICK, seed=1), tmp_path)


def test_interrupted_write_leaves_no_result(
    quick_result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        results.write(QUICK, quick_result, tmp_path)
    assert results.find(QUICK, tmp_path) is None
    assert len(list(tmp_path.rglob("*.unfinished"))) == 1
    results.clear_unfinished("fast", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_second_runner_is_refused(tmp_path: Path) -> None:
    with (
        run.only_runner("fast", tmp_path),
        pytest.raises(SystemExit, match="Another runner is at work on 'fast'"),
        run.only_runner("fast", tmp_path),
    ):
        pass
    with run.only_runner("fast", tmp_path):
        pass


@pytest.mark.slow
def test_failed_run_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = replace(QUICK, error="of another world")
    assert run.do_all([broken, QUICK], 1, tmp_path) == 1
    assert results.find(QUICK, tmp_path) is not None
    assert "FAILED" in capsys.readouterr().err


def test_list_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.main(["fast", "--methods", "ppo", "--seeds", "0", "--list", "--results", str(tmp_path)])
    output = capsys.readouterr().out
    assert "0 of 2 runs are done, 2 are missing." in output
    assert "missing: fast/reach_no-teacher_dense_gamma-0.99/ppo/120000-steps_seed-0.json" in output
    assert not list(tmp_path.iterdir())
