"""What an archive of a student holds beside PPO's part: all that is the student's own, and nothing of its teacher."""

import io
import pathlib
import warnings
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv

from sb3_rpd.common.archive import pack, unpack
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.wording import cut
from sb3_rpd.rpd.imitation_coefficient import ImitationCoefficient

#: Attributes that any pickle holds.
_PACKED = ("imitation_loss", "label_debiasing", "label_memory")

SelfStudentArchive = TypeVar("SelfStudentArchive", bound="StudentArchive")


class StudentArchive(ImitationCoefficient, OnPolicyAlgorithm):
    """The ``save`` and ``load`` of an algorithm with a teacher; see ``LabeledRollouts``."""

    imitation_loss: str | ImitationLoss
    label_debiasing: LabelDebiasing | None
    label_memory: LabelMemory | None
    _label_generator: np.random.Generator

    def _excluded_save_params(self) -> list[str]:
        of_this_process = [
            "teacher",
            "_labeler",
            "_labeler_teacher",
            "_teacher_is_quick",
            "_reader",
            "_tracker",
            "_checked_buffer",
            "_is_reset_by_learn",
            "_is_collecting",
            "_reward_watch",
            "_reward_signal",
            "_has_said_plain_ppo",
        ]
        # In the archive's ``rpd_state``, where a plain PPO that loads the student does not look
        packed = [*_PACKED, "imitation_coef", "_label_generator", "_current_imitation_coef"]
        return [*super()._excluded_save_params(), *of_this_process, *packed]

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """
        Save the student, not the teacher. The archive is also one of PPO's: ``stable_baselines3.PPO.load`` reads it where
        this package is not installed.

        :param path: See PPO.
        :param exclude: See PPO.
        :param include: See PPO.
        """
        self.rpd_state = {
            **{name: pack(getattr(self, name)) for name in _PACKED},
            "imitation_coef": self._packed_imitation_coef(),
            # No pickle: those of numpy's generators do not survive a change of numpy's version
            "label_generator": self._label_generator.bit_generator.state,
        }
        super().save(path, exclude, include)

    def _packed_imitation_coef(self) -> str | None:
        try:
            return pack(self.imitation_coef)
        except Exception as error:
            warnings.warn(
                f"The imitation_coef {cut(repr(self.imitation_coef))} is not saved with the student ({cut(error)}); to train "
                "on, it must be given again: load(path, imitation_coef=...).",
                stacklevel=3,
            )
            return None

    @classmethod
    def load(
        cls: type[SelfStudentArchive],
        path: str | pathlib.Path | io.BufferedIOBase,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> SelfStudentArchive:
        """
        Load a student saved by this class, or by the algorithm it is based on. To train on, give it a teacher again.

        :param path: See PPO.
        :param env: See PPO.
        :param device: See PPO.
        :param custom_objects: See PPO.
        :param print_system_info: See PPO.
        :param force_reset: See PPO. With False the first step after loading has no labels.
        :param kwargs: Attributes to set on the loaded model, such as ``teacher`` or ``imitation_coef``.
        :return: The model.
        """
        model = super().load(path, env, device, custom_objects, print_system_info, force_reset, **kwargs)
        state = getattr(model, "rpd_state", {})
        # SB3 looks for these among its own part of the archive only
        custom = {name: value for name, value in (custom_objects or {}).items() if name in state and name not in kwargs}
        model.__dict__.update(custom)
        kept = state.keys() - kwargs.keys() - custom.keys()
        for name in kept.intersection(_PACKED):
            setattr(model, name, unpack(state[name], name))
        if "imitation_coef" in kept:
            if state["imitation_coef"] is None:
                raise RuntimeError(
                    "The imitation_coef of this student could not be saved with it, as was said then. Give it again: "
                    "load(path, imitation_coef=...)."
                )
            model.imitation_coef = unpack(state["imitation_coef"], "imitation_coef")
        if "label_generator" in state and "seed" not in kwargs:
            model._label_generator.bit_generator.state = state["label_generator"]
        return model
