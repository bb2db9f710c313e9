"""Whole sequences through an LSTM: the numbers of its formulas in float64, and the gradient of sb3-contrib's loop."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from torch import nn

from sb3_rpd.recurrent_rpd.sequences import whole_sequences, why_not_whole

N_FEATURES, N_HIDDEN = 3, 4
States = tuple[th.Tensor, th.Tensor]


def make_policy(policy_class: type[RecurrentActorCriticPolicy] = RecurrentActorCriticPolicy, **kwargs: Any) -> Any:
    space = spaces.Box(-1.0, 1.0, (N_FEATURES,), np.float32)
    return policy_class(space, space, lambda _: 1e-3, net_arch=[4], lstm_hidden_size=N_HIDDEN, **kwargs)


POLICY = make_policy()


def make_lstm(n_layers: int, bias: bool, generator: th.Generator) -> nn.LSTM:
    lstm = nn.LSTM(N_FEATURES, N_HIDDEN, num_layers=n_layers, bias=bias, dtype=th.float64)
    with th.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(th.randn(parameter.shape, generator=generator, dtype=th.float64))
    return lstm


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def by_hand(lstm: nn.LSTM, sequence: np.ndarray, starts: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> Any:
    """
    One sequence, step by step and gate by gate (Hochreiter & Schmidhuber 1997, with Gers' forget gate, in torch's order).

    :param sequence: Shape (length, features).
    :param starts: Shape (length,).
    :param hidden: Shape (layers, hidden).
    :param cell: The same.
    """
    weights = {name: parameter.detach().numpy() for name, parameter in lstm.named_parameters()}
    hidden, cell, outputs = hidden.copy(), cell.copy(), []
    for step, is_start in zip(sequence, starts, strict=True):
        if is_start:
            hidden[:], cell[:] = 0.0, 0.0
        below = step
        for layer in range(lstm.num_layers):
            gates = weights[f"weight_ih_l{layer}"] @ below + weights[f"weight_hh_l{layer}"] @ hidden[layer]
            if lstm.bias:
                gates = gates + weights[f"bias_ih_l{layer}"] + weights[f"bias_hh_l{layer}"]
            enter, forget, candidate, leave = np.split(gates, 4)
            cell[layer] = sigmoid(forget) * cell[layer] + sigmoid(enter) * np.tanh(candidate)
            hidden[layer] = sigmoid(leave) * np.tanh(cell[layer])
            below = hidden[layer]
        outputs.append(below.copy())
    return np.array(outputs), hidden, cell


@settings(max_examples=30)
@given(
    n_sequences=st.integers(1, 4),
    length=st.integers(1, 5),
    n_layers=st.integers(1, 2),
    bias=st.booleans(),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_outputs_states_and_gradients(
    n_sequences: int, length: int, n_layers: int, bias: bool, seed: int, data: st.DataObject
) -> None:
    """With sequences that begin with an episode or not, as the buffers of sb3-contrib cut them, and with others."""
    generator = th.Generator().manual_seed(seed)
    lstm = make_lstm(n_layers, bias, generator)
    features = th.randn(n_sequences, length, N_FEATURES, generator=generator, dtype=th.float64)
    states: Any = [th.randn(n_layers, n_sequences, N_HIDDEN, generator=generator, dtype=th.float64) for _ in range(2)]
    begins = data.draw(st.lists(st.booleans(), min_size=n_sequences, max_size=n_sequences), label="begins")
    starts = th.zeros(n_sequences, length, dtype=th.float64)
    starts[:, 0] = th.tensor(begins)
    if length > 1 and data.draw(st.booleans(), label="also starts later"):
        starts[-1, data.draw(st.integers(1, length - 1))] = 1.0
    results = []
    for is_whole in (False, True):
        inputs = [tensor.clone().requires_grad_() for tensor in (features.flatten(end_dim=1), *states)]
        arguments = (inputs[0], tuple(inputs[1:]), starts.flatten(), lstm)
        if is_whole:
            with whole_sequences(POLICY):
                outputs, after = POLICY._process_sequence(*arguments)
        else:
            outputs, after = POLICY._process_sequence(*arguments)
        total = sum((one * th.arange(one.numel()).reshape(one.shape).sin()).sum() for one in (outputs, *after))
        results.append((outputs, *after, *th.autograd.grad(total, [*inputs, *lstm.parameters()])))
    for plain, whole in zip(*results, strict=True):
        assert plain.shape == whole.shape
        th.testing.assert_close(whole, plain, rtol=1e-10, atol=1e-10)

    outputs, hidden, cell = (one.detach().numpy() for one in results[1][:3])
    outputs = outputs.reshape(n_sequences, length, N_HIDDEN)
    for index in range(n_sequences):
        expected = by_hand(
            lstm, features[index].numpy(), starts[index].numpy(), *(state[:, index].numpy() for state in states)
        )
        for actual, of_hand in zip((outputs[index], hidden[:, index], cell[:, index]), expected, strict=True):
            np.testing.assert_allclose(actual, of_hand, rtol=1e-10, atol=1e-12)


def count_calls(lstm: nn.LSTM, starts: th.Tensor) -> int:
    calls: list[int] = []
    handle = lstm.register_forward_hook(lambda *args: calls.append(1))
    states = tuple(th.zeros(1, len(starts), N_HIDDEN, dtype=th.float64) for _ in range(2))
    with whole_sequences(POLICY):
        POLICY._process_sequence(th.zeros(starts.numel(), N_FEATURES, dtype=th.float64), states, starts.flatten(), lstm)
    handle.remove()
    return len(calls)


def test_one_call_unless_an_episode_starts_within_a_sequence() -> None:
    lstm = make_lstm(1, True, th.Generator().manual_seed(0))
    starts = th.zeros(3, 6, dtype=th.float64)
    assert count_calls(lstm, starts) == 1
    starts[[0, 2], 0] = 1.0
    assert count_calls(lstm, starts) == 1
    starts[1, 5] = 1.0
    assert count_calls(lstm, starts) == 6


def test_policy_is_restored_also_by_an_error() -> None:
    with whole_sequences(POLICY):
        assert "_process_sequence" in vars(POLICY)
    assert "_process_sequence" not in vars(POLICY)
    with pytest.raises(ZeroDivisionError), whole_sequences(POLICY):
        raise ZeroDivisionError
    assert "_process_sequence" not in vars(POLICY)


# ---------------------------------------------------------------- what keeps them from it


class OwnLSTM(nn.LSTM):
    """Could do anything."""


class OwnSequences(RecurrentActorCriticPolicy):
    """Could do anything."""

    @staticmethod
    def _process_sequence(*args: Any) -> Any:
        return RecurrentActorCriticPolicy._process_sequence(*args)


@pytest.mark.parametrize("which", ["lstm_actor", "lstm_critic"])
def test_either_lstm_is_looked_at(which: str) -> None:
    policy = make_policy()
    assert why_not_whole(policy) is None
    lstm = getattr(policy, which)
    for register in (lstm.register_forward_hook, lstm.register_forward_pre_hook, lstm.register_full_backward_hook):
        handle = register(lambda *args: None)
        assert why_not_whole(policy) == "its LSTM has a hook, which is to be called at each step"
        handle.remove()
    setattr(policy, which, nn.LSTM(N_FEATURES, N_HIDDEN, num_layers=2, dropout=0.1))
    assert why_not_whole(policy) == "its LSTM has a dropout, which is drawn anew at each step"
    setattr(policy, which, OwnLSTM(N_FEATURES, N_HIDDEN))
    assert why_not_whole(policy) == "its LSTM is a OwnLSTM, not a torch.nn.LSTM"
    setattr(policy, which, nn.GRU(N_FEATURES, N_HIDDEN))
    assert why_not_whole(policy) == "its LSTM is a GRU, not a torch.nn.LSTM"


@pytest.mark.parametrize("arguments", [{"enable_critic_lstm": False}, {"shared_lstm": True, "enable_critic_lstm": False}])
def test_one_lstm_alone(arguments: dict[str, bool]) -> None:
    assert why_not_whole(make_policy(**arguments)) is None


def test_method_of_ones_own_in_a_class_or_in_one_policy() -> None:
    assert why_not_whole(make_policy(OwnSequences)) == "OwnSequences has its own _process_sequence()"
    policy = make_policy()
    policy._process_sequence = RecurrentActorCriticPolicy._process_sequence
    assert why_not_whole(policy) == "RecurrentActorCriticPolicy has its own _process_sequence()"
