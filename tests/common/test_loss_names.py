"""The choice of an imitation loss: by name, whether it fits the action space, what is none."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_rpd.common.loss_names import make_imitation_loss
from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber

BOX = spaces.Box(-1.0, 1.0, (2,))
END_EFFECTOR = spaces.Box(-1.0, 1.0, (7,))
DISCRETE = spaces.Discrete(4)
MULTI_DISCRETE = spaces.MultiDiscrete([3, 2])
MULTI_BINARY = spaces.MultiBinary(3)


@pytest.mark.parametrize(
    ("name", "space", "expected"),
    [
        ("auto", BOX, MSE()),
        ("auto", DISCRETE, NLL()),
        ("auto", MULTI_DISCRETE, NLL()),
        ("auto", MULTI_BINARY, NLL()),
        ("mse", BOX, MSE()),
        ("l1", BOX, L1()),
        ("huber", BOX, Huber()),
        ("nll", BOX, NLL()),
        ("bc", DISCRETE, NLL()),
        ("kl", BOX, KL(direction="forward")),
        ("kl", DISCRETE, KL()),
        ("cosine", END_EFFECTOR, Cosine()),
    ],
)
def test_losses_by_name(name, space, expected):
    loss = make_imitation_loss(name, space, squash_output=False)
    assert loss == expected
    assert make_imitation_loss(loss, space, squash_output=False) is loss
    assert loss.needs_distribution == (name == "kl")


@pytest.mark.parametrize(
    ("loss", "space", "squash_output", "message"),
    [
        ("mean", BOX, False, r"no imitation loss 'mean': choose one of 'auto', 'mse', 'l1', .*'cosine'"),
        ("mse", DISCRETE, False, r"MSE .*Discrete\(4\).*take the loss 'nll'"),
        ("l1", MULTI_DISCRETE, False, r"L1 .*MultiDiscrete.*take the loss 'nll'"),
        ("huber", MULTI_BINARY, False, r"Huber .*MultiBinary\(3\).*take the loss 'nll'"),
        ("cosine", DISCRETE, False, r"Cosine .*Discrete\(4\).*take the loss 'nll'"),
        (MSE(weights=(1.0,) * 3), BOX, False, r"MSE has 3 weights.* has 2 dimensions: give 2 weights"),
        (NLL(weights=(1.0,) * 4), DISCRETE, False, r"NLL has 4 weights.* has 1 dimensions"),
        (KL(weights=()), BOX, False, r"KL has 0 weights"),
        (MSE(weights=(1.0,) * 2), spaces.Box(-1, 1, (2, 3)), False, r"2 weights.* has 6 dimensions"),
        ("kl", BOX, True, r"squash_output=True.*set squash_output=False"),
        ("cosine", BOX, False, r"7-dimensional.*has 2 dimensions: name its groups"),
        ("cosine", spaces.Box(-1, 1, (8,)), False, r"7-dimensional.*has 8 dimensions: name its groups"),
        (Cosine(groups={"arm": (0, 2)}), BOX, False, r"'arm' names the dimensions \(0, 2\).*go from 0 to 1"),
        (Cosine(groups={"arm": (-1,)}), BOX, False, r"'arm' names the dimensions \(-1,\)"),
    ],
)
def test_a_loss_that_does_not_fit_says_why_and_what_to_do(loss, space, squash_output, message):
    with pytest.raises(ValueError, match=message):
        make_imitation_loss(loss, space, squash_output)


@pytest.mark.parametrize(
    ("loss", "space", "squash_output"),
    [
        (MSE(weights=[1] * 6), spaces.Box(-1, 1, (2, 3)), True),
        (NLL(weights=(1.0, 0.0)), MULTI_DISCRETE, False),
        (Cosine(groups={"arm": range(2)}), BOX, True),
    ],
)
def test_a_loss_that_fits_passes(loss, space, squash_output):
    assert make_imitation_loss(loss, space, squash_output) is loss


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (MSE, r"the class MSE, not an instance of it: write MSE\(\)"),
        (Cosine, r"write Cosine\(\)"),
        (
            lambda student, teacher: 0.0,
            r"a function, <lambda> at test_loss_names\.py:\d+: put it into a subclass of ImitationLoss",
        ),
        (th.nn.functional.mse_loss, r"a function, mse_loss at functional\.py:\d+: put it"),
        (th.nn.MSELoss(), r"a function, a torch\.nn\.modules\.loss\.MSELoss: put it"),
        (None, "this is None, of type NoneType"),
        ({"mse": 1.0} | {str(i): 1.0 for i in range(10_000)}, "of type dict"),
    ],
)
def test_what_is_no_loss_says_what_to_write(loss, message):
    with pytest.raises(TypeError, match=message) as caught:
        make_imitation_loss(loss, BOX, False)
    assert "one of the names 'auto', 'mse', 'l1', 'huber', 'nll', 'bc', 'kl', 'cosine'" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_messages_about_a_large_space_are_short():
    space = spaces.Box(-np.linspace(1.0, 2.0, 900, dtype=np.float32), np.ones(900, np.float32))
    for loss in (MSE(weights=[1.0] * 899), Cosine(), Cosine(groups={"g" * 900: range(901)}), "x" * 5000):
        with pytest.raises(ValueError, match=r"dimensions|no imitation loss") as caught:
            make_imitation_loss(loss, space, False)
        assert len(str(caught.value)) < 1000
