"""The variations of LiftCube: the scripted teacher fails, and the same hand succeeds when it acts as the variation asks."""

from typing import Any

import numpy as np
import pytest

from experiments.worlds import WORLDS
from experiments.worlds.maniskill2 import VARIATIONS, make_env
from sb3_rpd.evaluation import evaluate_teacher
from sb3_rpd.teachers import DegradedTeacher, ScriptedTeacher, maniskill2
from sb3_rpd.teachers.faults import misjudged_cube

pytestmark = pytest.mark.maniskill2

EPISODES = 4


def successes(task: str, teacher: Any) -> int:
    env = make_env(task, "none", "sparse", 2, seed=0)
    result = evaluate_teacher(teacher, env, EPISODES, seed=0).successes
    env.close()
    return result


@pytest.mark.slow
@pytest.mark.parametrize("task", VARIATIONS)
def test_scripted_teacher_fails(task: str) -> None:
    assert successes(task, WORLDS["maniskill2"].make_teacher(task, "none", 0)) == 0


@pytest.mark.slow
def test_small_cube_is_lifted_by_fingers_that_close_further(monkeypatch: pytest.MonkeyPatch) -> None:
    # what counts as empty, as closed on the cube and as open, for a cube of 2.2 cm
    monkeypatch.setattr(maniskill2, "_EMPTY", (0.005, 0.010))
    monkeypatch.setattr(maniskill2, "_CLOSED", 0.024)
    monkeypatch.setattr(maniskill2, "_OPEN", 0.040)
    assert successes("LiftSmallCube-v0", ScriptedTeacher("LiftCube-v0")) == EPISODES


@pytest.mark.slow
def test_cube_is_lifted_higher_by_a_hand_that_does_not_stop_at_the_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maniskill2, "_LIFT_MARGIN", 0.045)
    assert successes("LiftCubeHigher-v0", ScriptedTeacher("LiftCube-v0")) == EPISODES


@pytest.mark.slow
def test_cube_beside_the_block_is_lifted_by_a_hand_that_comes_down_aside() -> None:
    aside = DegradedTeacher(ScriptedTeacher("LiftCube-v0"), faults=[misjudged_cube((0, -0.012, 0))])
    assert successes("LiftCubeBesideBlock-v0", aside) == EPISODES


def test_variations_differ_from_their_task_where_they_say() -> None:
    small, higher, beside, plain = (make_env(task, None, "sparse", 1, seed=5) for task in (*VARIATIONS, "LiftCube-v0"))
    bare = {name: env.envs[0].unwrapped for name, env in dict(small=small, higher=higher, beside=beside, plain=plain).items()}
    for env in (small, higher, beside, plain):
        env.seed(5)
        env.reset()
    np.testing.assert_allclose(bare["small"].obj.pose.p[2], 0.011, atol=5e-4)
    # where the teacher sees the goal, and where it is
    np.testing.assert_allclose(bare["higher"].goal_pos - bare["higher"].obj.pose.p, [0, 0, 0.2], atol=1e-6)
    assert (bare["higher"].goal_height, bare["plain"].goal_height) == (0.23, 0.2)
    # the block's near face is 3.2 cm from the cube's: 2 + 3.2 + 2 cm between the centers
    np.testing.assert_allclose(bare["beside"].block.pose.p - bare["beside"].obj.pose.p, [0, 0.072, 0.01], atol=1e-6)
    np.testing.assert_allclose(bare["beside"].obj.pose.p, bare["plain"].obj.pose.p, atol=1e-6)
    for env in (small, higher, beside, plain):
        env.close()
