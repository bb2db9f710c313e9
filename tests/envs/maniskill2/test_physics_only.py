"""Environments without a renderer against those with one (sb3_rpd/envs/maniskill2/physics_only.py)."""

import gymnasium as gym
import numpy as np
import pytest

from sb3_rpd.envs import ASSET_FREE_TASKS, RenderingUnavailableError, make_maniskill2_env
from sb3_rpd.envs.maniskill2.installation import import_maniskill2
from sb3_rpd.envs.maniskill2.physics_only import physics_only
from sb3_rpd.envs.maniskill2.rendering import choose_renderer, prepare_renderer

pytestmark = pytest.mark.maniskill2


@pytest.mark.rendering
@pytest.mark.filterwarnings("ignore:reward=.maniskill2_dense. pays:UserWarning")
@pytest.mark.parametrize("task", ASSET_FREE_TASKS)
def test_physics_and_rewards_are_those_with_a_renderer(task: str) -> None:
    """Against ManiSkill2's untouched environment, to the last bit; both live in one process, made in this order and closed."""
    import_maniskill2()
    prepare_renderer(choose_renderer("auto", visuals=True))
    rendering = gym.make(
        task, obs_mode="state", control_mode="pd_ee_delta_pose", reward_mode="normalized_dense", shader_dir="trivial"
    )
    physics = make_maniskill2_env(task, reward="maniskill2_dense")
    for seed in (11, None):
        np.testing.assert_array_equal(np.float32(rendering.reset(seed=seed)[0]), physics.reset(seed=seed)[0])
        for action in np.random.default_rng(1).uniform(-1, 1, (25, 7)).astype(np.float32):
            expected, got = rendering.step(action), physics.step(action)
            np.testing.assert_array_equal(np.float32(expected[0]), got[0])
            assert expected[1:4] == got[1:4]
            np.testing.assert_equal({key: got[4][key] for key in expected[4]}, expected[4])
    rendering.close()
    physics.close()


def test_images_are_refused() -> None:
    env = make_maniskill2_env("PickCube-v0")
    env.reset(seed=0)
    with pytest.raises(RenderingUnavailableError, match='render_mode="rgb_array"'):
        env.render()


def test_nothing_stays_exchanged() -> None:
    import_maniskill2()
    from mani_skill2.envs import sapien_env

    module = sapien_env.sapien
    with physics_only():
        assert sapien_env.sapien is not module
    assert sapien_env.sapien is module


def test_nothing_stays_exchanged_after_an_error() -> None:
    import_maniskill2()
    from mani_skill2.envs import sapien_env

    module = sapien_env.sapien
    with pytest.raises(ValueError, match="no control_mode='pd_nothing'"):
        make_maniskill2_env("PickCube-v0", control_mode="pd_nothing")
    assert sapien_env.sapien is module
