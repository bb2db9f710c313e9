"""What is to be known of the paper's ten tasks before one is made: instructions, and what they pay."""

from types import MappingProxyType

#: The instructions of the authors' code.
INSTRUCTIONS = MappingProxyType(
    {
        "PickCube-v1": "pick up the cube",
        "StackCube-v1": "stack the red cube on the green cube",
        "PegInsertionSide-v1": "insert the peg from the side",
        "PlugCharger-v1": "plug the charger in",
        "LiftPegUpright-v1": "lift the peg upright",
        "PullCube-v1": "pull the cube towards the robot base",
        "PushCube-v1": "push the cube away from the robot base",
        "RollBall-v1": "push the ball",
        "PokeCube-v1": "push the cube by using the blue tool",
        "PullCubeTool-v1": "pull the cube by using the red tool",
    }
)

#: The paper's ten tasks. None of them needs downloaded assets.
PAPER_TASKS = tuple(INSTRUCTIONS)

#: What ``reward=`` may say, and ManiSkill3's name for what the simulator computes.
REWARDS = MappingProxyType({"dense": "normalized_dense", "sparse": "sparse", "maniskill3_dense": "normalized_dense"})

#: The most that ManiSkill3's normalized dense reward pays short of success: the sum of all terms of the task's
#: ``compute_dense_reward`` at their best, by its scale. PlugCharger has none. PullCubeTool's scale is not its maximum.
HOVERING_REWARDS = MappingProxyType(
    {
        "PickCube-v1": 4 / 5,
        "StackCube-v1": 7 / 8,
        "PegInsertionSide-v1": 10 / 10,
        "LiftPegUpright-v1": 2.2 / 3,
        "PullCube-v1": 2 / 3,
        "PushCube-v1": 3 / 4,
        "RollBall-v1": 21 / 30,
        "PokeCube-v1": 9 / 10,
        "PullCubeTool-v1": 8.5 / 5,
    }
)

#: The most that it pays for success, where that is not 1: PullCubeTool adds 5 to the terms above.
SUCCESS_REWARDS = MappingProxyType({"PullCubeTool-v1": 13.5 / 5})


def hovering_reward(task: str) -> float:
    """
    :param task: The name of a task.
    :return: The most that its normalized dense reward pays short of success; where that is not known, 1.
    """
    return HOVERING_REWARDS.get(task, 1.0)


def max_reward(task: str) -> float:
    """:return: A number that a task's normalized dense reward does not exceed short of success, and reaches on success."""
    return max(1.0, hovering_reward(task))


def success_reward(task: str) -> float:
    """:return: The most that a task's normalized dense reward pays for success."""
    return SUCCESS_REWARDS.get(task, 1.0)
