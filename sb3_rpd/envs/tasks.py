"""The ManiSkill2 tasks that need no downloaded assets, and the instruction a language-conditioned teacher gets for each."""

from types import MappingProxyType

#: Instructions by task. All but LiftCube's (which the paper does not use) are the paper's own.
INSTRUCTIONS = MappingProxyType(
    {
        "LiftCube-v0": "lift up the cube",
        "PickCube-v0": "pick up the cube",
        "StackCube-v0": "stack the red cube on the green cube",
        "PegInsertionSide-v0": "insert the peg from the side",
        "PlugCharger-v0": "plug the charger in",
    }
)

#: The tasks that run right after installation.
ASSET_FREE_TASKS = tuple(INSTRUCTIONS)
