"""The imitation term: its parameter change against an independent oracle, and its effect on the student."""

import copy
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, SpacesEnv, scripted_teacher

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.teachers.function import FunctionTeacher

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
BOX = ACTION_SPACES["box"]
N_STEPS, N_ENVS, BATCH_SIZE, N_EPOCHS = 10, 2, 8, 2
COEF, ENT_COEF, VF_COEF, CLIP_RANGE, MAX_GRAD_NORM, LEARNING_RATE = 1.7, 0.01, 0.5, 0.2, 0.5, 1e-3
SDE: dict[str, Any] = {"use_sde": True}
SQUASHED: dict[str, Any] = {"use_sde": True, "policy_kwargs": {"net_arch": [8], "squash_output": True}}

# name: (action space, observation space, policy, other arguments)
CASES: dict[str, tuple[spaces.Space, spaces.Space | None, str, dict[str, Any]]] = {
    **{name: (space, None, "MlpPolicy", {}) for name, space in ACTION_SPACES.items()},
    "matrix": (spaces.Box(np.float32([[-1, -2], [0, 1]]), np.float32([[1, 3], [1, 5]])), None, "MlpPolicy", {}),
    "box_nll": (BOX, None, "MlpPolicy", {"imitation_loss": "nll"}),
    "gsde": (BOX, None, "MlpPolicy", SDE),
    "gsde_nll": (BOX, None, "MlpPolicy", SDE | {"imitation_loss": "nll"}),
    "gsde_squashed": (BOX, None, "MlpPolicy", SQUASHED),
    "image": (
        BOX,
        IMAGE_SPACE,
        "CnnPolicy",
        {"policy_kwargs": {"net_arch": [8], "features_extractor_kwargs": {"features_dim": 8}}},
    ),
    "separate_extractors": (
        BOX,
        IMAGE_SPACE,
        "CnnPolicy",
        {
            "policy_kwargs": {
                "net_arch": [8],
                "share_features_extractor": False,
                "features_extractor_kwargs": {"features_dim": 8},
            }
        },
    ),
    "dict": (
        BOX,
        DICT_SPACE,
        "MultiInputPolicy",
        {"policy_kwargs": {"net_arch": [8], "features_extractor_kwargs": {"cnn_output_dim": 8}}},
    ),
    "sparse_labels": (BOX, None, "MlpPolicy", {"label_fraction": 0.4}),
}


class SnapshotRPD(RPD):
    """Keeps what training began with."""

    def train(self) -> None:
        buffer = self.rollout_buffer
        names = ("observations", "actions", "values", "log_probs", "advantages", "returns", "teacher_actions")
        self.rollout = {name: copy.deepcopy(getattr(buffer, name)) for name in names}
        self.policy_before = copy.deepcopy(self.policy.state_dict())
        self.generator = np.random.RandomState()
        self.generator.set_state(np.random.get_state())  # noqa: NPY002
        super().train()


def make_model(case: str, algorithm: type[PPO] = SnapshotRPD, **kwargs: Any) -> Any:
    action_space, observation_space, policy, arguments = CASES[case]
    if algorithm is PPO:
        arguments = {name: value for name, value in arguments.items() if not name.startswith(("imitation", "label"))}
    else:
        arguments = {"teacher": scripted_teacher(action_space), "imitation_coef": COEF} | arguments
    common: dict[str, Any] = {
        "n_steps": N_STEPS,
        "batch_size": BATCH_SIZE,
        "n_epochs": N_EPOCHS,
        "ent_coef": ENT_COEF,
        "vf_coef": VF_COEF,
        "clip_range": CLIP_RANGE,
        "max_grad_norm": MAX_GRAD_NORM,
        "learning_rate": LEARNING_RATE,
        "policy_kwargs": {"net_arch": [8]},
        "seed": 1,
        "device": "cpu",
    }
    env = make_vec_env(lambda: SpacesEnv(action_space, observation_space), n_envs=N_ENVS, seed=2)
    return algorithm(policy, env, **(common | arguments | kwargs))


def flat(array: np.ndarray) -> th.Tensor:
    """Environment by environment, as SB3 flattens a rollout."""
    return th.as_tensor(np.ascontiguousarray(array.swapaxes(0, 1)).reshape(-1, *array.shape[2:]))


def oracle_imitation_loss(case: str, policy: ActorCriticPolicy, observations: Any, labels: th.Tensor) -> th.Tensor:
    """The mean over labeled rows, written out with torch's own distributions and a forward pass of its own."""
    labeled = ~th.isnan(labels).any(dim=1)
    if not labeled.any():
        return th.zeros(())
    action_space = CASES[case][0]
    distribution: Any = policy.get_distribution(observations).distribution
    labels = labels[labeled]
    if isinstance(action_space, spaces.Discrete):
        return -distribution.logits.log_softmax(1)[labeled].gather(1, labels.long()).mean()
    if isinstance(action_space, spaces.MultiDiscrete):
        log_probs = [part.logits[labeled].gather(1, labels[:, i : i + 1].long()) for i, part in enumerate(distribution)]
        return -th.stack(log_probs).sum(dim=0).mean()
    if isinstance(action_space, spaces.MultiBinary):
        return th.nn.functional.binary_cross_entropy(distribution.probs[labeled], labels, reduction="none").sum(dim=1).mean()
    mean = distribution.mean[labeled]
    if case.endswith("nll"):
        std = distribution.stddev[labeled]
        return (0.5 * ((labels - mean) / std) ** 2 + std.log() + 0.5 * np.log(2 * np.pi)).sum(dim=1).mean()
    if case == "gsde_squashed":
        mean = mean.tanh()
    return ((mean - labels) ** 2).mean()


def oracle_loss(case: str, policy: ActorCriticPolicy, rollout: dict[str, Any], rows: np.ndarray) -> th.Tensor:
    observations = (
        {k: v[rows] for k, v in rollout["observations"].items()} if case == "dict" else rollout["observations"][rows]
    )
    actions = rollout["actions"][rows].float()
    if isinstance(CASES[case][0], spaces.Discrete):
        actions = actions.long().flatten()
    distribution = policy.get_distribution(observations)
    log_prob = distribution.log_prob(actions)
    entropy = distribution.entropy()
    entropy = -log_prob if entropy is None else entropy
    advantages = rollout["advantages"][rows]
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = (log_prob - rollout["log_probs"][rows]).exp()
    surrogate = th.min(advantages * ratio, advantages * ratio.clamp(1 - CLIP_RANGE, 1 + CLIP_RANGE)).mean()
    value_loss = ((rollout["returns"][rows] - policy.predict_values(observations).flatten()) ** 2).mean()
    imitation = oracle_imitation_loss(case, policy, observations, rollout["teacher_actions"][rows])
    return -surrogate - ENT_COEF * entropy.mean() + VF_COEF * value_loss + COEF * imitation


@pytest.mark.parametrize("case", CASES)
def test_parameter_change_is_that_of_the_written_out_loss(case: str) -> None:
    model = make_model(case).learn(N_STEPS * N_ENVS)
    rollout = {
        name: {k: flat(v) for k, v in array.items()} if isinstance(array, dict) else flat(array)
        for name, array in model.rollout.items()
    }
    policy = make_model(case, PPO).policy
    policy.load_state_dict(model.policy_before)
    policy.set_training_mode(True)
    for _ in range(N_EPOCHS):
        order = model.generator.permutation(N_STEPS * N_ENVS)
        for start in range(0, len(order), BATCH_SIZE):
            policy.optimizer.zero_grad()
            oracle_loss(case, policy, rollout, order[start : start + BATCH_SIZE]).backward()
            th.nn.utils.clip_grad_norm_(policy.parameters(), MAX_GRAD_NORM)
            policy.optimizer.step()

    without_teacher = make_model(case, PPO).learn(N_STEPS * N_ENVS).policy.state_dict()
    largest_difference = 0.0
    for name, parameter in policy.state_dict().items():
        th.testing.assert_close(model.policy.state_dict()[name], parameter, rtol=0, atol=1e-6, msg=name)
        largest_difference = max(largest_difference, float((parameter - without_teacher[name]).abs().max()))
    # The term did something
    assert largest_difference > 1e-4


def test_labels_of_a_squashing_policy_are_in_its_units() -> None:
    model = make_model("gsde_squashed").learn(N_STEPS * N_ENVS)
    labels = model.rollout["teacher_actions"]
    assert BOX.high[1] > 1
    in_env_units = scripted_teacher(BOX)(model.rollout["observations"].reshape(-1, 4)).reshape(labels.shape)
    np.testing.assert_allclose(labels, 2 * (in_env_units - BOX.low) / (BOX.high - BOX.low) - 1, atol=1e-6)


def test_imitation_moves_the_student_and_not_the_teacher() -> None:
    """On a fixed batch the imitation loss falls; the teacher, here another PPO model, stays what it was."""
    teacher = make_model("box", PPO, seed=11)
    with th.no_grad():
        teacher.policy.action_net.weight.mul_(100.0)
    before = copy.deepcopy(teacher.policy.state_dict())
    student = make_model("box", RPD, teacher=teacher, imitation_coef=10.0, learning_rate=3e-3, n_epochs=10)
    batch = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 4)).astype(np.float32)
    wanted = teacher.predict(batch, deterministic=True)[0]

    def loss() -> float:
        return float(np.mean((student.predict(batch, deterministic=True)[0] - wanted) ** 2))

    loss_before = loss()
    student.learn(20 * N_STEPS * N_ENVS)
    assert loss() < 0.25 * loss_before
    for name, parameter in teacher.policy.state_dict().items():
        assert th.equal(before[name], parameter), name
    assert all(parameter.grad is None for parameter in teacher.policy.parameters())


def test_teacher_made_with_torch_builds_no_graph() -> None:
    network = th.nn.Linear(4, 2)
    answers: list[th.Tensor] = []

    def teach(observations: np.ndarray) -> np.ndarray:
        answers.append(network(th.as_tensor(observations)).clamp(-1, 1))
        return answers[-1].numpy()

    make_model("box", RPD, teacher=teach).learn(N_STEPS * N_ENVS)
    assert answers
    assert not any(answer.requires_grad for answer in answers)


def test_one_forward_pass_and_one_optimizer_step_for_each_minibatch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("box", RPD, fast=False)
    calls = {"evaluate_actions": 0, "get_distribution": 0, "step": 0}

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    count(model.policy, "evaluate_actions")
    count(model.policy, "get_distribution")
    count(model.policy.optimizer, "step")
    model.learn(2 * N_STEPS * N_ENVS)
    # 20 entries in minibatches of 8, twice over, for two rollouts
    assert calls == {"evaluate_actions": 12, "get_distribution": 0, "step": 12}


def test_rollout_without_any_label_trains_as_ppo_does() -> None:
    """Labels masked at random leave NaN nowhere but in the buffer; no label at all leaves PPO."""

    def mute(observations: np.ndarray) -> np.ndarray:
        return np.full((len(observations), 2), np.nan)

    with pytest.warns(UserWarning, match="Labels are missing"):
        rpd = make_model("box", RPD, teacher=mute, max_missing_labels=1.0).learn(N_STEPS * N_ENVS)
    ppo = make_model("box", PPO).learn(N_STEPS * N_ENVS)
    for name, parameter in ppo.policy.state_dict().items():
        assert th.equal(parameter, rpd.policy.state_dict()[name]), name


def test_kl_uses_the_distribution_that_the_teacher_gives() -> None:
    teacher = make_model("box", PPO, seed=11)
    model = make_model("box", RPD, teacher=teacher, imitation_loss="kl", imitation_coef=10.0, learning_rate=1e-2)
    batch = th.as_tensor(np.random.default_rng(0).uniform(-1.0, 1.0, (50, 4)).astype(np.float32))

    def divergence() -> float:
        student = model.policy.get_distribution(batch).distribution
        return th.distributions.kl_divergence(teacher.policy.get_distribution(batch).distribution, student).mean().item()

    with th.no_grad():
        model.policy.log_std.fill_(0.7)
    before = divergence()
    model.learn(10 * N_STEPS * N_ENVS)
    assert divergence() < 0.5 * before


def test_distribution_reaches_exactly_its_entry() -> None:
    """A standard deviation that tells the observation it belongs to."""

    def teach(observations: np.ndarray) -> TeacherOutput:
        return TeacherOutput(np.zeros((len(observations), 2)), std=1.0 + np.abs(observations[:, :2]))

    teacher = FunctionTeacher(teach, gives_distribution=True)
    model = make_model("box", RPD, teacher=teacher, imitation_loss="kl", label_batch_size=3).learn(N_STEPS * N_ENVS)
    batch = next(model.rollout_buffer.get(None))
    th.testing.assert_close(batch.teacher_labels.std, 1.0 + batch.observations[:, :2].abs())


def test_controller_in_the_environment_needs_no_teacher() -> None:
    def build() -> TeacherActionWrapper:
        env = SpacesEnv(BOX)
        return TeacherActionWrapper(env, controller=lambda wrapped: np.array([0.5, -1.5]))

    model = RPD("MlpPolicy", VecNormalize(DummyVecEnv([build])), n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]})
    model.learn(16)
    np.testing.assert_array_equal(model.rollout_buffer.teacher_actions, np.tile(np.float32([0.5, -1.5]), (8, 1, 1)))


@pytest.mark.parametrize("fast", [True, False])
def test_own_loss_that_returns_a_scalar_is_refused_on_either_path(fast: bool) -> None:
    class Scalar(ImitationLoss):
        def per_sample(self, distribution: Any, labels: Any, ratio: th.Tensor, clip_range: float) -> th.Tensor:
            return (distribution.mode() - labels.actions).abs().mean()

    model = make_model("box", fast=fast, imitation_loss=Scalar(), label_fraction=0.5)
    with pytest.raises(ValueError, match=r"Scalar\.per_sample returned a tensor of shape \(\)"):
        model.learn(2 * 12)
