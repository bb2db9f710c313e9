"""RecurrentRPD as the zoo makes it. It needs sb3-contrib, which the zoo brings."""

from sb3_rpd.recurrent_rpd import RecurrentRPD
from sb3_rpd.zoo.algorithm import MadeOfNames


class ZooRecurrentRPD(MadeOfNames, RecurrentRPD):  # type: ignore[misc]
    """``RecurrentRPD`` for the zoo."""
