"""Without imitation RPD is the installed PPO, to the last bit."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, SpacesEnv, scripted_teacher
from toy_students import assert_logged, assert_same_to_the_last_bit, train_small

from sb3_rpd import RPD

BOX = ACTION_SPACES["box"]
MLP: dict[str, Any] = {"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [8]}}
SMALL_CNN: dict[str, Any] = {"net_arch": [8], "features_extractor_kwargs": {"features_dim": 8}}

# name: (action space, observation space, arguments)
CASES: dict[str, tuple[spaces.Space, spaces.Space | None, dict[str, Any]]] = {
    **{name: (space, None, MLP) for name, space in ACTION_SPACES.items()},
    "entropy_bonus": (BOX, None, {**MLP, "ent_coef": 0.01, "vf_coef": 0.3}),
    "gsde": (BOX, None, {**MLP, "use_sde": True, "sde_sample_freq": 3}),
    "gsde_squashed": (BOX, None, {**MLP, "use_sde": True, "policy_kwargs": {"net_arch": [8], "squash_output": True}}),
    "image": (ACTION_SPACES["discrete"], IMAGE_SPACE, {"policy": "CnnPolicy", "policy_kwargs": SMALL_CNN}),
    "separate_extractors": (
        BOX,
        IMAGE_SPACE,
        {"policy": "CnnPolicy", "policy_kwargs": {**SMALL_CNN, "share_features_extractor": False}},
    ),
    "dict": (
        BOX,
        DICT_SPACE,
        {
            "policy": "MultiInputPolicy",
            "policy_kwargs": {"net_arch": [8], "features_extractor_kwargs": {"cnn_output_dim": 8}},
        },
    ),
    "clip_range_vf": (BOX, None, {**MLP, "clip_range_vf": 0.1}),
    "schedules": (
        BOX,
        None,
        {
            **MLP,
            "learning_rate": lambda left: 1e-3 * left,
            "clip_range": lambda left: 0.1 + 0.1 * left,
            "clip_range_vf": lambda left: left,
        },
    ),
    "target_kl": (BOX, None, {**MLP, "target_kl": 1e-3, "learning_rate": 1e-2, "n_epochs": 6}),
    "raw_advantages": (BOX, None, {**MLP, "normalize_advantage": False}),
    "truncated_minibatch": (BOX, None, {**MLP, "batch_size": 11}),
    "minibatch_of_one": (BOX, None, {**MLP, "batch_size": 23}),
    "max_grad_norm": (BOX, None, {**MLP, "max_grad_norm": 0.01}),
    "one_env": (BOX, None, {**MLP, "n_steps": 17}),
}
TEACHERS = ("no_teacher", "coefficient_0")


def train(algorithm: type[OnPolicyAlgorithm], case: str, iterations: int = 3, **kwargs: Any) -> OnPolicyAlgorithm:
    action_space, observation_space, arguments = CASES[case]
    n_envs = 1 if case == "one_env" else 2
    env = make_vec_env(lambda: SpacesEnv(action_space, observation_space), n_envs=n_envs, seed=3)
    return train_small(algorithm, env, arguments | kwargs, iterations)


def rpd_arguments(teacher: str, case: str) -> dict[str, Any]:
    return {} if teacher == "no_teacher" else {"teacher": scripted_teacher(CASES[case][0]), "imitation_coef": 0.0}


@pytest.mark.filterwarnings("ignore:RPD has no teacher")
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize("case", CASES)
def test_parameters_and_log_are_those_of_ppo(case: str, teacher: str) -> None:
    ppo = train(PPO, case)
    rpd = train(RPD, case, **rpd_arguments(teacher, case))
    assert_same_to_the_last_bit(ppo, rpd)
    of_ppo, of_rpd = ppo.logger.name_to_value, rpd.logger.name_to_value
    own = {f"teacher/{name}" for name in ("seconds", "queries_per_state", "missing", "clipped")}
    own |= {"train/imitation_coef", "train/labeled"}
    assert of_rpd.keys() - of_ppo.keys() == (set() if teacher == "no_teacher" else own)
    assert_logged(ppo, rpd)


@pytest.mark.filterwarnings("ignore:RPD has no teacher")
def test_target_kl_ends_epochs_early_in_its_case() -> None:
    assert train(RPD, "target_kl")._n_updates < 3 * 6


@pytest.mark.filterwarnings("ignore:RPD has no teacher")
def test_early_stop_is_said_as_by_ppo(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for algorithm in (PPO, RPD):
        train(algorithm, "target_kl", iterations=1, verbose=1)
        outputs.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("Early stopping")])
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 1


@pytest.mark.filterwarnings("ignore:RPD has no teacher")
def test_vec_normalize_statistics_are_those_of_ppo() -> None:
    environments = []
    for algorithm, arguments in ((PPO, {}), (RPD, rpd_arguments("coefficient_0", "box"))):
        env = VecNormalize(make_vec_env(lambda: SpacesEnv(BOX), n_envs=2, seed=3))
        algorithm(env=env, n_steps=12, batch_size=8, seed=5, device="cpu", **MLP, **arguments).learn(48)
        environments.append(env)
    np.testing.assert_array_equal(environments[0].obs_rms.mean, environments[1].obs_rms.mean)
    np.testing.assert_array_equal(environments[0].returns, environments[1].returns)


@pytest.mark.filterwarnings("ignore:RPD has no teacher")
def test_user_defined_rollout_buffer_is_used_as_by_ppo() -> None:
    class ReversedBuffer(RolloutBuffer):
        """Minibatches in another order."""

        def __init__(self, *args: Any, offset: int = 0, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.offset = offset

        def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> Any:
            return super()._get_samples(batch_inds - self.offset, env)

    arguments = {"rollout_buffer_class": ReversedBuffer, "rollout_buffer_kwargs": {"offset": 3}}
    ppo = train(PPO, "box", **arguments)
    assert_same_to_the_last_bit(ppo, train(RPD, "box", **arguments))
    rpd = train(RPD, "box", **arguments, **rpd_arguments("coefficient_0", "box"))
    assert_same_to_the_last_bit(ppo, rpd)
    assert rpd.rollout_buffer_class is ReversedBuffer
    assert isinstance(rpd.rollout_buffer, ReversedBuffer)


@pytest.mark.parametrize(("policy", "space"), [("MlpPolicy", None), ("MultiInputPolicy", DICT_SPACE)])
def test_rollout_buffer_class_that_is_kept_is_sb3s_own(policy: str, space: spaces.Space | None) -> None:
    env = DummyVecEnv([lambda: SpacesEnv(BOX, space)])
    model = RPD(policy, env, n_steps=4, batch_size=4)
    assert model.rollout_buffer_class is (RolloutBuffer if space is None else DictRolloutBuffer)


def test_labeling_leaves_the_students_randomness_alone() -> None:
    """The rollout that a teacher labels is the rollout of PPO; only training differs."""
    ppo = train(PPO, "box", iterations=1)
    ppo_state = _generator_states()
    rpd = train(RPD, "box", iterations=1, teacher=scripted_teacher(BOX), label_fraction=0.5)
    rpd_state = _generator_states()
    assert 0 < rpd.rollout_buffer.labeled_fraction() < 1
    np.testing.assert_array_equal(ppo.rollout_buffer.actions, rpd.rollout_buffer.actions)
    np.testing.assert_array_equal(ppo_state[0], rpd_state[0])
    assert th.equal(ppo_state[1], rpd_state[1])


def _generator_states() -> tuple[np.ndarray, th.Tensor]:
    return np.random.get_state()[1], th.get_rng_state()  # noqa: NPY002 (SB3 draws from this one)
