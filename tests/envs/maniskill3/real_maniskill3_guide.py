"""The programs of docs/guide/maniskill3.md run as they stand, with less training: `make test-maniskill3`."""

from typing import Any

import pytest
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from tests.documentation.blocks import ALL_BLOCKS, programs

PROGRAMS = programs([block for block in ALL_BLOCKS if block.page == "docs/guide/maniskill3.md"])


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_program_runs(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = OnPolicyAlgorithm.learn
    monkeypatch.setattr(OnPolicyAlgorithm, "learn", lambda self, _: learn(self, 2 * self.n_steps * self.n_envs))
    found: dict[str, Any] = {}
    exec(compile(program.code, str(program), "exec"), found)
    assert found["model"].num_timesteps == 400
    first, second = found["env"].reset_infos if found["env"].reset() is not None else ()
    assert first["teacher"]["observation"]["joints"].shape == (9,)
    assert second.keys() == first.keys()
    found["env"].close()
