"""What a scripted teacher may know about ManiSkill2's cube tasks."""

from typing import Any

import numpy as np

from sb3_rpd.envs.cube_state import CUBE_WIDTH


def robot_state(bare: Any) -> np.ndarray:
    """
    :param bare: ManiSkill2's own environment, with the Panda robot.
    :return: What ``proprioception`` gives.
    """
    robot, tcp = bare.agent.robot, bare.tcp.pose
    return np.concatenate((robot.get_qpos(), robot.get_qvel(), tcp.p, tcp.q), dtype=np.float32)


def cube_state(bare: Any) -> np.ndarray:
    """
    :param bare: ManiSkill2's own environment, of LiftCube-v0, PickCube-v0 or StackCube-v0.
    :return: What ``privileged_state`` gives.
    :raises ValueError: if it is of another task.
    """
    if hasattr(bare, "cubeA"):  # StackCube
        cube = bare.cubeA
        goal = bare.cubeB.pose.p + np.array([0.0, 0.0, CUBE_WIDTH])
        is_grasped = _is_grasped(bare, cube)
    elif hasattr(bare, "cube_half_size"):  # PickCube and LiftCube
        cube = bare.obj
        goal = bare.goal_pos
        is_grasped = _is_grasped(bare, cube, max_angle=30)
    else:
        raise ValueError(
            f"privileged_state knows LiftCube-v0, PickCube-v0 and StackCube-v0, not {type(bare).__name__}; "
            "write an observation source of your own for other tasks"
        )
    tcp, cube_pose, robot = bare.tcp.pose, cube.pose, bare.agent.robot
    flags = (is_grasped, bare.control_mode == "pd_ee_delta_pose")
    fields = (tcp.p, tcp.q, robot.get_qpos()[-2:], cube_pose.p, cube_pose.q, goal, robot.get_qvel(), flags)
    return np.concatenate(fields, dtype=np.float32)


def _is_grasped(bare: Any, cube: Any, **test: float) -> bool:
    """``check_grasp``, which is slow, only where both fingers touch the cube: elsewhere its answer is no."""
    agent = bare.agent
    touching: set[Any] = set()
    for contact in agent.scene.get_contacts():
        pair = contact.actor0, contact.actor1
        if cube in pair:
            touching.update(finger for finger in (agent.finger1_link, agent.finger2_link) if finger in pair)
    return len(touching) == 2 and bool(agent.check_grasp(cube, **test))
