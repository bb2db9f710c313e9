"""The closed loop: its student is that of the suite, and its parts fit together."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.methods import METHODS
from experiments.runs import VLA
from experiments.vla import closed_loop, tasks
from experiments.vla.evaluation import KEPT, UNNORM_KEY
from experiments.vla.recipe import make_recipe
from experiments.worlds import WORLDS
from sb3_rpd.common.named_values import read_named_values
from sb3_rpd.teachers.openvla import make_tiny_openvla
from sb3_rpd.training.settings import read_settings


def test_the_student_is_that_of_the_suite() -> None:
    world, row = WORLDS["vla"], VLA[0]
    settings = read_settings(closed_loop.STUDENT_SETTINGS)
    arguments = read_named_values(settings.rpd)

    assert (settings.env, settings.timesteps, settings.n_envs) == (row.task, row.steps, world.n_envs)
    assert (settings.evaluate_every, settings.evaluation_episodes) == (row.steps // world.selections, world.selection_episodes)
    assert (settings.normalize, settings.teacher_kwargs["unnorm_key"]) == ({"norm_reward": False}, UNNORM_KEY)
    assert Path(__file__).parents[2] / str(settings.teacher) == KEPT / "good"
    expected = {"imitation_loss": "mse", "label_every": row.label_every, "policy_kwargs": dict(world.policy_kwargs)}
    expected |= {"gamma": row.gamma, **world.settings, **METHODS["undebiased"].arguments(world)}
    # gamma's default is the suite's
    assert {name: repr(value) for name, value in {"gamma": 0.99, "label_debiasing": None, **arguments}.items()} == {
        name: repr(value) for name, value in expected.items()
    }


@pytest.mark.slow
@pytest.mark.maniskill2
@pytest.mark.rendering
def test_the_loop_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MAX_STEPS", 4)
    # what is not to be learned in these few steps counts as done at once
    monkeypatch.setitem(tasks.TASKS, "lift", replace(tasks.TASKS["lift"], solved=lambda state, info: True))
    short = replace(make_recipe(3), batch_size=2, warmup_steps=1, held_out_frames=4, evaluate_every=2, save_every=1)
    monkeypatch.setattr(closed_loop, "make_recipe", lambda steps: short)
    vla = make_tiny_openvla(tmp_path / "good")
    for name in ("config.json", "dataset_statistics.json"):
        text = (vla / name).read_text(encoding="utf-8")
        (vla / name).write_text(text.replace("maniskill_human:7.0.0", UNNORM_KEY), encoding="utf-8")
    arguments = ["--vla", str(vla), "--to", str(tmp_path / "loop"), "--timesteps", "800", "--demonstrations", "4"]
    arguments += ["--episodes", "1"]

    closed_loop.main(arguments)
    path = tmp_path / "loop/results.json"
    written = path.read_text(encoding="utf-8")
    closed_loop.main(arguments)  # nothing is left to do

    assert path.read_text(encoding="utf-8") == written
    assert list(json.loads(written)) == [
        f"{checkpoint}: {task}, 1 episodes from 1000000" for task in ("lift", "push") for checkpoint in ("good", "refined")
    ]
    assert json.loads(written)["refined: lift, 1 episodes from 1000000"]["successes"] == 1
