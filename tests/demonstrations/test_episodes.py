"""An episode: how many steps were kept, and what is to be known to play it again."""

import numpy as np
from toy_envs import ACTION_SPACES

from sb3_rpd.demonstrations.episodes import Episode


def test_length_is_what_was_kept_and_origin_what_plays_it_again() -> None:
    kept, dim = 3, ACTION_SPACES["box"].shape[0]
    columns = dict(rewards=np.zeros(kept), dones=np.zeros(kept, bool), successes=np.zeros(kept, bool), steps=np.arange(kept))
    episode = Episode(
        instruction="lift the cube",
        images={},
        vectors={},
        actions=np.zeros((kept, dim)),
        executed_actions=np.ones((kept, dim)),
        success=None,
        length=10,
        seed=41,
        noise=0.2,
        attempt=5,
        **columns,
    )
    assert len(episode) == 3
    assert episode.length == 10
    assert episode.origin == {"recording": 0, "attempt": 5, "seed": 41, "noise": 0.2, "success": None}
