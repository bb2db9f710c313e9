"""The fast path for every distribution over actions against the plain one, with every option and every imitation loss."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, SpacesEnv, scripted_teacher
from toy_students import assert_close, assert_trained_alike

from sb3_rpd import RPD
from sb3_rpd.common.gates import SuccessGate
from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber
from sb3_rpd.common.teacher import Teacher, TeacherOutput

pytestmark = [
    pytest.mark.filterwarnings("ignore:Labels are missing"),
    pytest.mark.filterwarnings("ignore:You have specified a mini-batch size"),
    pytest.mark.filterwarnings("ignore:RPD has no teacher"),
]
N_STEPS, N_ENVS = 12, 2

# name: (action space, arguments, arguments of the policy)
HEADS: dict[str, tuple[spaces.Space, dict[str, Any], dict[str, Any]]] = {
    "categorical": (ACTION_SPACES["discrete"], {}, {}),
    "multicategorical": (ACTION_SPACES["multidiscrete"], {}, {}),
    "bernoulli": (ACTION_SPACES["multibinary"], {}, {}),
    "gsde": (ACTION_SPACES["box"], {"use_sde": True, "sde_sample_freq": 4}, {"log_std_init": -1.0}),
    "squashed_gsde": (ACTION_SPACES["box"], {"use_sde": True}, {"log_std_init": -1.0, "squash_output": True}),
}
BOTH_WEIGHTS = (3.0, 0.5)


class DistributionTeacher(Teacher):
    """Gives its distribution, and in every third state nothing."""

    gives_distribution = True

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space = action_space

    def predict(self, observations: Any, instructions: Any = None) -> TeacherOutput:
        numbers = np.sin(5.0 * observations[:, :3]).astype(np.float32)
        if isinstance(self.action_space, spaces.Box):
            actions = scripted_teacher(self.action_space)(observations).astype(np.float32)
            actions[(1000 * observations[:, 0]).astype(int) % 3 == 0] = np.nan
            return TeacherOutput(actions, std=np.abs(numbers[:, :2]) + 0.1)
        width = {"Discrete": 3, "MultiDiscrete": 5, "MultiBinary": 3}[type(self.action_space).__name__]
        return TeacherOutput(
            scripted_teacher(self.action_space)(observations), logits=np.concatenate((numbers, -numbers), axis=1)[:, :width]
        )


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "entropy_bonus": {"ent_coef": 0.05, "vf_coef": 0.3},
    "clip_range_vf": {"clip_range_vf": 0.05, "learning_rate": 1e-2},
    "raw_advantages": {"normalize_advantage": False},
    "minibatch_of_one": {"batch_size": 23},
    "max_grad_norm": {"max_grad_norm": 0.01},
    "target_kl": {"target_kl": 1e-3, "learning_rate": 1e-2, "n_epochs": 6},
    "gate": {"imitation_coef": SuccessGate(teacher_success=0.9, coef=2.0)},
    "sparse_labels": {"label_fraction": 0.2, "batch_size": 4},
    "nll": {"imitation_loss": NLL()},
    "forward_kl": {"imitation_loss": KL()},
    "reverse_kl": {"imitation_loss": KL(direction="reverse"), "ent_coef": 0.02},
    "l1": {"imitation_loss": L1()},
    "huber": {"imitation_loss": Huber(delta=0.3)},
    "weights": {"imitation_loss": MSE(weights=BOTH_WEIGHTS)},
    "cosine": {"imitation_loss": Cosine(groups={"both": (0, 1)})},
}


def fits(head: str, option: str) -> bool:
    loss = OPTIONS[option].get("imitation_loss")
    if isinstance(loss, KL):
        return head != "squashed_gsde"
    return loss is None or isinstance(loss, NLL) or "gsde" in head


CASES = [(head, option) for head in HEADS for option in OPTIONS if fits(head, option)]


def make(
    head: str,
    option: str = "defaults",
    algorithm: type[PPO] = RPD,
    observation_space: spaces.Space | None = None,
    **kwargs: Any,
) -> Any:
    space, arguments, of_policy = HEADS[head]
    own = {}
    if algorithm is RPD:
        is_kl = isinstance(OPTIONS[option].get("imitation_loss"), KL)
        own = {"teacher": DistributionTeacher(space) if is_kl else scripted_teacher(space), "imitation_coef": 2.0}
    defaults: dict[str, Any] = {"policy": "MlpPolicy", "n_steps": N_STEPS, "batch_size": 8, "n_epochs": 3, "seed": 5}
    env = make_vec_env(lambda: SpacesEnv(space, observation_space), n_envs=N_ENVS, seed=3)
    kwargs["policy_kwargs"] = {"net_arch": [8]} | of_policy | kwargs.get("policy_kwargs", {})
    model = algorithm(env=env, device="cpu", **defaults | own | arguments | OPTIONS[option] | kwargs)
    model.set_logger(configure(None, []))
    return model


def train(model: Any) -> Any:
    return model.learn(4 * N_STEPS * N_ENVS, log_interval=1000)


@pytest.mark.parametrize(("head", "option"), CASES)
def test_student_and_log_are_those_of_the_plain_path(head: str, option: str) -> None:
    plain, fast = train(make(head, option, fast=False)), train(make(head, option, fast=True))
    assert_trained_alike(plain, fast)


@pytest.mark.parametrize("head", HEADS)
def test_without_imitation_it_is_ppo_up_to_rounding(head: str) -> None:
    assert_close(train(make(head, "entropy_bonus", PPO)), train(make(head, "entropy_bonus", fast=True, teacher=None)))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("policy", "observation_space", "extractor"),
    [("CnnPolicy", IMAGE_SPACE, {"features_dim": 8}), ("MultiInputPolicy", DICT_SPACE, {"cnn_output_dim": 8})],
)
def test_any_networks(head: str, policy: str, observation_space: spaces.Space, extractor: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"policy": policy, "policy_kwargs": {"features_extractor_kwargs": extractor}}
    assert_close(*(train(make(head, observation_space=observation_space, fast=fast, **arguments)) for fast in (False, True)))


@pytest.mark.parametrize("options", [{"full_std": False}, {"use_expln": True}, {"full_std": False, "use_expln": True}])
@pytest.mark.parametrize("head", ["gsde", "squashed_gsde"])
def test_options_of_gsde(head: str, options: dict[str, Any]) -> None:
    arguments = {"policy_kwargs": {"log_std_init": 0.2} | options, "normalize_advantage": False}
    assert_close(*(train(make(head, fast=fast, **arguments)) for fast in (False, True)))
