"""The home-made VLA: its tasks, its data, what it is trained on, which checkpoints are chosen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch as th

from experiments.vla import __main__ as program
from experiments.vla import tasks
from experiments.vla.__main__ import choose
from experiments.vla.evaluation import EVALUATION_SEED, Results
from experiments.vla.objective import cube_places, state_targets
from experiments.vla.recipe import make_recipe
from experiments.vla.tasks import SCENE, TASKS
from experiments.worlds import vla
from sb3_rpd.envs import make_maniskill2_env, privileged_state
from sb3_rpd.envs.cube_state import CUBE_STATE_SIZE, CUBE_STATE_SLICES, CubeState
from sb3_rpd.teachers.openvla.checkpoint import load_model


@pytest.mark.maniskill2
def test_the_push_teacher_pushes() -> None:
    env = make_maniskill2_env(SCENE, "state", max_episode_steps=60)
    task = TASKS["push"]
    for seed in range(5):
        env.reset(seed=seed)
        start = CubeState.unpack(privileged_state(env)).cube_position.copy()
        for _ in range(60):
            action = task.teacher.predict({"privileged": privileged_state(env)[np.newaxis]})[0]
            *_, info = env.step(action)
            state = CubeState.unpack(privileged_state(env))
            if task.solved(state, info):
                break
        assert state.cube_position[0] > 0.13
        # away from the robot, along the table, and not lifted
        assert abs(state.cube_position[1] - start[1]) < 0.08
        assert state.cube_position[2] == pytest.approx(0.02, abs=0.01)
        assert not info["is_success"]
    env.close()


def test_state_targets_by_hand() -> None:
    state = np.zeros((1, CUBE_STATE_SIZE), np.float32)
    for name, value in (
        ("tcp_position", (0.1, 0, 0.2)),
        ("cube_position", (0.06, 0, 0.02)),
        ("finger_positions", (0.04, 0.01)),
    ):
        state[0, CUBE_STATE_SLICES[name]] = value
    state[0, CUBE_STATE_SLICES["is_grasped"]] = 1

    (targets,) = state_targets(state)

    assert targets.shape == (19,)
    np.testing.assert_allclose(targets[:6], [1, 0, 2, 1, 0, 1 / 3], rtol=1e-5)
    np.testing.assert_allclose(targets[6:12], [-0.5, 0, -2.25, np.tanh(-2), 0, np.tanh(-9)], rtol=1e-5)
    np.testing.assert_allclose(targets[12:15], [0, 1, np.tanh((np.hypot(0.04, 0.18) - 0.015) / 0.01)], atol=1e-6)


def test_a_red_square_is_found() -> None:
    images = th.full((3, 3, 32, 32), -0.2)  # gray
    for row, (top, left) in enumerate([(4, 20), (10, 2)]):
        images[row, 0, top : top + 4, left : left + 6] = 0.5
        images[row, 1:, top : top + 4, left : left + 6] = -0.9

    center, seen = cube_places(images)

    assert seen.tolist() == [1, 1, 0]
    # columns 20 to 25 and rows 4 to 7
    np.testing.assert_allclose(center[:2], [[22.5, 5.5], [4.5, 11.5]])


class _Known(Results):
    def __init__(self, successes: dict[str, int]) -> None:
        self.successes = successes

    def success(self, checkpoint: Path, question: str, episodes: int, seed: int) -> dict[str, int]:
        assert seed != EVALUATION_SEED
        return {"successes": self.successes[checkpoint.name], "episodes": episodes}


def test_the_best_and_a_weak_one_are_chosen() -> None:
    def chosen(**successes: int) -> dict[str, str]:
        found = choose([Path(name) for name in successes], _Known(successes), episodes=20)
        return {kind: path.name for kind, path in found.items()}

    assert chosen(a=0, b=2, c=5, d=12, e=11) == {"good": "d", "weak": "c"}
    # 5 to 40 %
    assert chosen(a=0, b=9) == {"good": "b"}
    assert chosen(a=3) == {"good": "a"}


@pytest.mark.slow
@pytest.mark.maniskill2
@pytest.mark.rendering
def test_a_vla_is_made_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MAX_STEPS", 4)
    short = replace(make_recipe(48), batch_size=8, warmup_steps=1, held_out_frames=8, evaluate_every=24, keep_every=24)
    monkeypatch.setattr(program, "make_recipe", lambda steps: short)
    arguments = ["--to", str(tmp_path), "--lift-episodes", "2", "--push-episodes", "2", "--tries", "1", "--episodes", "1"]

    program.main(arguments)
    card = tmp_path / "good/README.md"
    written = card.read_text(encoding="utf-8")
    card.unlink()
    program.main(arguments)  # nothing is left to do but the card

    assert card.read_text(encoding="utf-8") == written
    assert "| demonstrations | 4 episodes" in written
    assert "| lift, told to push | 0 of 1 |" in written
    # what is left is the published layout: nothing of what only served training
    trained = load_model(tmp_path / "good", th.device("cpu"), th.float32)
    assert type(trained.vision_backbone.featurizer.patch_embed.proj) is th.nn.Conv2d


@pytest.mark.slow
@pytest.mark.maniskill2
@pytest.mark.rendering
def test_the_good_one_that_is_kept_does_what_it_is_told(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json")

    lifted, told_to_push = (
        results.success(vla.checkpoint("none"), question, episodes, seed=7_000)["successes"]
        for question, episodes in (("lift", 5), ("lift, told to push", 2))
    )

    # 80 of 100 and 0 of 25 in other episodes
    assert lifted >= 2
    assert told_to_push == 0
