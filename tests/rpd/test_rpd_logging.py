"""What RPD writes to the log: the right numbers, under SB3's names, and never a NaN."""

import io
import math
import time
import warnings
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HumanOutputFormat, KVWriter, Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import ACTION_SPACES, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.schedules import LinearCoef

BOX = ACTION_SPACES["box"]
N_STEPS, N_ENVS = 12, 2
OWN = {
    "train/imitation_loss",
    "train/imitation_coef",
    "train/labeled",
    "train/agreement",
    "teacher/seconds",
    "teacher/queries_per_state",
    "teacher/missing",
    "teacher/clipped",
}


class Pages(KVWriter):
    """Keeps what is dumped."""

    def __init__(self) -> None:
        self.pages: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.pages.append(dict(key_values))


def make_model(algorithm: type[PPO] = RPD, space: str = "box", **kwargs: Any) -> Any:
    env = DummyVecEnv([lambda: Monitor(SpacesEnv(ACTION_SPACES[space]))] * N_ENVS)
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": N_STEPS * N_ENVS, "n_epochs": 1, "seed": 0}
    arguments |= {"policy_kwargs": {"net_arch": [4]}, "device": "cpu"}
    if algorithm is RPD:
        arguments["teacher"] = scripted_teacher(ACTION_SPACES[space])
    return algorithm("MlpPolicy", env, **(arguments | kwargs))


def pages_of(model: Any, iterations: int = 3, **kwargs: Any) -> list[dict[str, Any]]:
    """One page an iteration; as in SB3, what training records is on the page of the next iteration."""
    pages = Pages()
    model.set_logger(Logger(None, [pages]))
    model.learn(iterations * N_STEPS * N_ENVS, **kwargs)
    model.logger.dump(model.num_timesteps)
    return pages.pages


def assert_no_nan(pages: list[dict[str, Any]]) -> None:
    # SB3's explained variance of constant returns is the only NaN that PPO itself may write
    bad = [(name, value) for page in pages for name, value in page.items() if not math.isfinite(value)]
    assert not bad


@pytest.mark.parametrize("space", ACTION_SPACES)
def test_names_are_sb3s_and_its_own(space: str) -> None:
    of_ppo, of_rpd = pages_of(make_model(PPO, space)), pages_of(make_model(RPD, space))
    assert_no_nan(of_rpd)
    for ppo_page, rpd_page in zip(of_ppo[1:], of_rpd[1:], strict=True):
        # The last page is written after the last training and has no rollout
        expected = OWN if "rollout/ep_rew_mean" in ppo_page else {n for n in OWN if n.startswith("train")} - {"train/labeled"}
        assert rpd_page.keys() - ppo_page.keys() == expected
        assert not ppo_page.keys() - rpd_page.keys()
    # A first rollout is the same with and without a teacher
    for name in ("rollout/ep_rew_mean", "rollout/ep_len_mean", "time/total_timesteps"):
        assert of_ppo[0][name] == of_rpd[0][name]


def test_loss_agreement_and_coefficient_of_one_minibatch() -> None:
    model = make_model(imitation_coef=LinearCoef(0.8, 0.2))
    before: dict[str, Any] = {}

    class Watcher(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            observations = self.model.rollout_buffer.observations.swapaxes(0, 1).reshape(-1, 4)
            with th.no_grad():
                mean = self.model.policy.get_distribution(th.as_tensor(observations)).distribution.mean.numpy()
            before["distance"] = mean - scripted_teacher(BOX)(observations)

    first, second = pages_of(model, iterations=1, callback=Watcher())
    distance = before["distance"]
    assert second["train/imitation_loss"] == pytest.approx(np.mean(distance**2), rel=1e-5)
    # Half the widths of the Box are 1 and 2.5
    assert second["train/agreement"] == pytest.approx(np.mean(np.abs(distance) <= [0.1, 0.25]))
    assert second["train/imitation_coef"] == pytest.approx(0.8)
    assert (first["train/labeled"], first["teacher/queries_per_state"], first["teacher/missing"]) == (1.0, 1.0, 0)


def test_minibatches_without_labels_do_not_count() -> None:
    """One label among 24 entries in minibatches of 3: the loss and the agreement are those of that one."""
    teach = scripted_teacher(BOX)

    def reticent(observations: np.ndarray) -> np.ndarray:
        actions = teach(observations)
        actions[1:] = np.nan
        return actions

    model = make_model(teacher=reticent, max_missing_labels=1.0, batch_size=3, learning_rate=0.0)
    with pytest.warns(UserWarning, match="23 of 24 answers have NaN"):
        page = pages_of(model, iterations=1)[1]
    observation = model.rollout_buffer.observations[:1]
    distance = model.policy.get_distribution(th.as_tensor(observation)).distribution.mean.detach().numpy() - teach(observation)
    assert page["train/imitation_loss"] == pytest.approx(np.mean(distance**2), rel=1e-5)
    assert page["train/agreement"] == pytest.approx(np.mean(np.abs(distance) <= [0.1, 0.25]))


def test_coefficient_of_each_iteration() -> None:
    pages = pages_of(make_model(imitation_coef=LinearCoef(0.9, 0.0)))
    assert [page["train/imitation_coef"] for page in pages[1:]] == pytest.approx([0.9, 0.6, 0.3])


@pytest.mark.parametrize(("every", "share"), [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)])
def test_share_of_labels(every: int, share: float) -> None:
    page = pages_of(make_model(label_every=every), iterations=1)[0]
    assert page["train/labeled"] == page["teacher/queries_per_state"] == pytest.approx(share)


def test_share_of_clipped_numbers_is_that_of_the_labels_that_there_are() -> None:
    low, high = BOX.low.astype(np.float64), BOX.high.astype(np.float64)

    def saturated(observations: np.ndarray) -> np.ndarray:
        actions = np.tile((low + high) / 2, (len(observations), 1))
        actions[:2, 0] = high[0] + 0.005 * (high[0] - low[0])  # within the tolerance
        actions[3, 0] = high[0] + 9 * (high[0] - low[0])  # no label
        return actions

    with pytest.warns(UserWarning, match="1 of 6 answers have an action outside"):
        page = pages_of(make_model(teacher=saturated, label_batch_size=6), iterations=1)[0]
    # of 5 labels in 6 entries, each of as many numbers as the space has, 2 have one that was clipped
    assert page["teacher/clipped"] == pytest.approx(2 / 5 / BOX.shape[0])


def test_missing_labels_are_counted() -> None:
    teach = scripted_teacher(BOX)

    def forgetful(observations: np.ndarray) -> np.ndarray:
        actions = teach(observations)
        actions[1] = np.nan
        return actions

    with pytest.warns(UserWarning, match="1 of 6 answers have NaN"):
        page = pages_of(make_model(teacher=forgetful, label_batch_size=6), iterations=1)[0]
    assert page["teacher/missing"] == 4
    assert page["teacher/clipped"] == 0.0
    assert page["train/labeled"] == pytest.approx(20 / 24)
    assert page["teacher/queries_per_state"] == 1.0


def test_seconds_are_those_inside_the_teacher() -> None:
    teach = scripted_teacher(BOX)

    def slow(observations: np.ndarray) -> np.ndarray:
        time.sleep(0.02)
        return teach(observations)

    page = pages_of(make_model(teacher=slow, label_batch_size=6), iterations=1)[0]
    assert page["teacher/seconds"] >= 4 * 0.02


@pytest.mark.parametrize(
    "arguments",
    [
        {"imitation_coef": 0.0},
        {"imitation_coef": LinearCoef(1.0, 0.0, timesteps=N_STEPS * N_ENVS)},
        {"label_fraction": 0.01},
        {"label_every": 7, "batch_size": 3},
        {"teacher": lambda observations: np.full((len(observations), 2), np.nan), "max_missing_labels": 1.0},
    ],
    ids=["coefficient_0", "coefficient_falls_to_0", "hardly_any_label", "minibatches_without_labels", "no_label"],
)
def test_nothing_is_nan(arguments: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Labels are missing")
        pages = pages_of(make_model(**arguments))
    assert_no_nan(pages)
    assert all(page["teacher/queries_per_state"] >= 0 for page in pages[:-1])


def test_coefficient_0_is_logged_as_no_labels() -> None:
    page = pages_of(make_model(imitation_coef=0.0))[1]
    names = ("train/imitation_coef", "train/labeled", "teacher/queries_per_state", "teacher/missing", "teacher/seconds")
    assert [page[name] for name in names] == [0.0] * 5
    assert "train/imitation_loss" not in page


def test_names_fit_into_sb3s_table() -> None:
    """SB3 cuts names at 36 columns and fails when two become equal."""
    model = make_model()
    table = io.StringIO()
    model.set_logger(Logger(None, [HumanOutputFormat(table)]))
    model.learn(2 * N_STEPS * N_ENVS)
    for name in OWN:
        assert len(name) <= 36
        assert f" {name.split('/')[1]} " in table.getvalue()


@pytest.mark.parametrize("algorithm", [PPO, RPD])
def test_progress_bar_is_sb3s(algorithm: type[PPO], monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[int] = []

    class Bar:
        def __init__(self, total: int) -> None:
            self.total = total

        def update(self, n: int) -> None:
            updates.append(n)

        def refresh(self) -> None: ...

        def close(self) -> None:
            updates.append(-self.total)

    monkeypatch.setattr("stable_baselines3.common.callbacks.tqdm", Bar)
    make_model(algorithm).learn(2 * N_STEPS * N_ENVS, progress_bar=True)
    assert updates == [N_ENVS] * (2 * N_STEPS) + [-2 * N_STEPS * N_ENVS]
