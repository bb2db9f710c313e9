"""What teachers may know of ManiSkill3's environments, for all of those that one simulator runs."""

from typing import Any

import torch as th

from sb3_rpd.envs.cube_state import CUBE_WIDTH


def robot_states(simulator: Any) -> th.Tensor:
    """
    :param simulator: ManiSkill3's own environment, with the Panda robot.
    :return: What ``proprioception`` gives, shape (n_envs, 25).
    """
    robot = simulator.agent.robot
    return th.hstack([robot.get_qpos(), robot.get_qvel(), simulator.agent.tcp.pose.raw_pose])


def states_beside_images(simulator: Any) -> th.Tensor:
    """
    :param simulator: ManiSkill3's own environment, not in a state mode: it keeps the objects' poses back then.
    :return: What it shows beside images, shape (n_envs, number).
    """
    from mani_skill.utils.common import flatten_state_dict

    shown = {"agent": simulator._get_obs_agent(), "extra": simulator._get_obs_extra(simulator.get_info())}
    states: th.Tensor = flatten_state_dict(shown, use_torch=True, device=simulator.device)
    return states.float()


def cube_states(simulator: Any) -> th.Tensor:
    """
    :param simulator: ManiSkill3's own environment, of PickCube-v1 or StackCube-v1, with the Panda robot.
    :return: What ``privileged_state`` gives, shape (n_envs, ``CUBE_STATE_SIZE``).
    :raises ValueError: if it is of another task.
    """
    task = type(simulator).__name__
    if task == "StackCubeEnv":
        cube, above = simulator.cubeA, th.tensor([0.0, 0.0, CUBE_WIDTH], device=simulator.device)
        goal = simulator.cubeB.pose.p + above
    elif task == "PickCubeEnv":
        cube, goal = simulator.cube, simulator.goal_site.pose.p
    else:
        raise ValueError(
            f"privileged_state knows PickCube-v1 and StackCube-v1, not {task}; write an observation source of your own for "
            "other tasks"
        )
    agent = simulator.agent
    robot, is_grasped = agent.robot, agent.is_grasping(cube)
    acts_by_delta_pose = th.full_like(is_grasped, agent.control_mode == "pd_ee_delta_pose")
    flags = th.stack([is_grasped, acts_by_delta_pose], dim=1).float()
    fingers, velocities = robot.get_qpos()[:, -2:], robot.get_qvel()
    return th.hstack([agent.tcp.pose.raw_pose, fingers, cube.pose.raw_pose, goal, velocities, flags])
