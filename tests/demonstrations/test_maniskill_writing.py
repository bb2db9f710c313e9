import json

import gymnasium as gym
import h5py
import numpy as np
import pytest
from toy_painted_env import PaintedEnv, paint, to_the_middle

from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.demonstrations import ActionNoise, DemonstrationsError, record
from sb3_rpd.envs import make_maniskill2_env, privileged_state, proprioception
from sb3_rpd.teachers import ScriptedTeacher


def read(folder):
    """The episodes as ManiSkill's tools read them: the groups that the JSON file names."""
    described = json.loads((folder / "trajectory.json").read_text())
    with h5py.File(folder / "trajectory.h5", "r") as file:
        assert len(file) == len(described["episodes"])
        episodes = []
        for entry in described["episodes"]:
            found = {}
            file[f"traj_{entry['episode_id']}"].visititems(
                lambda name, item, found=found: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None
            )
            episodes.append(found)
    return described, episodes


def test_h5_has_each_state_and_action(tmp_path):
    record(PaintedEnv(), tmp_path, teacher=to_the_middle, episodes=3, noise=ActionNoise((0.4,)), format="maniskill")
    described, episodes = read(tmp_path)
    assert described["env_info"] == {"env_id": "PaintedEnv", "max_episode_steps": None, "env_kwargs": {}}
    for number, (entry, episode) in enumerate(zip(described["episodes"], episodes, strict=True)):
        states, actions = episode["obs/state"], episode["actions"]
        assert (entry["episode_id"], entry["elapsed_steps"]) == (number, len(actions))
        assert entry["info"] == {"success": True}
        assert entry["reset_kwargs"] == {"seed": entry["episode_seed"]}
        np.testing.assert_array_equal(PaintedEnv().reset(**entry["reset_kwargs"])[0], states[0])
        np.testing.assert_allclose(np.diff(states, axis=0), 0.2 * episode["executed_actions"][:, :2], atol=1e-6)
        np.testing.assert_array_equal(episode["obs/image/frame/rgb"], [paint(state) for state in states])
        np.testing.assert_allclose(actions[:, :2], np.clip(-2.5 * states[:-1], -1, 1), atol=1e-6)
        np.testing.assert_array_equal(episode["success"], np.abs(states[1:]).max(axis=1) < 0.1)
        assert actions.dtype == np.float32
        assert episode["success"].dtype == bool


def test_episodes_are_added(tmp_path):
    kwargs = {"teacher": to_the_middle, "format": "maniskill"}
    record(PaintedEnv(), tmp_path, episodes=2, **kwargs)
    before = read(tmp_path)[1]
    record(PaintedEnv(), tmp_path, episodes=3, instruction="do it again", **kwargs)
    described, episodes = read(tmp_path)
    assert [entry["instruction"] for entry in described["episodes"]] == ["go to the middle"] * 2 + ["do it again"] * 3
    np.testing.assert_array_equal(episodes[1]["actions"], before[1]["actions"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".recording.lock",
        "recordings.json",
        "trajectory.h5",
        "trajectory.json",
    ]


def test_another_environment_takes_another_folder(tmp_path):
    record(PaintedEnv(), tmp_path, teacher=to_the_middle, episodes=1, format="maniskill")
    with pytest.raises(DemonstrationsError, match="holds episodes of PaintedEnv in another setting"):
        record(
            gym.make("Pendulum-v1"),
            tmp_path,
            teacher=lambda observations: np.zeros((1, 1)),
            instruction="swing",
            format="maniskill",
        )


@pytest.mark.maniskill2
def test_maniskill2_replays_what_was_recorded(tmp_path):
    def make():
        return make_maniskill2_env(
            "LiftCube-v0",
            max_episode_steps=60,
            wrap=lambda env: TeacherActionWrapper(env, observation={"privileged": privileged_state}),
        )

    sources = {"state": proprioception}
    record(
        make(),
        tmp_path,
        teacher=ScriptedTeacher("LiftCube-v0"),
        episodes=2,
        observation=sources,
        noise=ActionNoise((0.2,)),
        format="maniskill",
    )
    described, episodes = read(tmp_path)
    assert described["env_info"]["env_id"] == "LiftCube-v0"
    assert described["env_info"]["env_kwargs"]["control_mode"] == "pd_ee_delta_pose"
    env = make()
    for entry, episode in zip(described["episodes"], episodes, strict=True):
        env.reset(**entry["reset_kwargs"])
        np.testing.assert_allclose(env.unwrapped.get_state(), episode["env_states"][0], atol=1e-5)
        for action, success in zip(episode["executed_actions"], episode["success"], strict=True):
            assert env.step(action)[4]["is_success"] == success
        np.testing.assert_allclose(proprioception(env), episode["obs/state"][-1], atol=1e-3)
        # from any of its states, too
        env.unwrapped.set_state(episode["env_states"][5])
        np.testing.assert_allclose(proprioception(env), episode["obs/state"][5], atol=1e-5)
    env.close()
