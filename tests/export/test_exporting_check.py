"""The check of an exported file against its student: what differs is not kept, and rounding is no difference."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd.common.errors import ExportError
from sb3_rpd.export import export_student

SETTINGS: dict[str, Any] = dict(n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")


class Counting(FlattenExtractor):
    """Adds how often it was called, which an exported program cannot know."""

    calls = 0

    def forward(self, observations: th.Tensor) -> th.Tensor:
        self.calls += 1
        return super().forward(observations) + self.calls


class Branching(FlattenExtractor):
    def forward(self, observations: th.Tensor) -> th.Tensor:
        features = super().forward(observations)
        return features if features.sum() > 0 else -features


@pytest.mark.parametrize(
    ("extractor", "message"),
    [(Counting, "does not act as the student does: its action is"), (Branching, "decides in Python by the values it sees")],
)
@pytest.mark.parametrize("name", ["student.onnx", "student.pt2"])
def test_no_file_is_left_that_acts_otherwise(name: str, extractor: type, message: str, tmp_path: Path) -> None:
    kwargs = dict(features_extractor_class=extractor, net_arch=[])
    model = PPO("MlpPolicy", DummyVecEnv([lambda: SpacesEnv(ACTION_SPACES["box"])]), policy_kwargs=kwargs, **SETTINGS)
    with th.no_grad():
        model.policy.action_net.weight.fill_(0.01)
    (tmp_path / name).write_text("of before")
    with pytest.raises(ExportError, match=message) as refused:
        export_student(model, tmp_path / name)
    assert len(str(refused.value)) < 400
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "of before"


class Answering(ActorCriticPolicy):
    """Its ``predict`` makes something else of its action, which no file can know."""

    change: Callable[[np.ndarray], np.ndarray]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        action, state = super().predict(*args, **kwargs)
        return type(self).change(action), state


def answering(change: Callable[[np.ndarray], np.ndarray]) -> PPO:
    """Without the change its action is (800, -3), whatever it observes."""
    wide = spaces.Box(-1000.0, 1000.0, (2,), np.float32)
    model = PPO(
        type("Policy", (Answering,), {"change": staticmethod(change)}), DummyVecEnv([lambda: SpacesEnv(wide)]), **SETTINGS
    )
    with th.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.copy_(th.tensor([800.0, -3.0]))
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda action: action.astype(np.float64),
            r"gives action as float32 of the shape \(32, 2\), the student as float64 of",
        ),
        (lambda action: action[:, :1], r"as float32 of the shape \(32, 2\), the student as float32 of the shape \(32, 1\)"),
        # a ten-thousandth of the largest output is 0.08
        (lambda action: action + np.float32([0.0, 0.09]), r"its action is 0\.09 away"),
        (lambda action: action * np.float32(np.nan), "its action is nan away"),
        # of a single row only
        (lambda action: action if len(action) > 1 else -action, r"its action is 1\.6e\+03 away"),
    ],
    ids=["dtype", "shape", "tolerance", "nan", "one row"],
)
def test_a_file_that_differs_is_not_kept(change: Callable[[np.ndarray], np.ndarray], message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        export_student(answering(change), tmp_path / "student.pt2")
    assert not list(tmp_path.iterdir())


def test_rounding_is_no_difference_and_is_reported(tmp_path: Path) -> None:
    report = export_student(answering(lambda action: action + np.float32([0.0, 0.0625])), tmp_path / "student.pt2")
    assert report.difference == 0.0625
    assert str(report).splitlines()[-1] == "checked   33 observations, at most 6.2e-02 from the student's own output"
