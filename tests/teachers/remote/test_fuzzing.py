import pytest
from fuzzing import fuzz_all


@pytest.mark.slow
def test_mutated_frames_do_no_harm(no_thread_left):
    # `python tests/teachers/remote/fuzzing.py` sends more
    fuzz_all(n_frames=1000, seed=0)
