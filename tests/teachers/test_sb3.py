"""SB3Teacher against the model's own predict() on observations normalized by hand."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.save_util import save_to_pkl
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import SB3Teacher, TeacherOutput, make_teacher

VECTOR = spaces.Box(-10, 10, (3,))
BOX = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32))
IMAGE = spaces.Box(0, 255, (40, 36, 3), np.uint8)


class RandomEnv(gym.Env):
    """Random observations of any space."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space = observation_space
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


def small(**policy_kwargs: Any) -> dict[str, Any]:
    """Arguments of a small model; Stable-Baselines3 writes into ``policy_kwargs``, so each model has its own."""
    return {"policy_kwargs": {"net_arch": [8], **policy_kwargs}, "seed": 0, "device": "cpu"}


def small_ppo(observation_space: spaces.Space = VECTOR, action_space: spaces.Space = BOX, **kwargs: Any) -> PPO:
    return PPO("MlpPolicy", RandomEnv(observation_space, action_space), n_steps=8, batch_size=8, **{**small(), **kwargs})


def observations(n: int = 5) -> np.ndarray:
    return np.random.default_rng(0).uniform(-10, 10, (n, 3)).astype(np.float32)


def output(teacher: SB3Teacher, batch: Any) -> TeacherOutput:
    answer = teacher.predict(batch)
    assert isinstance(answer, TeacherOutput)
    return answer


@pytest.fixture
def statistics() -> VecNormalize:
    normalize = VecNormalize(DummyVecEnv([lambda: RandomEnv(VECTOR, BOX)]), clip_obs=1.5)
    normalize.obs_rms.mean = np.array([1.0, -2.0, 3.0])
    normalize.obs_rms.var = np.array([4.0, 9.0, 0.25])
    return normalize


def test_gaussian_mode_is_predict_on_normalized_observations(statistics: VecNormalize) -> None:
    model = small_ppo()
    model.policy.log_std.data = th.tensor([0.5, -1.0])
    teacher = SB3Teacher(model, statistics)
    answer = output(teacher, observations())
    normalized = np.clip((observations() - [1, -2, 3]) / np.sqrt(np.array([4, 9, 0.25]) + 1e-8), -1.5, 1.5)
    np.testing.assert_array_equal(answer.actions, model.predict(normalized.astype(np.float32), deterministic=True)[0])
    np.testing.assert_allclose(answer.std, np.tile(np.exp([0.5, -1.0]), (5, 1)), rtol=1e-6)
    assert teacher.gives_distribution
    assert answer.logits is None
    assert answer.actions.dtype == np.float32


def test_mode_is_clipped_to_the_box() -> None:
    model = small_ppo()
    model.policy.action_net.bias.data = th.tensor([7.0, -7.0])
    np.testing.assert_array_equal(output(SB3Teacher(model), observations(2)).actions, [[2, 0], [2, 0]])


def test_statistics_are_frozen_and_survive_a_file(statistics: VecNormalize, tmp_path: Path) -> None:
    model = small_ppo()
    statistics.save(str(tmp_path / "vec_normalize.pkl"))
    teachers = [SB3Teacher(model, statistics), SB3Teacher(model, tmp_path / "vec_normalize.pkl")]
    before = [output(teacher, observations()).actions for teacher in teachers]
    statistics.obs_rms.update(1000 * observations())
    for teacher, actions in zip(teachers, before, strict=True):
        np.testing.assert_array_equal(output(teacher, observations()).actions, actions)
    np.testing.assert_array_equal(before[0], before[1])


def test_reward_only_statistics_leave_observations_alone() -> None:
    model = small_ppo()
    rewards_only = VecNormalize(DummyVecEnv([lambda: RandomEnv(VECTOR, BOX)]), norm_obs=False)
    np.testing.assert_array_equal(
        output(SB3Teacher(model, rewards_only), observations()).actions, output(SB3Teacher(model), observations()).actions
    )


@pytest.mark.parametrize("space", [spaces.Discrete(4), spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(3)])
def test_logits_give_the_models_log_probabilities(space: spaces.Space) -> None:
    model = A2C("MlpPolicy", RandomEnv(VECTOR, space), **small())
    with th.no_grad():
        model.policy.action_net.weight.mul_(100)  # a fresh policy is nearly uniform
    answer = output(SB3Teacher(model), observations())
    np.testing.assert_array_equal(answer.actions, model.predict(observations(), deterministic=True)[0])
    space.seed(0)
    actions = np.stack([space.sample() for _ in range(5)])
    log_prob = model.policy.evaluate_actions(th.as_tensor(observations()), th.as_tensor(actions).float())[1].detach().numpy()
    logits = np.asarray(answer.logits, dtype=np.float64)
    if isinstance(space, spaces.MultiBinary):
        expected = -np.log1p(np.exp(np.where(actions == 1, -logits, logits))).sum(axis=1)
    else:
        nvec = [space.n] if isinstance(space, spaces.Discrete) else space.nvec
        expected = np.zeros(5)
        for part, choice in zip(np.split(logits, np.cumsum(nvec)[:-1], axis=1), actions.reshape(5, -1).T, strict=True):
            expected += part[np.arange(5), choice] - np.log(np.exp(part).sum(axis=1))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    assert answer.std is None


def test_gsde_gives_the_std_of_its_log_probabilities() -> None:
    model = small_ppo(use_sde=True)
    answer = output(SB3Teacher(model), observations())
    actions = np.random.default_rng(1).uniform([-2, 0], [2, 5], (5, 2)).astype(np.float32)
    log_prob = model.policy.evaluate_actions(th.as_tensor(observations()), th.as_tensor(actions))[1].detach().numpy()
    mean = model.policy.get_distribution(th.as_tensor(observations())).mode().detach().numpy()
    std = np.asarray(answer.std, dtype=np.float64)
    expected = (-0.5 * ((actions - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)
    np.testing.assert_array_equal(answer.actions, np.clip(mean, BOX.low, BOX.high))


def test_squashed_model_answers_in_env_units_without_distribution() -> None:
    model = small_ppo(use_sde=True, policy_kwargs={"net_arch": [8], "squash_output": True})
    model.policy.action_net.bias.data = th.tensor([20.0, 0.0])  # tanh(20) = 1, tanh(0) = 0
    with th.no_grad():
        model.policy.action_net.weight.zero_()
    teacher = SB3Teacher(model)
    assert not teacher.gives_distribution
    # [-1, 1] is [-2, 2] and [0, 5] in the environment
    np.testing.assert_allclose(teacher.predict(observations(2)).actions, [[2, 2.5], [2, 2.5]], rtol=1e-6)


@pytest.mark.parametrize("algorithm", [SAC, TD3])
def test_off_policy_models_give_actions(algorithm: type[Any]) -> None:
    model = algorithm("MlpPolicy", RandomEnv(VECTOR, BOX), buffer_size=10, **small())
    teacher = SB3Teacher(model)
    np.testing.assert_array_equal(
        teacher.predict(observations()).actions, model.predict(observations(), deterministic=True)[0]
    )
    assert not teacher.gives_distribution


def test_dqn_gives_the_greedy_action() -> None:
    model = DQN("MlpPolicy", RandomEnv(VECTOR, spaces.Discrete(4)), buffer_size=10, exploration_initial_eps=1.0, **small())
    greedy = model.q_net(th.as_tensor(observations(20))).argmax(dim=1).numpy()
    np.testing.assert_array_equal(SB3Teacher(model).predict(observations(20)).actions, greedy)


def test_images_channels_last_reach_the_network_channels_first() -> None:
    model = PPO("CnnPolicy", RandomEnv(IMAGE, BOX), n_steps=2, batch_size=2, seed=0, device="cpu")
    assert model.observation_space.shape == (3, 40, 36)
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 36, 3), dtype=np.uint8)
    expected = model.predict(np.moveaxis(images, 3, 1), deterministic=True)[0]
    np.testing.assert_array_equal(output(SB3Teacher(model), images).actions, expected)
    np.testing.assert_array_equal(output(SB3Teacher(model), {"frame": images}).actions, expected)


def test_dict_observations_are_picked_and_normalized_by_name() -> None:
    space = spaces.Dict({"a": VECTOR, "b": spaces.Box(-1, 1, (2,))})
    env = DummyVecEnv([lambda: RandomEnv(space, BOX)])
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, **small())
    normalize = VecNormalize(env, norm_obs_keys=["a"])
    normalize.obs_rms["a"].mean = np.full(3, 2.0)
    batch = {"a": observations(), "b": np.ones((5, 2), np.float32), "not for the model": np.zeros((5, 9))}
    peer = {"a": ((batch["a"] - 2.0) / np.sqrt(1 + 1e-8)).astype(np.float32).clip(-10, 10), "b": batch["b"]}
    answer = output(SB3Teacher(model, normalize), batch)
    np.testing.assert_array_equal(answer.actions, model.predict(peer, deterministic=True)[0])
    with pytest.raises(TeacherError, match=r"needs the observations 'a', 'b', .*offers 'a' \(float32 of shape \(3,\)\)"):
        SB3Teacher(model).predict({"a": observations()})
    with pytest.raises(TeacherError, match="offers one array without a name"):
        SB3Teacher(model).predict(observations())


class Dropout(BaseFeaturesExtractor):
    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 3)
        self.dropout = th.nn.Dropout(0.5)

    def forward(self, tensor: th.Tensor) -> th.Tensor:
        return self.dropout(tensor)


def test_asking_is_repeatable_and_draws_nothing() -> None:
    model = small_ppo(policy_kwargs={"net_arch": [8], "features_extractor_class": Dropout})
    model.policy.set_training_mode(True)
    torch_state, numpy_state = th.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (what SB3 draws from)
    first, second = (output(SB3Teacher(model), observations()) for _ in range(2))
    np.testing.assert_array_equal(first.actions, second.actions)
    assert th.equal(th.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_a_sampling_teacher_draws_from_its_distribution_and_gives_none() -> None:
    model = small_ppo(action_space=spaces.Box(-100, 100, (1,)))
    model.policy.log_std.data = th.tensor([1.0])
    teacher = SB3Teacher(model, deterministic=False)
    assert not teacher.gives_distribution
    th.manual_seed(0)
    actions = teacher.predict(np.tile(observations(1), (4000, 1))).actions
    # four standard errors of a standard deviation estimated from 4000 samples
    assert actions.std() == pytest.approx(np.e, abs=4 * np.e / np.sqrt(2 * 4000))


def test_archive_of_a_named_algorithm(tmp_path: Path) -> None:
    model = SAC("MlpPolicy", RandomEnv(VECTOR, BOX), buffer_size=10, **small())
    model.save(tmp_path / "sac.zip")
    teacher = SB3Teacher(str(tmp_path / "sac.zip"), algorithm=SAC)
    np.testing.assert_array_equal(
        teacher.predict(observations()).actions, model.predict(observations(), deterministic=True)[0]
    )
    with pytest.raises(TeacherError, match=r"sac\.zip holds no student of RPD, PPO.*algorithm="):
        SB3Teacher(tmp_path / "sac.zip")
    with pytest.raises(TeacherError, match=r"sac\.zip does not load as a PPO model.*algorithm="):
        SB3Teacher(tmp_path / "sac.zip", algorithm=PPO)
    with pytest.raises(FileNotFoundError):
        SB3Teacher(tmp_path / "missing.zip")


def test_archive_tells_its_algorithm_and_needs_no_ending(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", RandomEnv(VECTOR, BOX), **small())
    model.save(tmp_path / "old")
    teacher = SB3Teacher(tmp_path / "old")
    np.testing.assert_array_equal(
        teacher.predict(observations()).actions, model.predict(observations(), deterministic=True)[0]
    )


def test_file_that_is_no_vec_normalize(tmp_path: Path) -> None:
    model = small_ppo()
    save_to_pkl(tmp_path / "other.pkl", [1, 2])
    with pytest.raises(TeacherError, match=r"holds a list, not what VecNormalize\.save\(\) writes"):
        SB3Teacher(model, tmp_path / "other.pkl")


def test_setup_compares_action_spaces() -> None:
    teacher = SB3Teacher(small_ppo())
    teacher.setup(spaces.Box(BOX.low.astype(np.float64), BOX.high.astype(np.float64), dtype=np.float64))
    for other in (spaces.Box(-1, 1, (2,)), spaces.Box(-2, 2, (3,)), spaces.Discrete(2)):
        with pytest.raises(TeacherError, match=r"acts in Box\(\[-2.*the environment in (Box|Discrete)"):
            teacher.setup(other)


def test_wrong_shapes_are_named(statistics: VecNormalize) -> None:
    teacher = SB3Teacher(small_ppo(), statistics)
    with pytest.raises(TeacherError, match=r"statistics have the shape \(3,\), the environment's observations \(4,\)"):
        teacher.predict(np.zeros((2, 4)))
    with pytest.raises(TeacherError, match=r"takes one array.*offers 'x' \(float\d+ of shape .*\), 'y' \("):
        teacher.predict({"x": observations(), "y": observations()})


def test_recurrent_models_are_refused() -> None:
    model = RecurrentPPO("MlpLstmPolicy", RandomEnv(VECTOR, BOX), n_steps=8, batch_size=8, **small(lstm_hidden_size=4))
    with pytest.raises(TeacherError, match="RecurrentPPO is recurrent"):
        SB3Teacher(model)


# ---------------------------------------------------------------- statistics that a model carries


def test_model_that_carries_its_vec_normalize_uses_it(statistics: VecNormalize) -> None:
    model = PPO("MlpPolicy", statistics, n_steps=8, batch_size=8, **small())
    teacher = SB3Teacher(model)
    normalized = np.clip((observations() - [1, -2, 3]) / np.sqrt(np.array([4, 9, 0.25]) + 1e-8), -1.5, 1.5)
    expected = model.predict(normalized.astype(np.float32), deterministic=True)[0]
    np.testing.assert_array_equal(output(teacher, observations()).actions, expected)
    # a copy: training the teacher further does not matter
    statistics.obs_rms.mean += 100.0
    np.testing.assert_array_equal(output(teacher, observations()).actions, expected)
    # as through make_teacher, and statistics that are named go before
    statistics.obs_rms.mean -= 100.0
    np.testing.assert_array_equal(output(make_teacher(model), observations()).actions, expected)
    other = VecNormalize(DummyVecEnv([lambda: RandomEnv(VECTOR, BOX)]))
    other.obs_rms.mean = np.zeros(3)
    other.obs_rms.var = np.full(3, 100.0)
    raw = model.predict((observations() / np.sqrt(100 + 1e-8)).astype(np.float32), deterministic=True)[0]
    np.testing.assert_allclose(output(SB3Teacher(model, other), observations()).actions, raw, rtol=1e-5)


def test_vec_normalize_of_rewards_alone_changes_no_observation() -> None:
    env = VecNormalize(DummyVecEnv([lambda: RandomEnv(VECTOR, BOX)]), norm_obs=False)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=8, **small())
    expected = model.predict(observations(), deterministic=True)[0]
    np.testing.assert_array_equal(output(SB3Teacher(model), observations()).actions, expected)


# ---------------------------------------------------------------- action masks


class MaskedEnv(RandomEnv):
    """Forbids all but what its masks allow."""

    def action_masks(self) -> np.ndarray:
        return np.ones(int(n_choices(self.action_space).sum()), dtype=bool)


def n_choices(space: spaces.Space) -> np.ndarray:
    return {"Discrete": lambda: [space.n], "MultiDiscrete": lambda: space.nvec, "MultiBinary": lambda: [2] * space.n}[
        type(space).__name__
    ]()


def maskable(space: spaces.Space, observation_space: spaces.Space = VECTOR) -> MaskablePPO:
    policy = "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"
    return MaskablePPO(policy, MaskedEnv(observation_space, space), n_steps=8, batch_size=8, **small())


def random_masks(space: spaces.Space, n: int) -> np.ndarray:
    """Masks that allow at least one value of each number of an action."""
    rng = np.random.default_rng(1)
    groups = []
    for size in n_choices(space):
        group = rng.random((n, size)) < 0.4
        group[np.arange(n), rng.integers(size, size=n)] = True
        groups.append(group)
    return np.concatenate(groups, axis=1)


@pytest.mark.parametrize("name", ["action_mask", "action_masks"])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
@pytest.mark.parametrize(
    "space", [spaces.Discrete(5), spaces.MultiDiscrete([3, 2, 4]), spaces.MultiBinary(3)], ids=lambda s: type(s).__name__
)
def test_masked_model_gives_allowed_actions_only(space: spaces.Space, dtype: Any, name: str) -> None:
    model = maskable(space)
    masks = random_masks(space, 60)
    teacher = SB3Teacher(model)
    teacher.setup(space)
    actions = teacher.predict({"state": observations(60), name: masks.astype(dtype)}).actions
    np.testing.assert_array_equal(actions, model.predict(observations(60), deterministic=True, action_masks=masks)[0])
    starts = np.cumsum([0, *n_choices(space)[:-1]])
    assert np.take_along_axis(masks, actions.reshape(60, -1).astype(int) + starts, axis=1).all()
    # the masks matter here: without them some of these actions are forbidden ones
    free = model.predict(observations(60), deterministic=True)[0].reshape(60, -1) + starts
    assert not np.take_along_axis(masks, free.astype(int), axis=1).all()


def test_masked_model_whose_observation_contains_the_mask() -> None:
    space = spaces.Discrete(4)
    model = maskable(space, spaces.Dict({"x": VECTOR, "action_mask": spaces.MultiBinary(4)}))
    offered = {"x": observations(9), "action_mask": random_masks(space, 9).astype(np.int8), "frame": np.zeros((9, 2, 2, 3))}
    seen = {name: offered[name] for name in ("x", "action_mask")}
    expected = model.predict(seen, deterministic=True, action_masks=offered["action_mask"])[0]
    np.testing.assert_array_equal(SB3Teacher(model).predict(offered).actions, expected)


def test_state_in_which_nothing_is_allowed_has_no_answer() -> None:
    masks = np.ones((5, 5), dtype=bool)
    masks[2] = False
    actions = SB3Teacher(maskable(spaces.Discrete(5))).predict({"x": observations(), "action_mask": masks}).actions
    assert np.isnan(actions).tolist() == [False, False, True, False, False]
    # one number of an action without a choice is enough
    masks = np.ones((5, 5), dtype=bool)
    masks[3, 3:] = False
    actions = SB3Teacher(maskable(spaces.MultiDiscrete([3, 2]))).predict({"x": observations(), "action_mask": masks}).actions
    assert np.isnan(actions).all(axis=1).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("offered", [observations(), {"state": observations()}], ids=["array", "dict"])
def test_masked_model_without_masks_is_an_error_that_says_what_to_offer(offered: Any) -> None:
    with pytest.raises(TeacherError, match=r"trained with action masks.*TeacherActionWrapper.*'action_mask'"):
        SB3Teacher(maskable(spaces.Discrete(5))).predict(offered)


def test_masks_of_another_length_are_an_error() -> None:
    with pytest.raises(TeacherError, match=r"'action_mask' has the shape \(4,\).*Discrete\(5\) has 5 choices"):
        SB3Teacher(maskable(spaces.Discrete(5))).predict({"x": observations(), "action_mask": np.ones((5, 4))})


def test_labels_of_a_masked_teacher_in_training_are_allowed() -> None:
    """The k-th state allows the actions k and k + 1 of 5 alone."""

    class Walk(RandomEnv):
        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
            self.place = 0
            return np.full(3, self.place, np.float32), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.place = (self.place + 1) % 4
            return np.full(3, self.place, np.float32), 0.0, False, False, {}

    def offer(env: gym.Env) -> np.ndarray:
        allowed = np.zeros(5, dtype=bool)
        allowed[env.unwrapped.place : env.unwrapped.place + 2] = True
        return allowed

    def make() -> gym.Env:
        read = {"state": lambda env: np.full(3, env.unwrapped.place, np.float32), "action_mask": offer}
        return TeacherActionWrapper(Walk(VECTOR, spaces.Discrete(5)), observation=read)

    student = RPD("MlpPolicy", DummyVecEnv([make]), n_steps=16, batch_size=16, teacher=maskable(spaces.Discrete(5)), **small())
    student.learn(16)
    places = student.rollout_buffer.observations.reshape(16, 3)[:, 0]
    labels = student.rollout_buffer.teacher_actions.reshape(16)
    assert set(labels - places) <= {0.0, 1.0}


# ---------------------------------------------------------------- conversions


def test_gripper_of_the_models_training_is_converted() -> None:
    teachers_space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 1.0], np.float32))
    env_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    model = small_ppo(action_space=teachers_space)
    model.policy.action_net.bias.data = th.tensor([0.25, 0.5])
    with pytest.raises(TeacherError, match="convert_actions"):
        SB3Teacher(model).setup(env_space)
    teacher = SB3Teacher(model, convert_actions="signed_gripper")
    teacher.setup(env_space)
    plain, signed = output(SB3Teacher(model), observations()), output(teacher, observations())
    np.testing.assert_array_equal(signed.actions[:, 0], plain.actions[:, 0])
    np.testing.assert_allclose(signed.actions[:, 1], 2 * plain.actions[:, 1] - 1, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(signed.std, plain.std * [1, 2], rtol=1e-6)
    assert not SB3Teacher(model, convert_actions=np.negative).gives_distribution
    with pytest.raises(TeacherError, match="acts in"):
        SB3Teacher(model, convert_actions=lambda actions: actions[:, :1]).setup(env_space)
