"""What is to be known of ManiSkill2's tasks before one is made: what runs at once, instructions, who needs a renderer."""

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

#: The tasks that read meshes off the renderer to work out where things are (a handle, a seat, a beaker), or particles, which
#: only a renderer has: they need one even where no image is asked for.
TASKS_READING_VISUALS = frozenset(
    {
        "OpenCabinetDoor-v1",
        "OpenCabinetDrawer-v1",
        "PushChair-v1",
        "MoveBucket-v1",
        "Excavate-v0",
        "Fill-v0",
        "Hang-v0",
        "Pinch-v0",
        "Pour-v0",
        "Write-v0",
    }
)
