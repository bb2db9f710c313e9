import numpy as np
import pytest
from gymnasium import spaces

from sb3_rpd.demonstrations import ActionNoise

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)
WIDE = spaces.Box(-1e6, 1e6, (3,), np.float32)


def run(noise: ActionNoise, level: float, space: spaces.Box, steps: int, action: np.ndarray | None = None) -> np.ndarray:
    disturb = noise.start(level, space, np.random.default_rng(0))
    action = np.zeros(space.shape, np.float32) if action is None else action
    return np.stack([disturb(action) for _ in range(steps)])


def test_no_noise_leaves_the_action_alone():
    action = np.array([0.1, 0.2, 0.3], np.float32)
    assert ActionNoise().start(0.0, spaces.Discrete(3), np.random.default_rng(0))(action) is action


def test_within_a_burst_noise_has_its_level_and_its_correlation():
    noise = ActionNoise((0.05,), switching=0.0)
    drawn = run(noise, 0.05, WIDE, 20_000).astype(np.float64) / 1e6
    # 20,000 steps of correlation 0.7 tell as much as 3,500 independent ones: three standard errors
    np.testing.assert_allclose(drawn.std(axis=0), 0.05, atol=0.002)
    for ahead, expected in ((1, 0.7), (2, 0.49), (5, 0.7**5)):
        found = [np.corrcoef(column[:-ahead], column[ahead:])[0, 1] for column in drawn.T]
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_between_bursts_there_is_calm():
    # the first step ends the burst that an episode begins with, and each further one begins or ends one
    drawn = run(ActionNoise((0.05,), switching=1.0, calm=0.1, correlation=0.0), 0.05, WIDE, 20_000).astype(np.float64) / 1e6
    np.testing.assert_allclose(drawn[0::2].std(), 0.005, rtol=0.02)
    np.testing.assert_allclose(drawn[1::2].std(), 0.05, rtol=0.02)


def test_weights_and_the_width_of_the_box_scale_each_dimension():
    space = spaces.Box(np.array([-1e6, 0, -1e6], np.float32), np.array([1e6, 1e6, 1e6], np.float32))
    noise = ActionNoise((1.0,), weights=(1.0, 0.5, 0.0), switching=0.0, correlation=0.0)
    drawn = run(noise, 0.01, space, 10_000, np.array([0, 5e5, 7], np.float32)).astype(np.float64)
    # half the widths are 1e6 and 5e5
    np.testing.assert_allclose(drawn.std(axis=0), [1e4, 0.5 * 5e3, 0.0], rtol=0.03)
    np.testing.assert_array_equal(drawn[:, 2], 7)


def test_noisy_actions_stay_in_the_box():
    drawn = run(ActionNoise((3.0,)), 3.0, BOX, 200)
    assert drawn.dtype == np.float32
    assert drawn.min() == -1
    assert drawn.max() == 1


def test_gripper_flips_last_some_steps_and_nothing_else_moves_the_gripper():
    noise = ActionNoise((1.0,), gripper_flips=0.1)
    action = np.array([0, 0, 0.25], np.float32)
    gripper = run(noise, 1.0, BOX, 8_000, action)[:, 2]
    assert set(gripper.tolist()) == {-1.0, 0.25, 1.0}
    flipped = np.flatnonzero(gripper != 0.25)
    runs = np.split(flipped, np.flatnonzero(np.diff(flipped) > 1) + 1)
    # a flip lasts 2, 3 or 4 steps, a tenth of the steps after it begins another, so that some are longer
    assert min(map(len, runs)) == 2
    # one step in ten begins a flip of 3 steps on average: in the mean 10 steps without one, then 3
    assert len(flipped) / len(gripper) == pytest.approx(3 / 13, abs=0.03)


def test_the_same_generator_gives_the_same_noise():
    noise = ActionNoise((0.4,), gripper_flips=0.5)
    np.testing.assert_array_equal(run(noise, 0.4, BOX, 50), run(noise, 0.4, BOX, 50))


@pytest.mark.parametrize("settings", [{"levels": ()}, {"levels": (0.1, -0.2)}, {"correlation": 1.5}, {"gripper_flips": -0.1}])
def test_settings_out_of_their_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"levels|between 0 and 1"):
        ActionNoise(**settings)


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(-np.inf, np.inf, (3,))])
def test_noise_needs_a_box_with_bounds(space):
    with pytest.raises(ValueError, match="Box with bounds"):
        ActionNoise((0.1,)).start(0.1, space, np.random.default_rng(0))


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 weights, and an action 3"):
        ActionNoise((0.1,), weights=(1.0, 1.0)).start(0.1, BOX, np.random.default_rng(0))
