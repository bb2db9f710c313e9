"""Imports ManiSkill3 on first use, and says what to install where something is missing."""

import importlib
from types import ModuleType

from sb3_rpd.envs.vulkan import (
    GPU_RENDERING,
    MIN_SOFTWARE_VULKAN,
    SOFTWARE_RENDERING,
    SYSTEM_PACKAGES,
    RenderingUnavailableError,
    describe_devices,
    restriction_or,
    vulkan_devices,
)


def import_maniskill3() -> ModuleType:
    """
    Import ManiSkill3 and register its tasks.

    :return: The module ``mani_skill.utils.registration``.
    :raises ImportError: if it or one of its system libraries is missing; says what to install.
    """
    try:
        importlib.import_module("mani_skill.envs")
        return importlib.import_module("mani_skill.utils.registration")
    except ImportError as error:
        raise ImportError(
            f'ManiSkill3 cannot be imported ({error}). Install it with `pip install "sb3_rpd[maniskill3]"`, into an '
            "environment without ManiSkill2 (they need different versions of sapien), and its system libraries with "
            f"`apt-get install {SYSTEM_PACKAGES}`.",
            name=error.name,
        ) from error


def check_vulkan() -> None:
    """
    See whether ManiSkill3 can run: it makes materials for things that nobody sees, too.

    :raises RenderingUnavailableError: if Vulkan lists no device that sapien runs on; says what to install.
    """
    devices = vulkan_devices()
    if not any(device.is_gpu or device.version >= MIN_SOFTWARE_VULKAN for device in devices):
        raise RenderingUnavailableError(
            f"ManiSkill3 needs a Vulkan device, for state observations too, and Vulkan lists {describe_devices(devices)}. "
            f"{restriction_or(f'{SOFTWARE_RENDERING}. {GPU_RENDERING}')}."
        )
