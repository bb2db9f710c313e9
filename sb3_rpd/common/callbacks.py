"""The callback that takes a rollout's entries to the teacher."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.input_tracker import REPLACED, TeacherInputTracker, View, copied, has_same_values
from sb3_rpd.common.label_choice import LabelChoice
from sb3_rpd.common.rollout_labeling import RolloutLabeling
from sb3_rpd.common.teacher_inputs import TeacherInputReader
from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.common.wrappers import UNREAD

T = TypeVar("T")

#: Adds to what the teacher may see of each environment what the algorithm stores beside the observation.
AddToView: TypeAlias = Callable[[list[TeacherInfo], Mapping[str, Any]], list[TeacherInfo]]

#: Takes rewards, dones and infos of a step.
OnOutcome: TypeAlias = Callable[[np.ndarray, np.ndarray, list[dict[str, Any]]], None]


class _Step(NamedTuple):
    """What SB3 has at hand after ``env.step()``."""

    new_obs: VecEnvObs
    rewards: np.ndarray
    dones: np.ndarray
    infos: list[dict[str, Any]]


class LabelingCallback(BaseCallback):
    """
    Runs the caller's callback, and has each step labeled that SB3 adds to the rollout buffer.

    SB3 calls it after ``env.step()`` and before ``rollout_buffer.add()``. What the teacher may see of the new observation is
    read before the caller's callback, which may step or reset the environments; which view an entry gets is decided when the
    buffer adds it, by the observation that it adds. Where the caller's callback stops the rollout, nothing is added.

    :param callback: The caller's callback.
    :param model: The model that collects.
    :param reader: Of the environments in which it does.
    :param tracker: Knows the teacher's view of the model's last observation.
    :param labeling: Takes the entries; None when the rollout is not to be labeled.
    :param choice: Which entries to submit.
    :param n_steps: How many steps the rollout is to have.
    :param add_to_view: Completes the teacher's view of the entries that are submitted; None where it is complete.
    :param on_outcome: Is given rewards, dones and infos of each step; None if nobody wants them.
    """

    def __init__(
        self,
        callback: BaseCallback,
        model: OnPolicyAlgorithm,
        reader: TeacherInputReader,
        tracker: TeacherInputTracker,
        labeling: RolloutLabeling | None,
        choice: LabelChoice,
        n_steps: int,
        add_to_view: AddToView | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._callback = callback
        self._reader = reader
        self._tracker = tracker
        self._labeling = labeling
        self._choice = choice
        self._n_steps = n_steps
        self._n_steps_made = 0
        self._add_to_view = add_to_view
        self._on_outcome = on_outcome
        self._step: _Step | None = None

    def on_rollout_start(self) -> None:
        # The last row is for the observation with which the next rollout begins
        shape = (self._n_steps + 1, self._reader.env.num_envs)
        is_labeled = self._labeling is not None
        self._wanted = self._choice.ahead(self._n_steps_before, *shape) if is_labeled else np.zeros(shape, dtype=bool)
        self._tracker.settle(self._last_obs)
        self._fetch_first()
        self._reader.requests.begin(self._wanted[1:])
        self._let_replace_last_obs(self._callback.on_rollout_start)

    def update_locals(self, locals_: dict[str, Any]) -> None:
        # No more is kept than is needed, and no longer: this would else hold the frames of a step
        self._step = _Step(locals_["new_obs"], locals_["rewards"], locals_["dones"], locals_["infos"])
        self._callback.update_locals(locals_)

    def on_step(self) -> bool:
        assert self._step is not None
        (new_obs, rewards, dones, infos), self._step = self._step, None
        values = copied(new_obs)
        self._n_steps_made += 1
        self._tracker.add(new_obs, values, View(self._reader.after_step(values, dones, infos, self._wanted_now)))
        goes_on, were_reset = self._watched(self._callback.on_step)
        if were_reset and (self._reader.writes_over() or self._tracker.memory_is_reused):
            self._tracker.drop_last(REPLACED)
        if self._on_outcome is not None:
            # A callback may have added rewards of its own, in place
            self._on_outcome(rewards, dones, infos)
        return goes_on

    def on_rollout_end(self) -> None:
        self._step = None
        self._tracker.settle(self._last_obs)
        self._let_replace_last_obs(self._callback.on_rollout_end)

    def on_add(self, position: int, observations: VecEnvObs, stored: Mapping[str, Any]) -> None:
        """
        The rollout buffer adds a step.

        :param position: Where in the rollout.
        :param observations: The student's observations that are stored.
        :param stored: What is stored beside what every on-policy algorithm stores.
        """
        if self._labeling is None:
            return
        # SB3 has counted this step already
        chosen = self._choice(self._n_steps_before - 1, self._reader.env.num_envs)
        view = self._tracker.find(observations) or View(None, REPLACED)
        if view.inputs is None:
            self._labeling.skip(int(chosen.sum()), view.complaint)
            return
        unread = [UNREAD in info for info in view.inputs]
        if any(unread):
            self._labeling.skip(int((chosen & unread).sum()), None)
            chosen &= np.logical_not(unread)
        inputs = view.inputs if self._add_to_view is None else self._add_to_view(view.inputs, stored)
        self._labeling.submit(position, inputs, chosen)

    @property
    def _n_steps_before(self) -> int:
        """Counted over all rollouts: one may be shorter than the k of every k-th step."""
        return self.model.num_timesteps // self._reader.env.num_envs

    @property
    def _wanted_now(self) -> np.ndarray:
        """Whether the teacher will be asked about the environments' present states."""
        return np.asarray(self._wanted[self._n_steps_made])

    def _fetch_first(self) -> None:
        """What the last rollout did not need, having no labels, may be needed now."""
        view = self._tracker.find(self._last_obs)
        if view is not None and view.inputs is not None:
            inputs = self._reader.requests.fetch(view.inputs, self._wanted_now)
            self._tracker.keep(self._last_obs, view._replace(inputs=inputs))

    @property
    def _last_obs(self) -> VecEnvObs:
        assert self.model._last_obs is not None
        return self.model._last_obs

    def _watched(self, call: Callable[[], T]) -> tuple[T, bool]:
        """What the caller's callback returns, and whether it has reset the environments meanwhile."""
        before = self._reader.reset_infos()
        result = call()
        pairs = zip(before, self._reader.reset_infos(), strict=True)
        return result, any(one is not other for one, other in pairs)

    def _let_replace_last_obs(self, call: Callable[[], None]) -> None:
        """Between two rollouts a callback may put the observations of a reset in the place of the model's last ones."""
        _, were_reset = self._watched(call)
        observations = self._last_obs
        if self._tracker.find(observations) is not None and not (were_reset and self._reader.writes_over()):
            return
        known = self._tracker.find_by_values(observations)
        present = self._reader.present(copied(observations), certain=self._tracker.is_changed_in_place(observations))
        if present is not None:
            present = self._reader.requests.fetch(present, self._wanted_now)
        if known is None:
            view = View(present, None if present else REPLACED)
        elif not were_reset or _are_same(known.inputs, present):
            view = known
        else:
            # Either those of before, put back, or those of a reset that look the same to the student
            view = View(None, REPLACED)
        self._tracker.keep(observations, view)

    def _on_step(self) -> bool:
        raise NotImplementedError("LabelingCallback runs inside RPD.collect_rollouts, which calls on_step() only.")


class CollectingGuard(BaseCallback):
    """
    Stops a model whose ``collect_rollouts`` does not call RPD's, and so would train as PPO, before its first rollout.

    :param is_labeled: Tells whether RPD's is at work.
    """

    def __init__(self, is_labeled: Callable[[], bool]) -> None:
        super().__init__()
        self._is_labeled = is_labeled

    def _on_rollout_start(self) -> None:
        if not self._is_labeled():
            raise TeacherError(
                f"{type(self.model).__name__} has a collect_rollouts() of its own that does not call RPD's, and so would get "
                "no labels. Let it call super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps), and do what "
                "is to be done at each step in a callback or a VecEnvWrapper; or take imitation_coef=0.0 to train as PPO."
            )

    def _on_step(self) -> bool:
        return True


def _are_same(first: list[TeacherInfo] | None, second: list[TeacherInfo] | None) -> bool:
    if first is None or second is None:
        return first is second
    return len(first) == len(second) and all(_is_same(one, other) for one, other in zip(first, second, strict=True))


def _is_same(first: TeacherInfo, second: TeacherInfo) -> bool:
    if first.keys() != second.keys():
        return False
    one_by_one = {"instruction", UNREAD}
    return all(
        first[name] == second[name] if name in one_by_one else has_same_values(first[name], second[name]) for name in first
    )
