"""Exported students, run by the real onnxruntime and by torch: numbers worked out by hand, and those of SB3's predict()."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from toy_envs import ACTION_SPACES, DICT_SPACE, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.export import export_student, load_exported

SETTINGS: dict[str, Any] = dict(n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
BOX = ACTION_SPACES["box"]
IMAGES = spaces.Box(0, 255, (40, 44, 3), np.uint8)


def environment(action_space: spaces.Space, observation_space: spaces.Space | None = None) -> DummyVecEnv:
    return DummyVecEnv([lambda: SpacesEnv(action_space, observation_space)])


def run_onnx(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == list(inputs)
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs), strict=True))


RUNS: dict[str, Callable[[Path, dict[str, np.ndarray]], dict[str, np.ndarray]]] = {
    "student.onnx": run_onnx,
    "student.pt2": lambda path, inputs: load_exported(path)(inputs),
}


def linear_student(env: VecEnv) -> PPO:
    """A student whose action before clipping is W o + b, with numbers that are exact in binary."""
    model = PPO("MlpPolicy", env, policy_kwargs=dict(net_arch=[]), **SETTINGS)
    with th.no_grad():
        model.policy.action_net.weight.copy_(th.tensor([[0.5, -0.25, 1.0, 0.0], [2.0, 0.0, 0.125, -1.0]]))
        model.policy.action_net.bias.copy_(th.tensor([0.25, -0.5]))
    return model


@pytest.mark.parametrize("name", RUNS)
def test_actions_are_those_worked_out_by_hand(name: str, tmp_path: Path) -> None:
    env = VecNormalize(environment(BOX, spaces.Box(-np.inf, np.inf, (4,), np.float32)), clip_obs=3.0, epsilon=0.0)
    model = linear_student(env)
    # The first is so large that float32 has steps of 1/16 there, and the normalization must not make them larger
    env.obs_rms.mean[:] = [1_000_000.0625, 0.0, -1.0, 2.0]
    env.obs_rms.var[:] = [0.25, 4.0, 1.0, 0.0625]
    export_student(model, tmp_path / name)

    observations = np.array([[1_000_000.0, 1.0, 0.0, 2.0], [1_000_000.5, -2.0, 9.0, 1.75]], np.float32)
    # normalized and clipped to 3: [-0.125, 0.5, 1, 0] and [0.875, -1, 3, -1]
    # W o + b: [1.0625, -0.625] and [3.9375, 2.625], in a Box from [-1, -2] to [1, 3]
    action = RUNS[name](tmp_path / name, {"observation": observations})["action"]
    np.testing.assert_array_equal(action, np.array([[1.0, -0.625], [1.0, 2.625]], np.float32))


@pytest.mark.parametrize("name", RUNS)
def test_squashed_actions_are_stretched_to_the_box(name: str, tmp_path: Path) -> None:
    model = PPO("MlpPolicy", environment(BOX), use_sde=True, policy_kwargs=dict(squash_output=True, net_arch=[]), **SETTINGS)
    with th.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.copy_(th.tensor([0.5, -20.0]))
    export_student(model, tmp_path / name)
    action = RUNS[name](tmp_path / name, {"observation": np.ones((3, 4), np.float32)})["action"]
    # tanh(0.5) of [-1, 1]; tanh(-20) = -1 is the lower end of [-2, 3]
    np.testing.assert_allclose(action, np.tile([np.tanh(0.5), -2.0], (3, 1)), rtol=1e-6)


def trained(kind: str) -> BaseAlgorithm:
    models: dict[str, Callable[[], BaseAlgorithm]] = {
        "rpd": lambda: RPD("MlpPolicy", VecNormalize(environment(BOX)), teacher=scripted_teacher(BOX), **SETTINGS),
        "discrete": lambda: PPO("MlpPolicy", environment(ACTION_SPACES["discrete"]), **SETTINGS),
        "images": lambda: PPO("CnnPolicy", environment(BOX, IMAGES), **SETTINGS),
        "dict": lambda: PPO(
            "MultiInputPolicy",
            VecNormalize(environment(ACTION_SPACES["multidiscrete"], DICT_SPACE), norm_obs_keys=["state"]),
            **SETTINGS,
        ),
        "gsde": lambda: PPO("MlpPolicy", environment(BOX), use_sde=True, **SETTINGS),
    }
    return models[kind]().learn(32)


def observations_of(model: BaseAlgorithm, n: int) -> dict[str, np.ndarray]:
    """What the innermost environments give, other observations than those of the export's own check."""
    assert model.env is not None
    space = model.env.unwrapped.observation_space
    space.seed(123)
    samples = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {name: np.stack([sample[name] for sample in samples]) for name in space.spaces}
    return {"observation": np.stack(samples)}


def predicted(model: BaseAlgorithm, inputs: dict[str, np.ndarray], **kwargs: Any) -> Any:
    observation: Any = inputs if isinstance(model.observation_space, spaces.Dict) else inputs["observation"]
    statistics = model.get_vec_normalize_env()
    return model.predict(observation if statistics is None else statistics.normalize_obs(observation), **kwargs)


@pytest.mark.parametrize("kind", ["rpd", "discrete", "images", "dict", "gsde"])
def test_onnx_acts_as_the_student_for_batches_of_any_size(kind: str, tmp_path: Path) -> None:
    model = trained(kind)
    report = export_student(model, tmp_path / "student.onnx")
    for n in (1, 2, 50):
        inputs = observations_of(model, n)
        expected = predicted(model, inputs, deterministic=True)[0]
        action = run_onnx(tmp_path / "student.onnx", inputs)["action"]
        assert action.dtype == expected.dtype
        np.testing.assert_allclose(action, expected, atol=2e-6)
    assert report.difference < 2e-6
    assert report.checked == 33


@st.composite
def space(draw: st.DrawFn, bounded: bool) -> spaces.Space:
    kind = draw(st.sampled_from(["box", "discrete", "multidiscrete", "multibinary"]))
    if kind == "box":
        low = draw(st.floats(-100.0, 0.0, width=32))
        high = draw(st.sampled_from([1.0, 7.5] if bounded else [1.0, np.inf]))
        return spaces.Box(
            low, high, draw(st.sampled_from([(1,), (5,), (2, 3)])), draw(st.sampled_from([np.float32, np.float64]))
        )
    if kind == "discrete":
        return spaces.Discrete(draw(st.integers(2, 9)))
    if kind == "multidiscrete":
        return spaces.MultiDiscrete(draw(st.lists(st.integers(2, 5), min_size=1, max_size=3)))
    return spaces.MultiBinary(draw(st.integers(1, 4)))


@settings(max_examples=8)
@given(observed=space(bounded=False), acted=space(bounded=True))
def test_all_spaces(observed: spaces.Space, acted: spaces.Space, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = PPO("MlpPolicy", environment(acted, observed), **SETTINGS)
    path = tmp_path_factory.mktemp("export") / "student.pt2"
    export_student(model, path)
    inputs = observations_of(model, 7)
    action = load_exported(path)(inputs)["action"]
    expected = predicted(model, inputs, deterministic=True)[0]
    assert (action.dtype, action.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("algorithm", "acted"), [(A2C, "box"), (DQN, "discrete"), (SAC, "box"), (TD3, "box")])
def test_students_of_other_algorithms(algorithm: type[BaseAlgorithm], acted: str, tmp_path: Path) -> None:
    model = algorithm("MlpPolicy", environment(ACTION_SPACES[acted]), seed=0, device="cpu")
    export_student(model, tmp_path / "student.pt2")
    inputs = observations_of(model, 20)
    action = load_exported(tmp_path / "student.pt2")(inputs)["action"]
    expected = predicted(model, inputs, deterministic=True)[0]
    assert len(np.unique(expected, axis=0)) > 1
    np.testing.assert_allclose(action, expected, atol=1e-6)


class ChannelsFirst(SpacesEnv):
    def __init__(self) -> None:
        super().__init__(BOX, spaces.Box(0, 255, (3, 40, 44), np.uint8))


@pytest.mark.parametrize("first", [False, True])
def test_images_of_a_student_without_an_environment_have_the_layout_that_is_named(first: bool, tmp_path: Path) -> None:
    model = PPO("CnnPolicy", DummyVecEnv([ChannelsFirst]) if first else environment(BOX, IMAGES), **SETTINGS)
    inputs = observations_of(model, 2)
    expected = model.predict(inputs["observation"], deterministic=True)[0]
    model.save(tmp_path / "student.zip")
    model = PPO.load(tmp_path / "student.zip", device="cpu")
    export_student(model, tmp_path / "student.pt2", channels_first=first)
    action = load_exported(tmp_path / "student.pt2")(inputs)["action"]
    np.testing.assert_allclose(action, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["vector", "dict"])
def test_recurrent_student_carries_its_state_from_step_to_step(kind: str, tmp_path: Path) -> None:
    if kind == "vector":
        settings_ = dict(policy_kwargs=dict(lstm_hidden_size=8, n_lstm_layers=2), **SETTINGS)
        model = RecurrentPPO("MlpLstmPolicy", VecNormalize(environment(BOX)), **settings_)
    else:
        kwargs = dict(lstm_hidden_size=8, shared_lstm=True, enable_critic_lstm=False)
        model = RecurrentPPO(
            "MultiInputLstmPolicy", environment(ACTION_SPACES["discrete"], DICT_SPACE), policy_kwargs=kwargs, **SETTINGS
        )
    model.learn(32)
    export_student(model, tmp_path / "student.onnx")

    n, layers = 3, 2 if kind == "vector" else 1
    states: Any = None
    hidden = cell = np.zeros((layers, n, 8), np.float32)
    for step in range(6):
        inputs = observations_of(model, n + step)
        inputs = {name: array[-n:] for name, array in inputs.items()}
        starts = np.array([step == 0, step in (0, 3), step == 0])
        action, states = predicted(model, inputs, state=states, episode_start=starts, deterministic=True)
        outputs = run_onnx(
            tmp_path / "student.onnx", {**inputs, "hidden_state": hidden, "cell_state": cell, "episode_start": starts}
        )
        hidden, cell = outputs["next_hidden_state"], outputs["next_cell_state"]
        np.testing.assert_allclose(outputs["action"], action, atol=1e-5)
        np.testing.assert_allclose(hidden, states[0], atol=1e-5)
        np.testing.assert_allclose(cell, states[1], atol=1e-5)


def test_the_report_says_what_the_file_takes_and_gives(tmp_path: Path) -> None:
    report = export_student(trained("dict"), tmp_path / "student.pt2")
    assert report.inputs == {"image": "uint8 (n, 36, 36, 1)", "state": "float32 (n, 3)"}
    assert report.outputs == {"action": "int64 (n, 2)"}
    lines = str(report).splitlines()
    assert lines[0] == f"exported  {tmp_path / 'student.pt2'}"
    assert lines[-1].startswith("checked   33 observations, at most ")


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(
    ("space", "observations"),
    [
        (spaces.Discrete(4), np.array([0, 3, 1])),
        (spaces.MultiDiscrete([3, 4]), np.array([[0, 3], [2, 0], [1, 1]])),
        (spaces.MultiBinary(3), np.array([[0, 1, 0], [1, 1, 1], [0, 0, 0]], np.int8)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_students_that_observe_discrete_numbers(
    name: str, space: spaces.Space, observations: np.ndarray, tmp_path: Path
) -> None:
    model = PPO("MlpPolicy", environment(BOX, space), **SETTINGS)
    export_student(model, tmp_path / name)
    action = RUNS[name](tmp_path / name, {"observation": observations})["action"]
    np.testing.assert_allclose(action, model.predict(observations, deterministic=True)[0], rtol=1e-5, atol=1e-6)
