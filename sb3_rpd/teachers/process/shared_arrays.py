"""Memory without a name that two processes share, and the arrays that they hand each other through it."""

import mmap
import os
from collections.abc import Sequence
from multiprocessing import reduction
from multiprocessing.context import assert_spawning
from typing import Any, NamedTuple

import numpy as np

from sb3_rpd.common.errors import TeacherError

# Each array begins on a cache line
_ALIGNMENT = 64


class Placement(NamedTuple):
    """Where an array lies in the memory, and what it is: plain values that cross a pipe."""

    dtype: str
    shape: tuple[int, ...]
    offset: int


class SharedArrays:
    """
    A block of anonymous memory, which the process that made it passes to a process that it spawns.

    The memory is a ``memfd``: it has no name in the file system, so the kernel frees it when the last process that has it
    is gone, however it went. Unlike POSIX shared memory it is not bounded by the size of ``/dev/shm``, which in a container
    is often 64 MB, and needs no resource tracker. It grows as needed and is used again for the next arrays.

    Whoever writes overwrites what was there: the two processes take turns, which is up to them.

    :param descriptor: File descriptor of memory that exists already; None to make some.
    :raises TeacherError: if the operating system has no such memory.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            if not hasattr(os, "memfd_create"):
                raise TeacherError(
                    "A teacher in its own process shares memory with the student's by memfd_create, which only Linux has. Run "
                    "the teacher in the student's process, or behind a server."
                )
            descriptor = os.memfd_create("sb3_rpd_teacher")
            os.ftruncate(descriptor, mmap.PAGESIZE)
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def __reduce__(self) -> Any:
        assert_spawning(self)
        return _attach, (reduction.DupFd(self._descriptor),)

    @property
    def capacity(self) -> int:
        """Size of the memory in bytes."""
        return os.fstat(self._descriptor).st_size

    def write(self, arrays: Sequence[np.ndarray]) -> list[Placement]:
        """
        Put arrays into the memory.

        :param arrays: The arrays. Their dtypes must be numbers, bools or strings.
        :return: Where they lie, which the other process needs to read them.
        :raises TeacherError: if an array holds Python objects or records.
        """
        placements, end = [], 0
        for array in arrays:
            if array.dtype.kind in "OV":
                raise TeacherError(
                    f"Arrays of dtype {array.dtype} cannot be shared between processes; use numbers or strings."
                )
            placements.append(Placement(array.dtype.str, array.shape, end))
            end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        if end > self.capacity:
            # Twice as much: batches that grow a little each time do not need a new map each time
            os.ftruncate(self._descriptor, 2 * end)
        for array, placement in zip(arrays, placements, strict=True):
            self._view(placement)[...] = array
        return placements

    def read(self, placements: Sequence[Placement]) -> list[np.ndarray]:
        """
        Take arrays out of the memory.

        :param placements: What ``write`` returned, in either process.
        :return: Copies, which stay what they are when the memory is used again.
        """
        return [self._view(placement).copy() for placement in placements]

    def close(self) -> None:
        """Let go of the memory in this process."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._map = -1, None

    def _view(self, placement: Placement) -> np.ndarray:
        if self._map is None or len(self._map) < self.capacity:
            # The old map goes when nothing refers to it
            self._map = mmap.mmap(self._descriptor, self.capacity)
        return np.ndarray(placement.shape, np.dtype(placement.dtype), buffer=self._map, offset=placement.offset)


def _attach(handle: Any) -> SharedArrays:
    return SharedArrays(handle.detach())
