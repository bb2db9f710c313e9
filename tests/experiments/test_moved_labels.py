"""The VLA's labels by moved cameras: the statistics by hand, and that it is the same states that all cameras see."""

from collections.abc import Sequence

import numpy as np
import pytest

from experiments.vla import tasks
from experiments.vla.evaluation import EVALUATION_SEED, KEPT
from experiments.vla.moved_labels import DISTANCES, compare, labels_by_camera, main
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.envs import human_frame


class BrightnessTeacher(Teacher):
    """Moves by a function of how bright its frame is, and so says whether two frames are the same."""

    def __repr__(self) -> str:
        return "BrightnessTeacher()"

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        assert isinstance(observations, dict)
        return np.sin(observations["frame"].mean(axis=(1, 2, 3)))[:, np.newaxis] * np.linspace(0.1, 0.7, 7)


def test_offset_and_correlation_by_hand() -> None:
    own = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 6.0]])
    moved = np.array([[0.5, -1.0], [1.5, -2.0], [2.5, -6.0]])
    offset, correlation = compare(own, moved)
    np.testing.assert_allclose(offset, [0.5, -6.0])
    np.testing.assert_allclose(correlation, [1.0, -1.0])


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_all_cameras_see_the_same_states_also_after_an_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MAX_STEPS", 4)
    teacher = BrightnessTeacher()
    own, again, moved = labels_by_camera(teacher, (0.0, 0.0, 0.16), n_states=6)
    assert own.shape == (6, 7)
    np.testing.assert_array_equal(own, again)
    assert np.abs(own - moved).max() > 0.05

    env = tasks.make_env("lift", camera=tasks.moved_camera(0.0))
    for first, seed in ((0, EVALUATION_SEED), (4, None)):
        env.reset(seed=seed)
        np.testing.assert_array_equal(own[first], teacher.predict({"frame": human_frame(env)[np.newaxis]})[0])
    env.close()


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_the_command_prints_a_line_for_each_camera(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--vla", str(KEPT / "good"), "--states", "8"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {100 * distance:.0f} cm" for distance in DISTANCES[1:]]
    assert all(line.count("|") == 9 for line in lines)
