"""examples/paper.yaml: the numbers of the paper's launcher, and a student that is trained with them for a small rollout."""

import math
from pathlib import Path

import pytest
import torch as th
from stable_baselines3 import PPO
from torch import nn

from sb3_rpd.common.finite_horizon import FiniteHorizonRolloutBuffer
from sb3_rpd.common.named_values import read_named_values
from sb3_rpd.teachers.openvla import make_tiny_openvla
from sb3_rpd.teachers.openvla.teacher import UNNORM_KEY
from sb3_rpd.training.environments import make_environment
from sb3_rpd.training.run import train
from sb3_rpd.training.settings import read_settings

PAPER = Path(__file__).parents[2] / "examples" / "paper.yaml"


def test_the_settings_are_the_paper_s() -> None:
    settings = read_settings(PAPER)
    arguments = read_named_values(settings.rpd)
    entries = settings.n_envs * arguments["n_steps"]
    # 128 environments x 50 steps, of which the launcher makes minibatches of 6400 // 48
    assert (entries, entries // arguments["batch_size"], arguments["n_epochs"]) == (6400, 48, 8)
    assert (arguments["gamma"], arguments["gae_lambda"], arguments["clip_range"]) == (0.8, 0.9, 0.2)
    assert arguments["rollout_buffer_class"] is FiniteHorizonRolloutBuffer
    # 1.5 and 2 are Stable-Baselines3's: it stops at 1.5 target_kl, and its value loss has no factor of 1/2
    assert 1.5 * arguments["target_kl"] == pytest.approx(0.2, abs=1e-4)
    assert 2 * arguments["vf_coef"] == 0.5
    assert (arguments["learning_rate"], arguments["max_grad_norm"], arguments["ent_coef"]) == (3e-4, 0.5, 0.0)
    assert (arguments["imitation_loss"], arguments["imitation_coef"], settings.timesteps) == ("mse", 1.0, 30_000_000)
    # 500 episodes every ten rollouts
    assert (settings.evaluate_every, settings.evaluation_episodes) == (10 * entries, 500)
    assert settings.teacher_kwargs == {"unnorm_key": UNNORM_KEY}
    assert arguments["policy_kwargs"]["activation_fn"] is nn.ReLU


@pytest.mark.slow
@pytest.mark.maniskill2
@pytest.mark.rendering
def test_a_student_is_trained_with_them(tmp_path: Path) -> None:
    changes = ["n_envs=2", "n_steps=4", "batch_size=4", "n_epochs=1", "timesteps=8", "evaluation_episodes=1", "device=cpu"]
    changes += [f"teacher={make_tiny_openvla(tmp_path / 'vla')}", "env_kwargs.max_episode_steps=3"]
    train(read_settings(PAPER, changes), tmp_path / "run", lambda line: None)
    student = PPO.load(tmp_path / "run" / "student.zip", device="cpu")
    assert student.observation_space.shape == (3, 256, 256)
    shapes = {name: tuple(value.shape) for name, value in student.policy.named_parameters()}
    # Three convolutions leave 64 x 28 x 28 of 256 x 256 pixels
    assert shapes["features_extractor.linear.0.weight"] == (256, 64 * 28 * 28)
    assert shapes["mlp_extractor.policy_net.0.weight"] == shapes["mlp_extractor.value_net.0.weight"] == (512, 256)
    assert (shapes["action_net.weight"], shapes["value_net.weight"]) == ((7, 512), (1, 512))
    assert student.policy.optimizer.defaults["eps"] == 1e-5
    assert student.policy.log_std.mean().item() == pytest.approx(-0.5, abs=0.01)
    log = (tmp_path / "run" / "progress-0.csv").read_text().splitlines()
    assert "teacher/queries_per_state" in log[0]
    assert all(math.isfinite(float(value.detach().abs().max())) for value in student.policy.parameters())
    assert isinstance(student.policy.activation_fn(), th.nn.ReLU)


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_the_camera_can_be_moved() -> None:
    frames = []
    for changes in ([], ["env_kwargs.camera={name: human, position: [0.9, 0.7, 0.8], target: [0.0, 0.0, 0.35]}"]):
        settings = read_settings(PAPER, ["env_kwargs.image_size=32", "env=LiftCube-v0", *changes])
        env = make_environment(settings.env, 1, 0, env_kwargs=settings.env_kwargs)
        frames.append(env.reset())
        env.close()
    assert frames[0].shape == frames[1].shape == (1, 32, 32, 3)
    assert (frames[0] != frames[1]).mean() > 0.2
    settings = read_settings(PAPER, ["env_kwargs.camera={name: human, where: here}"])
    with pytest.raises(ValueError, match=r"camera is a name, or \{name: human, position"):
        make_environment(settings.env, 1, 0, env_kwargs=settings.env_kwargs)
