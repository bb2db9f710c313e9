"""Teachers by name, and what they are shown."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_rpd import TeacherActionWrapper, TeacherError, check_teacher
from sb3_rpd.evaluation import TeacherCheck
from sb3_rpd.teachers import FunctionTeacher, OpenVLATeacher, ScriptedTeacher
from sb3_rpd.teachers.openvla import make_tiny_openvla
from sb3_rpd.training.environments import make_environment
from sb3_rpd.training.settings import TrainingSettings
from sb3_rpd.training.teachers import find_teacher


def at_rest() -> FunctionTeacher:
    return FunctionTeacher(lambda observations: np.zeros((len(observations), 1)))


def check(settings: TrainingSettings) -> TeacherCheck:
    """Ask the teacher in the environment of the settings, as training would."""
    named = find_teacher(settings)
    env = make_environment(settings.env, 1, 0, wrap=named.wrap, needs_frames=named.needs_frames)
    checked = check_teacher(named.teacher, env)
    env.close()
    return checked


def test_a_function_s_teacher_sees_the_student_s_observation() -> None:
    checked = check(TrainingSettings("Pendulum-v1", teacher=f"{__name__}:at_rest"))
    assert checked.complaint is None
    assert "(3,)" in checked.offered


def test_no_teacher_is_no_teacher() -> None:
    assert find_teacher(TrainingSettings("Pendulum-v1")) == (None, None, False)


@pytest.mark.maniskill2
def test_the_scripted_teacher_sees_the_state_of_the_task() -> None:
    assert isinstance(find_teacher(TrainingSettings("LiftCube-v0", teacher="scripted")).teacher, ScriptedTeacher)
    checked = check(TrainingSettings("LiftCube-v0", teacher="scripted"))
    assert (checked.usable, checked.asked) == (2, 2)
    assert "privileged" in checked.offered


class Colored(gym.Env):
    """Seven numbers to choose, and a picture."""

    observation_space = spaces.Box(-1.0, 1.0, (2,))
    action_space = spaces.Box(-1.0, 1.0, (7,))
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}

    def render(self) -> np.ndarray:
        return np.full((32, 32, 3), 77, np.uint8)


def test_openvla_sees_frames_and_is_told_what_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gym.registry, "Colored-v0", gym.envs.registration.EnvSpec("Colored-v0", Colored))
    folder = str(make_tiny_openvla(tmp_path))
    kwargs = {"instruction": "turn red"}
    settings = TrainingSettings("Colored-v0", teacher=folder, teacher_kwargs=kwargs)
    teacher = find_teacher(settings).teacher
    assert isinstance(teacher, OpenVLATeacher)
    assert (teacher.checkpoint, teacher.instruction) == (folder, "turn red")
    checked = check(settings)
    assert checked.complaint is None
    assert "frame" in checked.offered
    assert "(32, 32, 3)" in checked.offered


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_openvla_sees_the_paper_s_camera_of_maniskill2(tmp_path: Path) -> None:
    checked = check(TrainingSettings("LiftCube-v0", teacher=str(make_tiny_openvla(tmp_path))))
    assert checked.complaint is None
    assert "(128, 128, 3)" in checked.offered
    assert "lift up the cube" in checked.instruction


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (TrainingSettings("Pendulum-v1", teacher="scripted"), ValueError, "no scripted teacher for 'Pendulum-v1', only for"),
        (TrainingSettings("Pendulum-v1", teacher="no/folder"), ValueError, "'no/folder' is no teacher: name a function"),
        (
            TrainingSettings("Pendulum-v1", teacher="a:b", teacher_kwargs={"c": 1}),
            ValueError,
            "teacher_kwargs are for the folder of an OpenVLA checkpoint",
        ),
        (TrainingSettings("Pendulum-v1", teacher="no_such_module:b"), TeacherError, "The module of the teacher"),
    ],
)
def test_mistakes_are_named(settings: TrainingSettings, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find_teacher(settings)


def test_the_wrapper_is_the_package_s_own() -> None:
    wrap = find_teacher(TrainingSettings("LiftCube-v0", teacher="scripted")).wrap
    assert wrap is not None
    env = wrap(Colored("rgb_array"))
    assert isinstance(env, TeacherActionWrapper)
