"""What Vulkan has on this machine, and what to say where that is not enough."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

#: The shared libraries that sapien needs even where no image is made, as Debian packages.
SYSTEM_PACKAGES = "libvulkan1 libx11-6 libgl1 libglib2.0-0"

#: How to get images without a GPU.
SOFTWARE_RENDERING = (
    "On Debian 12 install Mesa's software renderer from the backports, "
    "`apt-get install -t bookworm-backports mesa-vulkan-drivers`; elsewhere mesa-vulkan-drivers, version 25.0.7 or later"
)

#: What a GPU needs.
GPU_RENDERING = "A GPU needs its Vulkan driver (NVIDIA in a container: NVIDIA_DRIVER_CAPABILITIES=all)"

#: The first Vulkan version of a software renderer that sapien runs on: Mesa 22.3's 1.3 does not, Mesa 25.0's 1.4 does.
MIN_SOFTWARE_VULKAN = (1, 4)

#: Where Vulkan's drivers describe themselves.
MANIFEST_FOLDERS = ("/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d")

#: Variables that tell Vulkan which drivers to look at; the first that is set counts.
_DRIVER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")

# How many threads Mesa's software renderer starts for each device; it asks when the device is made
_MESA_THREADS = "LP_NUM_THREADS"

_CPU_DEVICE = 4  # VK_PHYSICAL_DEVICE_TYPE_CPU


class RenderingUnavailableError(RuntimeError):
    """An image is asked for where nothing can render one."""


class VulkanDevice(NamedTuple):
    """
    One device that Vulkan lists.

    :param name: Its name.
    :param is_gpu: Whether it is hardware.
    :param version: The Vulkan version (major, minor) that it offers.
    """

    name: str
    is_gpu: bool
    version: tuple[int, int]


class _InstanceCreateInfo(ctypes.Structure):
    """``VkInstanceCreateInfo``; all zero but the type asks for an instance without layers and extensions."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application_info", ctypes.c_void_p),
        ("num_layers", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("num_extensions", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


@lru_cache(maxsize=1)
def vulkan_devices() -> tuple[VulkanDevice, ...]:
    """
    Ask the Vulkan loader what it has.

    :return: Its devices; none where there is no loader or no driver.
    """
    try:
        vulkan = ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return ()
    instance = ctypes.c_void_p()
    if vulkan.vkCreateInstance(ctypes.byref(_InstanceCreateInfo(type=1)), None, ctypes.byref(instance)) != 0:
        return ()
    try:
        count = ctypes.c_uint32()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        handles = (ctypes.c_void_p * count.value)()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
        return tuple(_device_properties(vulkan, handle) for handle in handles)
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _device_properties(vulkan: Any, handle: int | None) -> VulkanDevice:
    properties = ctypes.create_string_buffer(2048)  # VkPhysicalDeviceProperties takes 824 bytes; its head is read
    vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), properties)
    version, _driver, _vendor, _device, kind = struct.unpack_from("5I", properties)
    name = properties.raw[20:276].split(b"\0")[0].decode(errors="replace")
    return VulkanDevice(name, kind != _CPU_DEVICE, (version >> 22 & 0x7F, version >> 12 & 0x3FF))


def describe_devices(devices: tuple[VulkanDevice, ...]) -> str:
    """:return: Their names and versions, in words."""
    named = (f"{device.name} (Vulkan {device.version[0]}.{device.version[1]})" for device in devices)
    return ", ".join(named) or "no device"


def restriction_or(cure: str) -> str:
    """
    :param cure: What helps where no environment variable is in the way.
    :return: What such a variable keeps Vulkan from, then other cures; those alone where there is none.
    """
    variable = next((name for name in _DRIVER_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        return cure
    value = os.environ[variable]
    told = f"The environment variable {variable}={value!r:.200} keeps it from looking at any other driver"
    missing = [path for path in value.split(os.pathsep) if path and not os.path.exists(path)]
    if not missing:
        return f"{told}; unset it if that is not meant. {cure}"
    return (
        f"{told}, and there is no {missing[0]!r:.200}: unset it, or let it name the driver's manifest (those installed are in "
        f"{MANIFEST_FOLDERS[0]})"
    )


@contextmanager
def in_this_thread() -> Iterator[None]:
    """
    A software renderer that is made inside this context works in the thread that asks for a frame, unless ``LP_NUM_THREADS``
    is set. A frame's work is nearly all in its vertices, which Mesa does not share out among threads; to wake them costs more
    than they do.
    """
    if _MESA_THREADS in os.environ:
        yield
        return
    os.environ[_MESA_THREADS] = "0"
    try:
        yield
    finally:
        del os.environ[_MESA_THREADS]
