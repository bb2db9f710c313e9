"""Imports ManiSkill2 on first use, and says what to install where something is missing."""

import importlib.util
import sys
import warnings
from types import ModuleType

import numpy as np

from sb3_rpd.envs.vulkan import SYSTEM_PACKAGES


def import_maniskill2() -> ModuleType:
    """
    Import ManiSkill2 and register its tasks.

    :return: The module ``mani_skill2.utils.registration``.
    :raises ImportError: if it or one of its system libraries is missing, or numpy too new; says what to install.
    """
    if sys.version_info >= (3, 12) and importlib.util.find_spec("sapien") is None:
        raise ImportError(
            "ManiSkill2 needs Python 3.10 or 3.11: its physics engine, sapien 2, has no build for Python "
            f"{sys.version_info[0]}.{sys.version_info[1]}, and pip leaves it out there. Make an environment with "
            '`python3.11 -m venv`, and install `pip install "sb3_rpd[maniskill2]"` in it.',
            name="sapien",
        )
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        raise ImportError(
            f"ManiSkill2 crashes the process with numpy {np.__version__} (in its inverse kinematics): "
            'install an older one with `pip install "sb3_rpd[maniskill2]"`'
        )
    try:
        with warnings.catch_warnings():
            # sapien 2 reads its version through pkg_resources, which setuptools reports on every import
            warnings.filterwarnings("ignore", message=".*pkg_resources.*")
            importlib.import_module("mani_skill2.envs")
            return importlib.import_module("mani_skill2.utils.registration")
    except ImportError as error:
        raise ImportError(
            f"ManiSkill2 cannot be imported ({error}). "
            'Install it with `pip install "sb3_rpd[maniskill2]"` (Python 3.10 or 3.11) and its system libraries with '
            f"`apt-get install {SYSTEM_PACKAGES}`.",
            name=error.name,
        ) from error
