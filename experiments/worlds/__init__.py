"""Where the runs take place: by suite, the tasks, the teachers' errors and the settings of all students."""

from experiments.worlds.maniskill2 import MANISKILL2
from experiments.worlds.reaching import REACHING
from experiments.worlds.vla import VLA, VLA_IMAGES
from experiments.worlds.world import World

#: The worlds by the name of their suite.
WORLDS: dict[str, World] = {"fast": REACHING, "maniskill2": MANISKILL2, "vla": VLA, "vla-images": VLA_IMAGES}
