"""DAgger: what it remembers, how often it steps, what it leaves alone, and that a good teacher is enough for it."""

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
from toy_envs import ACTION_SPACES, SpacesEnv, scripted_teacher

from experiments.dagger import DAgger
from experiments.worlds import WORLDS
from experiments.worlds.reaching import ReachingTeacher
from sb3_rpd.evaluation import evaluate_teacher
from sb3_rpd.teachers import SB3Teacher

SPACE = ACTION_SPACES["box"]


def make(normalized: bool = False, **settings: object) -> DAgger:
    env = make_vec_env(lambda: SpacesEnv(SPACE), 2, seed=0)
    arguments = dict(n_steps=16, batch_size=8, n_epochs=3, seed=0, device="cpu") | settings
    venv = VecNormalize(env, norm_reward=False) if normalized else env
    return DAgger("MlpPolicy", venv, teacher=scripted_teacher(SPACE), **arguments)  # type: ignore[arg-type]


def test_remembers_every_labeled_state_with_its_label() -> None:
    model = make()
    model.learn(3 * 32)
    states, answers = np.concatenate(model._states), np.concatenate(model._answers)
    assert len(states) == 3 * 32
    np.testing.assert_allclose(answers, scripted_teacher(SPACE)(states), rtol=1e-6)


def test_states_are_kept_as_the_environment_gave_them() -> None:
    model = make(normalized=True)
    statistics = model.get_vec_normalize_env()
    assert statistics is not None
    statistics.training = False
    statistics.obs_rms.mean[:], statistics.obs_rms.var[:] = 0.5, 4.0
    model.learn(2 * 32)
    states, answers = np.concatenate(model._states), np.concatenate(model._answers)
    np.testing.assert_allclose(scripted_teacher(SPACE)(states), answers, atol=1e-5)


def test_few_labels_are_the_ones_remembered() -> None:
    model = make(label_every=4)
    model.learn(32)
    assert len(np.concatenate(model._states)) == 8


def test_steps_as_often_as_ppo_and_leaves_critic_and_noise_alone() -> None:
    model = make()
    steps = []
    model.policy.optimizer.register_step_post_hook(lambda *args: steps.append(1))
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(32)
    assert len(steps) == 3 * 32 // 8
    changed = {name for name, value in model.policy.state_dict().items() if not th.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith(("mlp_extractor.policy_net", "action_net"))}


def test_learns_from_a_good_teacher_without_reward() -> None:
    world = WORLDS["fast"]
    env = world.make_env("reach", "offset", "sparse", 32, 0)
    settings = dict(world.settings) | {"n_epochs": 16}
    model = DAgger("MlpPolicy", env, teacher=ReachingTeacher(), seed=0, policy_kwargs=dict(world.policy_kwargs), **settings)
    model.learn(20 * 1600)
    evaluation = evaluate_teacher(SB3Teacher(model), world.make_env("reach", None, "sparse", 32, 1), 64)
    assert evaluation.success_rate > 0.9
