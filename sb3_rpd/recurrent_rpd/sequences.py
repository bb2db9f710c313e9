"""Whole sequences through an LSTM in one call, where sb3-contrib calls it once for each step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch as th
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from torch import nn

from sb3_rpd.fast_path.watch import HOOKS

#: The method that is replaced.
_METHOD = "_process_sequence"


def why_not_whole(policy: RecurrentActorCriticPolicy) -> str | None:
    """
    :param policy: The student.
    :return: What keeps its sequences from going through its LSTMs in one call each, None if nothing does.
    """
    of_class = getattr(type(policy), _METHOD)
    if _METHOD in vars(policy) or of_class is not RecurrentActorCriticPolicy._process_sequence:
        return f"{type(policy).__name__} has its own {_METHOD}()"
    for lstm in [policy.lstm_actor] + [policy.lstm_critic] * (policy.lstm_critic is not None):
        if type(lstm) is not nn.LSTM:
            return f"its LSTM is a {type(lstm).__name__}, not a torch.nn.LSTM"
        if any(getattr(lstm, name, None) for name in HOOKS):
            return "its LSTM has a hook, which is to be called at each step"
        if lstm.dropout > 0.0:
            return "its LSTM has a dropout, which is drawn anew at each step"
    return None


@contextmanager
def whole_sequences(policy: RecurrentActorCriticPolicy) -> Iterator[None]:
    """
    Inside, a sequence goes through an LSTM of the policy in one call, unless an episode starts within it: the buffers of
    sb3-contrib cut sequences where one starts. The numbers are the same up to rounding.

    :param policy: A policy of which ``why_not_whole`` says nothing.
    """
    step_by_step = policy._process_sequence

    def in_one_call(
        features: th.Tensor, lstm_states: tuple[th.Tensor, th.Tensor], episode_starts: th.Tensor, lstm: nn.LSTM
    ) -> tuple[th.Tensor, tuple[th.Tensor, th.Tensor]]:
        n_sequences = lstm_states[0].shape[1]
        first, *_ = starts = episode_starts.reshape(n_sequences, -1).t()
        if starts[1:].any():
            return step_by_step(features, lstm_states, episode_starts, lstm)  # type: ignore[return-value]
        kept = (1.0 - first).view(1, n_sequences, 1)
        sequences = features.reshape(n_sequences, -1, lstm.input_size).transpose(0, 1)
        output, after = lstm(sequences, (kept * lstm_states[0], kept * lstm_states[1]))
        return output.transpose(0, 1).flatten(end_dim=1), after

    setattr(policy, _METHOD, in_one_call)
    try:
        yield
    finally:
        delattr(policy, _METHOD)
