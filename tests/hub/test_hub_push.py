"""
A student on its way to the hub and back: huggingface_hub itself against a server that speaks the hub's API, in a process that
knows it as HF_ENDPOINT; and what is refused before anything is sent.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import yaml
from huggingface_hub.errors import OfflineModeIsEnabled
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd.evaluation import TeacherEvaluation
from sb3_rpd.hub import push_to_hub

OBSERVATIONS = np.linspace(-1.0, 1.0, 20, dtype=np.float32).reshape(5, 4)

#: What a user runs; it prints what it got.
PROGRAM = """
import json, sys
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
from toy_envs import ACTION_SPACES, SpacesEnv
from sb3_rpd.evaluation import TeacherEvaluation
from sb3_rpd.hub import load_from_hub, push_to_hub
from sb3_rpd.teachers import SB3Teacher

class Painted(SpacesEnv):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    render_mode = "rgb_array"

    def render(self):
        return np.full((6, 8, 3), 30 * self.steps_left, np.uint8)

make = lambda: Painted(ACTION_SPACES["box"])
env = VecNormalize(make_vec_env(make, 2))
model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu").learn(32)
env.save("statistics.pkl")
results = {"student": TeacherEvaluation(10, None, 0.0, 5.0)}
push_to_hub(model, "somebody/toy", task="Toy-v0", results=results, vec_normalize="statistics.pkl", token="hf_secret")
first = load_from_hub("somebody/toy", trust_pickle=True)
# the same repository again
address = push_to_hub(
    model,
    "somebody/toy",
    task="Toy-v0",
    results={"teacher": TeacherEvaluation(100, 29, -50.5, 89.0), "student": TeacherEvaluation(100, 100, -3.25, 16.5)},
    teacher="a rule of thumb",
    command="sb3-rpd train --env Toy-v0",
    replay_env=make_vec_env(make, 1),
    export=True,
    token="hf_secret",
)
student = load_from_hub("somebody/toy", trust_pickle=True)
observations = np.array(json.loads(sys.argv[1]), np.float32)
print(json.dumps({
    "address": address,
    "first": SB3Teacher(first.model, first.vec_normalize).predict(observations).actions.tolist(),
    "pushed": model.predict(env.normalize_obs(observations), deterministic=True)[0].tolist(),
    "loaded": student.model.predict(student.vec_normalize.normalize_obs(observations), deterministic=True)[0].tolist(),
}))
"""


@pytest.fixture(scope="module")
def pushed(hub_address: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What PROGRAM printed, and the address of the files that it pushed."""
    home = tmp_path_factory.mktemp("hub")
    tests = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub_address,
        "HF_HOME": str(home),
        # its own storage, which only the real hub has
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)]),
    }
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(OBSERVATIONS.tolist())],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    printed: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return printed | {"files": f"{hub_address}/somebody/toy/resolve/main"}


def read(pushed: dict[str, Any], name: str) -> bytes:
    with urlopen(f"{pushed['files']}/{name}") as answer:
        content: bytes = answer.read()
    return content


def test_what_comes_back_acts_as_what_was_pushed(pushed: dict[str, Any]) -> None:
    assert pushed["loaded"] == pushed["pushed"]
    assert pushed["first"] == pushed["pushed"]
    assert pushed["address"].startswith(pushed["files"].removesuffix("/resolve/main") + "/commit/")


def test_the_repository_shows_the_student(pushed: dict[str, Any], tmp_path: Path) -> None:
    card = read(pushed, "README.md").decode()
    assert "| teacher | 29% | 21% to 39% | -50.50 | 89.0 | 100 |" in card.splitlines()
    assert "| student | 100% | 96% to 100% | -3.25 | 16.5 | 100 |" in card.splitlines()
    (tmp_path / "replay.gif").write_bytes(read(pushed, "replay.gif"))
    with Image.open(tmp_path / "replay.gif") as replay:
        # the first state and one for each step of the first episode, which has seven
        assert (replay.n_frames, replay.size) == (8, (8, 6))
    (tmp_path / "student.onnx").write_bytes(read(pushed, "student.onnx"))
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "student.onnx"))
    np.testing.assert_allclose(session.run(None, {"observation": OBSERVATIONS})[0], pushed["pushed"], atol=1e-6)


def test_the_hub_finds_the_results_in_the_header(pushed: dict[str, Any]) -> None:
    header = yaml.safe_load(read(pushed, "README.md").decode().split("---")[1])
    assert header["library_name"] == "stable-baselines3"
    assert "Toy-v0" in header["tags"]
    (result,) = header["model-index"][0]["results"]
    assert result["dataset"] == {"name": "Toy-v0", "type": "Toy-v0"}
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {"mean_reward": -3.25, "success_rate": 1.0}


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"results": {"teacher": TeacherEvaluation(10, 5, 0.0, 1.0)}}, "have no 'student'"),
        ({"replay_env": make_vec_env(lambda: SpacesEnv(ACTION_SPACES["box"]))}, "cannot be filmed"),
    ],
    ids=["results", "replay"],
)
def test_a_mistake_is_found_before_anything_is_sent(
    wrong: dict[str, Any], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # where whatever is sent is another error
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = PPO("MlpPolicy", make_vec_env(lambda: SpacesEnv(ACTION_SPACES["box"])), n_steps=16, batch_size=16, device="cpu")
    right: dict[str, Any] = dict(task="Toy-v0", results={"student": TeacherEvaluation(10, 5, 0.0, 1.0)}, token="hf_secret")
    with pytest.raises(ValueError, match=complaint):
        push_to_hub(model, "somebody/toy", **right | wrong)
    with pytest.raises(OfflineModeIsEnabled):
        push_to_hub(model, "somebody/toy", **right)
