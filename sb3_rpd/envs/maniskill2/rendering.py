"""What can render images on this machine, and how ManiSkill2 is told to use it."""

import ctypes
import importlib
import os
from pathlib import Path

from sb3_rpd.envs.vulkan import (
    GPU_RENDERING,
    MANIFEST_FOLDERS,
    MIN_SOFTWARE_VULKAN,
    SOFTWARE_RENDERING,
    RenderingUnavailableError,
    VulkanDevice,
    describe_devices,
    restriction_or,
    vulkan_devices,
)

#: What ``renderer=`` may say.
RENDERERS = ("auto", "none", "software", "gpu")

# Shaders for software rendering
_SHADERS = Path(__file__).with_name("shaders")

_LIBRARY = "libsapien"
_UNSUPPORTED_EXTENSION = b"VK_KHR_external_semaphore_fd\0"
_SUPPORTED_EXTENSION = b"VK_KHR_external_semaphore\0"

#: How this process renders; None for not yet.
_prepared: str | None = None


def choose_renderer(renderer: str, visuals: bool) -> str:
    """
    Decide what renders.

    :param renderer: One of ``RENDERERS``. "auto" takes nothing where nothing is to be seen, otherwise a GPU where there is
        one, otherwise the CPU.
    :param visuals: Whether images are asked for, or the task itself looks at things.
    :return: "none", "software" or "gpu".
    :raises RenderingUnavailableError: if visuals are needed and cannot be had; says what to install.
    :raises ValueError: if ``renderer`` is unknown.
    """
    if renderer not in RENDERERS:
        raise ValueError(f'renderer must be one of {", ".join(RENDERERS)}; got "{renderer}"')
    if renderer == "none" and visuals:
        raise RenderingUnavailableError('images, or a task that needs visuals, do not go with renderer="none": take "auto"')
    if renderer == "none" or (renderer == "auto" and not visuals):
        return "none"
    devices = vulkan_devices()
    if renderer != "software" and any(device.is_gpu for device in devices):
        return "gpu"
    software = [device for device in devices if not device.is_gpu]
    if renderer != "gpu" and any(device.version >= MIN_SOFTWARE_VULKAN for device in software):
        return "software"
    raise RenderingUnavailableError(_why_not(renderer, devices))


def _why_not(renderer: str, devices: tuple[VulkanDevice, ...]) -> str:
    cures = {"gpu": GPU_RENDERING, "software": SOFTWARE_RENDERING, "auto": f"{SOFTWARE_RENDERING}. {GPU_RENDERING}"}
    return (
        f"nothing on this machine can render ManiSkill2's images: Vulkan lists {describe_devices(devices)}. "
        f"{restriction_or(cures[renderer])}. "
        "State observations of most tasks need none of it"
    )


def prepare_renderer(renderer: str) -> None:
    """
    Make this process ready for environments that render.

    :param renderer: "software" or "gpu".
    :raises RuntimeError: if this process renders the other way already.
    """
    global _prepared
    if _prepared not in (None, renderer):
        raise RuntimeError(
            f'this process renders with renderer="{_prepared}" already and cannot change to "{renderer}": '
            "use another process, e.g. a SubprocVecEnv"
        )
    if _prepared is None and renderer == "software":
        _hide_gpus()
        _lower_demands()
    # each further environment would be warned that it shares the first one's Vulkan context, which is as it should be
    os.environ.setdefault("MS2_RENDERER_LOG_LEVEL", "error")
    _prepared = renderer


def color_shaders(has_textures: bool) -> str:
    """
    Shaders that give the colors of sapien's "trivial" ones, to the last bit, and no position map and no segmentation along
    with them: each number that a vertex hands on costs time, and nobody here reads those.

    :param has_textures: Whether something in the scene may have a texture.
    :return: Their folder, for ManiSkill2's ``shader_dir``.
    """
    return str(_SHADERS / ("textured" if has_textures else "untextured"))


def _hide_gpus() -> None:
    """Where there are GPUs too, leave Vulkan its software renderer alone: sapien takes what comes first."""
    if not any(device.is_gpu for device in vulkan_devices()):
        return
    manifests = [str(path) for folder in MANIFEST_FOLDERS for path in sorted(Path(folder).glob("lvp*.json"))]
    if not manifests:
        raise RenderingUnavailableError(
            f"Mesa's software renderer cannot be chosen over the GPU: no lvp*.json in {', '.join(MANIFEST_FOLDERS)}"
        )
    os.environ["VK_DRIVER_FILES"] = os.environ["VK_ICD_FILENAMES"] = ":".join(manifests)


def _lower_demands() -> None:
    """
    Let sapien 2 run on Mesa's lavapipe.

    sapien asks every device for VK_KHR_external_semaphore_fd, which only its exchange with CUDA uses and which lavapipe
    offers on few machines. The demand is a string constant of the loaded library; its copy in this process's memory
    is replaced by the name of an extension that each device has. Only ever done for software rendering.
    """
    importlib.import_module("sapien.core")  # loads the library
    address = _find_in_library(_UNSUPPORTED_EXTENSION)
    if address is None:
        return  # another version of sapien, which may not ask
    libc = ctypes.CDLL(None, use_errno=True)
    page = os.sysconf("SC_PAGE_SIZE")
    start = address // page * page
    region = ctypes.c_void_p(start), ctypes.c_size_t(address + len(_UNSUPPORTED_EXTENSION) - start)
    read_only, read_write = 1, 3
    if libc.mprotect(*region, read_write) != 0:
        raise RenderingUnavailableError(
            f"sapien cannot be made ready for software rendering: mprotect failed ({os.strerror(ctypes.get_errno())})"
        )
    ctypes.memmove(address, _SUPPORTED_EXTENSION, len(_SUPPORTED_EXTENSION))
    libc.mprotect(*region, read_only)


def _find_in_library(text: bytes) -> int | None:
    """Address of a string among the constants of sapien's library, as loaded into this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and _LIBRARY in Path(fields[5]).name and fields[1] == "r--p":
            start, end = (int(limit, 16) for limit in fields[0].split("-"))
            offset = ctypes.string_at(start, end - start).find(text)
            if offset >= 0:
                return start + offset
    return None
