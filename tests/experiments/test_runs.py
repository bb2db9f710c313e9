"""The declared runs: no two of them share a file, seeds do not meet, rows hold what they are meant to compare."""

import pytest

from experiments.methods import METHODS, TEACHER
from experiments.results import path_of
from experiments.runs import ROWS, SEEDS, TUNING_SEED, Run, runs_of
from experiments.train import EVALUATION_SEED, SELECTION_SEED, settings_of
from experiments.worlds import WORLDS

SUITES = tuple(WORLDS)


@pytest.mark.parametrize("suite", SUITES)
def test_each_run_has_a_file_of_its_own(suite: str) -> None:
    runs = runs_of(suite)
    assert len({path_of(run) for run in runs}) == len(runs)


@pytest.mark.parametrize("suite", SUITES)
def test_errors_and_methods_are_known(suite: str) -> None:
    for run in runs_of(suite):
        assert run.error is None or run.error in WORLDS[suite].errors
        assert (run.error is None) == (run.method == "ppo")
        settings_of(run)


def test_a_task_of_our_own_that_is_changed_makes_other_settings() -> None:
    by_method = {run.method: run for run in runs_of("maniskill2") if run.task == "LiftCubeHigher-v0"}
    for method in (TEACHER, "ppo", "recommended"):
        assert settings_of(by_method[method])["task"] == {"goal_height": 0.23}
    assert all("task" not in settings_of(run) for run in runs_of("maniskill2") if run.task == "LiftCube-v0")


def test_seeds_do_not_meet() -> None:
    for suite, world in WORLDS.items():
        training = {100 * seed + i for seed in (*SEEDS[suite], TUNING_SEED) for i in range(world.n_envs)}
        assert max(training) < SELECTION_SEED
        assert SELECTION_SEED + world.n_envs <= EVALUATION_SEED
        assert max(SEEDS[suite]) < TUNING_SEED


def test_fast_suite_has_every_error_reward_and_method() -> None:
    runs = runs_of("fast")
    asking = set(METHODS) - {TEACHER, "ppo"}
    for seed in range(10):
        for reward in ("sparse", "dense"):
            for error in WORLDS["fast"].errors:
                for method in asking:
                    assert Run("fast", "reach", error, reward, 0.99, method, seed, 120_000) in runs
            assert Run("fast", "reach", None, reward, 0.99, "ppo", seed, 120_000) in runs


def test_seeds_come_one_after_the_other_and_teachers_first() -> None:
    runs = runs_of("maniskill2")
    teachers = [run.method == TEACHER for run in runs]
    assert teachers == sorted(teachers, reverse=True)
    seeds = [run.seed for run in runs]
    assert seeds == sorted(seeds)


def test_the_papers_rpd_is_beside_each_error_of_lift_cube_but_those_that_no_setting_undoes() -> None:
    lift = [row for row in ROWS["maniskill2"] if row.task == "LiftCube-v0"]
    compared = {row.error for row in lift if "rpd" in row.methods}
    assert {row.error for row in lift} - compared == {"late gripper", "inverted axis"}
    for row in (*ROWS["fast"], ROWS["vla"][0]):
        assert "rpd" in row.methods


def test_ppo_is_beside_each_row_and_trains_for_no_less() -> None:
    for suite in SUITES:
        for row in ROWS[suite]:
            assert "ppo" in row.methods
            assert {"recommended", "undebiased"} & set(row.methods)
            assert {row.run(method, 3).steps for method in row.methods if METHODS[method].has_teacher} == {row.steps}
            assert row.run("ppo", 3).steps >= row.steps


def test_one_ppo_run_serves_all_rows_that_differ_in_teacher_and_steps_only() -> None:
    dense = [row for row in ROWS["maniskill2"] if (row.task, row.reward, row.gamma) == ("LiftCube-v0", "dense", 0.99)]
    assert {row.steps for row in dense} == {50_000, 60_000, 100_000}
    assert {row.run("ppo", 3) for row in dense} == {Run("maniskill2", "LiftCube-v0", None, "dense", 0.99, "ppo", 3, 100_000)}
