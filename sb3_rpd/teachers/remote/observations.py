"""Which of the environment's observations a server gets, and under which name."""

from collections.abc import Mapping

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.wording import cut, shortened


def select(keys: Mapping[str, str] | None, offered: Mapping[str, np.ndarray], server: str) -> dict[str, np.ndarray]:
    """
    Take what a server gets out of what the environment offers.

    :param keys: For each of the server's names the environment's; None gives everything under the environment's names.
    :param offered: The environment's observations by name.
    :param server: The server, for messages.
    :return: Observations by the server's names.
    :raises TeacherError: if the environment does not offer something; lists both sides.
    """
    if keys is None:
        return dict(offered)
    missing = [name for name in keys.values() if name not in offered]
    if missing:
        wanted = cut(", ".join(f"{theirs!r} from {ours!r}" for theirs, ours in keys.items()), 300)
        raise TeacherError(
            f"The server {server} is to get {wanted}; the environment offers {shortened(sorted(offered), limit=8)}, so "
            f"{shortened(missing, limit=8)} cannot be found. Correct the teacher's mapping (the server's name -> the "
            "environment's name), or let TeacherActionWrapper(env, observation={...}) offer it."
        )
    return {theirs: offered[ours] for theirs, ours in keys.items()}
