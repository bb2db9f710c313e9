"""What the fast path asks the device for while it trains: on a GPU each answer is a wait for all that is under way there."""

from collections import Counter
from typing import Any

import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from torch.utils._python_dispatch import TorchDispatchMode
from toy_envs import ACTION_SPACES, IMAGE_SPACE, SpacesEnv, scripted_teacher
from toy_heads import CubicTimesRatio

from sb3_rpd import RPD
from sb3_rpd.common.losses import NLL, Cosine

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
N_STEPS, N_ENVS, N_EPOCHS = 9, 2, 2

#: Operations whose result, or the shape of it, the host has to know before it goes on.
SYNCS = {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "equal", "unique", "_unique2"}


class SyncCounter(TorchDispatchMode):
    """Counts these operations, and those that choose by booleans."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        is_choice = name in ("index", "index_put_", "index_put") and any(
            index is not None and index.dtype is th.bool for index in args[1]
        )
        if name in SYNCS or is_choice:
            self.counts[name] += 1
        return func(*args, **kwargs or {})


CNN = {"net_arch": [5], "features_extractor_kwargs": {"features_dim": 6}}
#: Action space, policy and further arguments.
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gaussian": ("box", "MlpPolicy", {}),
    "cosine": ("box", "MlpPolicy", {"imitation_loss": Cosine(groups={"all": (0, 1)})}),
    "nll": ("box", "MlpPolicy", {"imitation_loss": NLL()}),
    "loss_by_autograd": ("box", "MlpPolicy", {"imitation_loss": CubicTimesRatio()}),
    "gsde": ("box", "MlpPolicy", {"use_sde": True}),
    "squashed_gsde": ("box", "MlpPolicy", {"use_sde": True, "policy_kwargs": {"squash_output": True}}),
    "categorical": ("discrete", "MlpPolicy", {}),
    "multicategorical": ("multidiscrete", "MlpPolicy", {}),
    "bernoulli": ("multibinary", "MlpPolicy", {}),
    "cnn": ("box", "CnnPolicy", {"policy_kwargs": CNN}),
    "few_labels": ("box", "MlpPolicy", {"label_fraction": 0.2}),
    "all_options": ("box", "MlpPolicy", {"clip_range_vf": 0.1, "ent_coef": 0.01, "normalize_advantage": False}),
}


def syncs_of_training(case: str, batch_size: int, **options: Any) -> Counter[str]:
    """Those of one ``train()``, the second one: the first one makes the state of the optimizer."""
    space, policy, arguments = CASES[case]
    observed = IMAGE_SPACE if policy == "CnnPolicy" else None
    env = make_vec_env(lambda: SpacesEnv(ACTION_SPACES[space], observed), n_envs=N_ENVS, seed=3)
    teacher = scripted_teacher(ACTION_SPACES[space])
    sizes = {"n_steps": N_STEPS, "batch_size": batch_size, "n_epochs": N_EPOCHS}
    model = RPD(policy, env, teacher=teacher, fast=True, seed=5, device="cpu", **sizes, **arguments, **options)
    model.set_logger(configure(None, []))
    model.learn(N_STEPS * N_ENVS)
    with SyncCounter() as counter:
        model.train()
    return counter.counts


def test_the_counter_sees_what_waits() -> None:
    numbers = th.arange(6.0)
    with SyncCounter() as counter:
        assert numbers[2].item() == 2.0
        assert len(numbers[numbers > 3.0]) == 2
        numbers[th.tensor([0, 1])].sum()
    assert counter.counts == {"_local_scalar_dense": 1, "index": 1}
    with SyncCounter() as counter:
        assert (numbers > 4.0).any()
    assert counter.counts.total() == 1
    # What "item" is made of is not seen in this mode
    with th.inference_mode(), SyncCounter() as counter:
        assert th.arange(3.0).sum().item() == 3.0
    assert counter.counts == {"item": 1}


@pytest.mark.parametrize("case", CASES)
def test_no_minibatch_waits_for_the_device(case: str) -> None:
    rows = N_STEPS * N_ENVS
    for_one = syncs_of_training(case, rows)
    # What there is comes once for each epoch or for each training
    assert syncs_of_training(case, 3) == for_one
    assert for_one["index"] == 3  # which minibatches have labels: for the loss of both epochs, and the agreement of the first


def test_only_a_limit_of_the_divergence_has_to_be_looked_at_in_each_minibatch() -> None:
    for_one, for_six = (syncs_of_training("gaussian", size, target_kl=1e6) for size in (N_STEPS * N_ENVS, 3))
    assert (for_six - for_one).total() == N_EPOCHS * 5
