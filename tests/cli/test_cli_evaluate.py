"""sb3-rpd eval: what it prints of a teacher, and of a student that is in the wrong place."""

from pathlib import Path

import pytest
from stable_baselines3 import PPO
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd.cli import main


def test_a_teacher_is_evaluated_in_what_the_options_say(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "--teacher", "cli_parts:teacher", "--env", "cli_parts:pole", "--episodes", "20"]
    assert main(arguments) == 0
    out, progress = capsys.readouterr()
    assert out.startswith("who       FunctionTeacher(teacher.<locals>.<lambda> at cli_parts.py:")
    # This rule keeps the pole up for 40 steps and more, always
    assert "success   100.0% (95% interval 83.9% to 100.0%)" in out.splitlines()
    assert "return    mean 40.00, standard deviation 0.00" in out.splitlines()
    assert progress.splitlines()[-1] == "20 of 20 episodes, 20 successes, mean return 40.0"
    # and in an environment that does not speak of success
    assert main(["eval", "--teacher", "cli_parts:teacher", "--env", "CartPole-v1", "--episodes", "1"]) == 0
    out = capsys.readouterr().out
    assert 'success   unknown: the environment does not say info["is_success"]' in out.splitlines()


def test_a_student_in_an_environment_of_another_kind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PPO("MlpPolicy", SpacesEnv(ACTION_SPACES["discrete"]), n_steps=8, device="cpu").save("student.zip")
    for env, complaint in (
        ("Pendulum-v1", "sb3-rpd: The student acts in Discrete(3), the environment in Box("),
        ("Acrobot-v1", "sb3-rpd: The student observes Box(-1.0, 1.0, (4,), float32), the environment shows Box("),
    ):
        assert main(["eval", "--student", "student.zip", "--env", env]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith(complaint)
