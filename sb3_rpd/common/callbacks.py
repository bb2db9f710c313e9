"""The callback that takes a rollout's entries to the teacher."""

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from sb3_rpd.common.label_choice import LabelChoice
from sb3_rpd.common.labeling import RolloutLabeling
from sb3_rpd.common.teacher_inputs import TeacherInputTracker, teacher_inputs_after_step


class LabelingCallback(BaseCallback):
    """
    Runs the caller's callback and, where that lets the rollout go on, submits the step's entries for labeling.

    SB3 calls it after ``env.step()`` and before ``rollout_buffer.add()``: the buffer's position is that of the entry, the
    model's last observation is the one to label, and ``new_obs`` is the one to label next. Where the caller's callback
    stops the rollout, SB3 keeps the last observation, and so does the tracker.

    :param callback: The caller's callback.
    :param model_inputs: What the teacher may see of the model's last observation.
    :param labeling: Takes the entries; None when the rollout is not to be labeled.
    :param choice: Which entries to submit.
    """

    def __init__(
        self,
        callback: BaseCallback,
        model_inputs: TeacherInputTracker,
        labeling: RolloutLabeling | None,
        choice: LabelChoice,
    ) -> None:
        super().__init__()
        self._callback = callback
        self._model_inputs = model_inputs
        self._labeling = labeling
        self._choice = choice

    def on_rollout_start(self) -> None:
        self._callback.on_rollout_start()

    def update_locals(self, locals_: dict[str, Any]) -> None:
        # Not kept here as well: the caller's callback outlives this one and does with them what it always does
        self._callback.update_locals(locals_)

    def on_step(self) -> bool:
        if not self._callback.on_step():
            return False
        locals_ = self._callback.locals
        step, env, new_obs = locals_["rollout_buffer"].pos, locals_["env"], locals_["new_obs"]
        if self._labeling is not None:
            # Counted over all rollouts: one may be shorter than the k of every k-th step
            steps_before = locals_["self"].num_timesteps // env.num_envs - 1
            chosen = self._choice(steps_before, env.num_envs)
            inputs = self._model_inputs.inputs_for(locals_["self"]._last_obs)
            if inputs is not None:
                self._labeling.submit(step, inputs, chosen)
        inputs_after = teacher_inputs_after_step(env, new_obs, locals_["dones"], locals_["infos"])
        self._model_inputs.keep(new_obs, inputs_after)
        return True

    def on_rollout_end(self) -> None:
        self._callback.on_rollout_end()

    def _on_step(self) -> bool:
        raise NotImplementedError("LabelingCallback runs inside RPD.collect_rollouts, which calls on_step() only.")
