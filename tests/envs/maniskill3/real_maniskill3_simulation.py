"""What only the real simulator shows of sb3_rpd/envs/maniskill3/simulation.py: `make test-maniskill3`."""

from sb3_rpd.envs import make_maniskill3_env


def test_options_of_a_reset_reach_the_simulator() -> None:
    env = make_maniskill3_env("PickCube-v1")
    env.reset(seed=0)
    scenes = [env.unwrapped.simulator.scene]
    for options in (None, {"reconfigure": True}):
        env.reset(options=options)
        scenes.append(env.unwrapped.simulator.scene)
    # A new one is built where that is asked for
    assert scenes[0] is scenes[1] is not scenes[2]
    env.close()
