"""What is to be known of ManiSkill2's tasks before one is made: what runs at once, instructions, who needs visuals."""

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

#: The tasks whose goals ManiSkill2 works out from what things look like (a cabinet's handle, a chair's seat): they need a
#: renderer even where no image is asked for.
TASKS_READING_VISUALS = frozenset({"OpenCabinetDoor-v1", "OpenCabinetDrawer-v1", "PushChair-v1"})
