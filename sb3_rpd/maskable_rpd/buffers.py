"""Labels in the rollout buffers of maskable policies, which know what is forbidden."""

import numpy as np

from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.teachers.action_masks import n_choices_by_dimension


class AllowedLabelsMixin(TeacherLabelsMixin):
    """``TeacherLabelsMixin`` for sb3-contrib's maskable buffers."""

    #: Shape (buffer_size, n_envs, choices), 1 where an action is allowed; those of an action's numbers are side by side.
    action_masks: np.ndarray

    def drop_forbidden_labels(self) -> int:
        sizes = n_choices_by_dimension(self.action_space)
        labeled = ~np.isnan(self.teacher_actions).any(axis=2)
        columns = np.cumsum(sizes) - sizes + np.where(labeled[..., np.newaxis], self.teacher_actions, 0.0).astype(int)
        is_allowed = np.take_along_axis(self.action_masks, columns, axis=2).all(axis=2)
        forbidden = labeled & ~is_allowed
        self.teacher_actions[forbidden] = np.nan
        return int(forbidden.sum())
