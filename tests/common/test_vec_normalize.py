"""Statistics of VecNormalize: copied, saved and loaded, whether they have environments or not."""

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_rpd.common.vec_normalize import load_statistics, save_statistics

OBSERVATIONS = np.array([[1.0, -2.0, 30.0]], np.float32)


def statistics() -> VecNormalize:
    env = VecNormalize(make_vec_env("Pendulum-v1", 2), clip_obs=4.0, epsilon=0.0)
    env.obs_rms.mean[:] = [0.5, 0.0, 2.0]
    env.obs_rms.var[:] = [0.25, 4.0, 1.0]
    return env


# (1 - 0.5) / 0.5, (-2 - 0) / 2, and (30 - 2) / 1 clipped to 4
NORMALIZED = [[1.0, -1.0, 4.0]]


@pytest.mark.parametrize("times", [1, 2])
def test_a_copy_stays_as_it_is(times: int) -> None:
    env = statistics()
    copied = env
    # of a copy, which has no environments, there are copies too
    for _ in range(times):
        copied = load_statistics(copied)
    env.obs_rms.mean[:] = 100.0
    assert copied.venv is None
    np.testing.assert_array_equal(copied.normalize_obs(OBSERVATIONS), NORMALIZED)


@pytest.mark.parametrize("has_environments", [True, False])
def test_what_is_saved_is_vec_normalize_s_own(has_environments: bool, tmp_path: Path) -> None:
    env = statistics()
    save_statistics(env if has_environments else load_statistics(env), tmp_path / "statistics.pkl")
    save_statistics(tmp_path / "statistics.pkl", tmp_path / "again.pkl")
    for name in ("statistics.pkl", "again.pkl"):
        loaded = VecNormalize.load(str(tmp_path / name), make_vec_env("Pendulum-v1", 3))
        np.testing.assert_array_equal(loaded.normalize_obs(OBSERVATIONS), NORMALIZED)
        assert loaded.reset().shape == (3, 3)
    # and the one that was saved goes on
    env.reset()
    env.step(np.zeros((2, 1)))
