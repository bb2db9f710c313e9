"""The programs of docs/guide/maniskill3.md run as they stand, with less training: `make test-maniskill3`."""

from typing import Any

import pytest
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from tests.documentation.blocks import ALL_BLOCKS, programs

PROGRAMS = programs([block for block in ALL_BLOCKS if block.page == "docs/guide/maniskill3.md"])


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_program_runs(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = OnPolicyAlgorithm.learn
    monkeypatch.setattr(
        OnPolicyAlgorithm,
        "learn",
        lambda self, total_timesteps, **kwargs: learn(self, 2 * self.n_steps * self.n_envs, **kwargs),
    )
    found: dict[str, Any] = {}
    exec(compile(program.code, str(program), "exec"), found)
    assert found["model"].num_timesteps == 400
    # The last of its environments is one with a source of its own
    found["env"].reset()
    assert [info["teacher"]["observation"]["joints"].shape for info in found["env"].reset_infos] == [(9,), (9,)]
    found["env"].close()
