"""Types that several rooms of the package share."""

from typing import Any, TypeAlias

import numpy as np

#: A batch of raw observations, first axis n: an array, or a dict of arrays by name.
RawObservation: TypeAlias = np.ndarray | dict[str, np.ndarray]

#: What one environment offers its teacher at one time, as found in ``info["teacher"]``: any of
#: ``"observation"`` (dict of unbatched arrays by name), ``"instruction"`` (str), ``"action"`` (a ready action).
TeacherInfo: TypeAlias = dict[str, Any]
