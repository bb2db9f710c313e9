"""Meta-World's scripted policies as teachers, against the policies themselves."""

import warnings

import numpy as np
import pytest
from gymnasium import spaces
from metaworld.policies import ENV_POLICY_MAP, SawyerDrawerOpenV3Policy

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.envs.metaworld import make_metaworld_env
from sb3_rpd.teachers import MetaWorldTeacher


def test_labels_are_the_policys_actions_clipped() -> None:
    observations = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 39)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        teacher = MetaWorldTeacher("drawer-open-v3")
        teacher.setup(spaces.Box(-1, 1, (4,), np.float32))
        labels = teacher.predict(observations)
        nothing = teacher.predict(observations[:0])

    policy = SawyerDrawerOpenV3Policy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        actions = np.array([policy.get_action(row.astype(np.float64)) for row in observations])
    assert np.abs(actions).max() > 1
    np.testing.assert_array_equal(labels, np.clip(actions, -1, 1).astype(np.float32))
    assert labels.dtype == np.float32
    assert nothing.shape == (0, 4)


def test_each_of_the_fifty_tasks_has_a_teacher() -> None:
    assert len(ENV_POLICY_MAP) == 50
    for task in ENV_POLICY_MAP:
        label = MetaWorldTeacher(task).predict(np.zeros((1, 39), np.float32))
        assert label.shape == (1, 4), task
        assert np.isfinite(label).all(), task


@pytest.mark.parametrize("task", ["drawer-open-v3", "button-press-topdown-v3", "door-close-v3", "window-open-v3"])
def test_the_teacher_solves_the_task(task: str) -> None:
    env, teacher = make_metaworld_env(task, max_episode_steps=200), MetaWorldTeacher(task)
    for seed in range(2):
        observation, _ = env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            observation, _, terminated, truncated, info = env.step(teacher.predict(observation[np.newaxis])[0])
        assert info["is_success"], (task, seed)


def test_what_does_not_fit_is_refused() -> None:
    teacher = MetaWorldTeacher("reach-v3")
    with pytest.raises(TeacherError, match=r"'reach-v3'\) acts in Box\(-1, 1, \(4,\)\).*Discrete\(4\)"):
        teacher.setup(spaces.Discrete(4))
    with pytest.raises(TeacherError, match=r"shape \(n, 39\); the environment offers 'frame'"):
        teacher.predict({"frame": np.zeros((1, 8, 8, 3), np.uint8)})
    with pytest.raises(ValueError, match="task must be one of 'assembly-v3'"):
        MetaWorldTeacher("reach-v2")
