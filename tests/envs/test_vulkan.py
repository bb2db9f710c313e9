"""What Vulkan lists on this machine, and what keeps it from that (sb3_rpd/envs/vulkan.py)."""

import ctypes
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sb3_rpd.envs import RenderingUnavailableError
from sb3_rpd.envs.maniskill2.rendering import choose_renderer
from sb3_rpd.envs.maniskill3.installation import check_vulkan
from sb3_rpd.envs.vulkan import (
    MANIFEST_FOLDERS,
    VulkanDevice,
    describe_devices,
    in_this_thread,
    restriction_or,
    vulkan_devices,
)

pytestmark = pytest.mark.usefixtures("no_variable_chooses_drivers")


@pytest.fixture
def vulkan_is_asked_again() -> Iterator[None]:
    """Its answer to what a test changes is that test's alone."""
    vulkan_devices.cache_clear()
    yield
    vulkan_devices.cache_clear()


@pytest.mark.rendering
def test_devices_are_those_that_the_drivers_tell_of() -> None:
    manifests = [path for folder in MANIFEST_FOLDERS for path in Path(folder).glob("lvp*.json")]
    told = {json.loads(path.read_text())["ICD"]["api_version"].rpartition(".")[0] for path in manifests}
    devices = vulkan_devices()
    assert devices
    for device in devices:
        is_mesa = device.name.startswith("llvmpipe")
        assert device.is_gpu is not is_mesa
        assert not is_mesa or "{}.{}".format(*device.version) in told


class LoaderWithGPU:
    """Stands in for a loader that lists a GPU, too; ``VkPhysicalDeviceProperties`` is as in Vulkan's specification."""

    #: Version, type (2: a discrete GPU, 4: a CPU) and name
    DEVICES = ((1 << 22 | 3 << 12 | 277, 2, b"GeForce\xae"), (1 << 22 | 4 << 12 | 305, 4, b"llvmpipe" * 31))

    def __init__(self) -> None:
        self.n_instances = 0

    def vkCreateInstance(self, info: Any, allocator: None, instance: Any) -> int:
        self.n_instances += 1
        return 0

    def vkDestroyInstance(self, instance: Any, allocator: None) -> None:
        self.n_instances -= 1

    def vkEnumeratePhysicalDevices(self, instance: Any, count: Any, handles: Any) -> None:
        count._obj.value = len(self.DEVICES)
        if handles is not None:
            handles[:] = range(1, len(self.DEVICES) + 1)

    def vkGetPhysicalDeviceProperties(self, handle: ctypes.c_void_p, properties: Any) -> None:
        version, kind, name = self.DEVICES[handle.value - 1]
        struct.pack_into("5I256s548x", properties, 0, version, 7, 8, 9, kind, name)


@pytest.mark.usefixtures("vulkan_is_asked_again")
def test_a_gpu_beside_mesa(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = LoaderWithGPU()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: loader)
    gpu, mesa = vulkan_devices()
    assert gpu == VulkanDevice("GeForce\N{REPLACEMENT CHARACTER}", is_gpu=True, version=(1, 3))
    assert mesa == VulkanDevice("llvmpipe" * 31, is_gpu=False, version=(1, 4))
    assert describe_devices((gpu, mesa._replace(name="Mesa"))) == f"{gpu.name} (Vulkan 1.3), Mesa (Vulkan 1.4)"
    assert loader.n_instances == 0


@pytest.mark.usefixtures("vulkan_is_asked_again")
def test_without_a_loader_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    load = ctypes.CDLL
    monkeypatch.setattr(ctypes, "CDLL", lambda name: load(f"/nowhere/{name}"))
    assert vulkan_devices() == ()


@pytest.mark.usefixtures("vulkan_is_asked_again")
@pytest.mark.parametrize(
    "ask", [lambda: choose_renderer("auto", visuals=True), check_vulkan], ids=["maniskill2", "maniskill3"]
)
@pytest.mark.parametrize("variable", ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"])
def test_a_variable_that_points_nowhere_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, ask: Callable[[], object]
) -> None:
    monkeypatch.setenv(variable, f"/nowhere/icd.json:{'x' * 1000}")
    with pytest.raises(RenderingUnavailableError) as raised:
        ask()
    said = str(raised.value)
    assert re.search(f"Vulkan lists no device. The environment variable {variable}='/nowhere/icd.json:x", said)
    assert "there is no '/nowhere/icd.json': unset it" in said
    assert len(said) < 800


def test_the_variable_that_vulkan_reads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_ICD_FILENAMES", "/old/icd.json")
    monkeypatch.setenv("VK_DRIVER_FILES", "")
    assert "VK_ICD_FILENAMES='/old/icd.json'" in restriction_or("")
    monkeypatch.setenv("VK_DRIVER_FILES", f"{__file__}::/new/icd.json")
    said = restriction_or("")
    assert f"VK_DRIVER_FILES='{__file__}" in said
    assert "there is no '/new/icd.json'" in said


@pytest.mark.parametrize("asked", [None, "3"])
def test_what_mesa_is_told_ends_with_an_error(monkeypatch: pytest.MonkeyPatch, asked: str | None) -> None:
    monkeypatch.setenv("LP_NUM_THREADS", asked or "")
    if asked is None:
        monkeypatch.delenv("LP_NUM_THREADS")
    told = []

    def run_out_of_memory() -> None:
        told.append(os.environ["LP_NUM_THREADS"])
        raise MemoryError

    with pytest.raises(MemoryError), in_this_thread():
        run_out_of_memory()
    assert told == [asked or "0"]
    assert os.environ.get("LP_NUM_THREADS") == asked


@pytest.mark.slow
@pytest.mark.maniskill2
@pytest.mark.rendering
@pytest.mark.parametrize("asked", [None, "1"])
def test_software_renderer_works_in_the_thread_that_asks(asked: str | None) -> None:
    """In a process of its own: Mesa asks when it is first used. What a user has chosen counts."""
    program = """
import glob, os
from sb3_rpd.envs import make_maniskill2_env
before = os.environ.get("LP_NUM_THREADS")
env = make_maniskill2_env("LiftCube-v0", "rgb", image_size=16, renderer="software")
env.reset(seed=0)
assert os.environ.get("LP_NUM_THREADS") == before
print(sum(open(name).read().startswith("llvmpipe") for name in glob.glob("/proc/self/task/*/comm")))
"""
    environment = {name: value for name, value in os.environ.items() if name != "LP_NUM_THREADS"}
    environment |= {} if asked is None else {"LP_NUM_THREADS": asked}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.split()[-1] == (asked or "0")
