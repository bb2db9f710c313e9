"""A robot that is drawn with fewer triangles, for a renderer on the CPU, which spends most of a frame's time on them."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sb3_rpd.common.optional_imports import import_optional

#: Smaller meshes stay as they are: they are screws, lamps and rims, cost little, and lose whole pieces.
_FEW_TRIANGLES = 1000
#: How hastily triangles are merged, from 0 to 10. With the library's own 7 parts of the Panda end up to 6 mm elsewhere, with
#: 5 up to 1.4 mm.
_HASTE = 5
#: In meters, in which meshes are given: vertices as near to each other as that are one.
_MERGE_DIGITS = 6

_Simplify: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

#: How many triangles the parts of a robot were left with in this process, by its description.
_left: dict[str, list[int]] = {}


def check_mesh_reduction(reduction: float) -> None:
    """
    :param reduction: Which share of a mesh's triangles is to be taken away.
    :raises ValueError: if it is no share, or leaves nothing.
    """
    if not 0.0 <= reduction < 1.0:
        raise ValueError(f"mesh_reduction={reduction} must be in [0, 1): the share of the robot's triangles to be taken away.")


def reduce_robot(bare: Any, reduction: float) -> None:
    """
    Draw the robot of an environment with fewer triangles from now on. Nothing else changes: what it collides with are other
    meshes. The environment has to be reset afterwards.

    sapien shares the meshes of each file that it has read among all environments of a process, for as long as there is one
    that has them. So the robot is read from a copy of its files, which only environments with the same reduction share.

    :param bare: The unwrapped environment, with a renderer.
    :param reduction: Which share of the triangles is taken away, in (0, 1).
    :raises ImportError: if fast-simplification is missing.
    """
    from mani_skill2 import format_path

    library = import_optional("fast_simplification", extra="maniskill2")
    simplify = partial(library.simplify, target_reduction=reduction, agg=_HASTE)
    description = Path(format_path(str(bare._agent_cfg.urdf_path)))
    load_agent = bare._load_agent

    def load_reduced_agent() -> None:
        # Robots may share files, too
        with _copy(description.parent, f"{description.stem}-{reduction}") as folder:
            bare._agent_cfg.urdf_path = str(folder / description.name)
            load_agent()
        _left[str(folder)] = _reduce(bare.agent.robot, simplify, left=_left.get(str(folder), []))

    bare._load_agent = load_reduced_agent
    bare.reset(options={"reconfigure": True})


@contextmanager
def _copy(descriptions: Path, name: str) -> Iterator[Path]:
    """Copy the robots' files for as long as they are read: to the same place each time, by which sapien knows them again."""
    place = _temporary_folder() / name
    shutil.copytree(descriptions, place)
    try:
        yield place
    finally:
        shutil.rmtree(place.parent)


@cache
def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="sb3_rpd_robots_"))


def _reduce(robot: Any, simplify: _Simplify, left: list[int]) -> list[int]:
    """
    :param left: How many triangles the parts had when they had been reduced before; empty if they have not been.
    :return: How many they have now.
    """
    meshes = [shape.mesh for shape in _shapes(robot)]
    counts = [len(mesh.indices) // 3 for mesh in meshes]
    # All are read before one is changed: parts that look alike, such as the fingers, share a mesh
    reduced = [
        (mesh, _reduced(mesh, simplify))
        for mesh, count, count_left in zip(meshes, counts, left or [-1] * len(counts), strict=True)
        if count != count_left
    ]
    for mesh, (points, normals, faces) in reduced:
        mesh.set_vertices(points)
        mesh.set_normals(normals)
        mesh.set_indices(faces)
    return [len(mesh.indices) // 3 for mesh in meshes]


def _shapes(robot: Any) -> Iterator[Any]:
    """:return: What the robot looks like, but for what has a picture on it, whose place on fewer triangles is unknown."""
    for link in robot.get_links():
        for body in link.get_visual_bodies():
            yield from (shape for shape in body.get_render_shapes() if shape.material.diffuse_texture is None)


def _reduced(mesh: Any, simplify: _Simplify) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """:return: Vertices and normals, as many as before (sapien wants that), and triangles, which refer to the first ones."""
    corners, normals = np.array(mesh.vertices), np.array(mesh.normals)
    triangles = np.array(mesh.indices).reshape(-1, 3)
    if len(triangles) <= _FEW_TRIANGLES:
        return corners, normals, triangles
    # The robot's triangles share no vertex as they are, and only what is connected can be simplified
    _, first, places = np.unique(corners.round(_MERGE_DIGITS), axis=0, return_index=True, return_inverse=True)
    points, faces = simplify(corners[first], places.reshape(-1)[triangles].astype(np.int32))
    corners[: len(points)], normals[: len(points)] = points, _normals(points, faces)
    return corners, normals, faces.astype(np.uint32)


def _normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """:return: Of each point the mean of its triangles' normals, weighted by their areas."""
    a, b, c = np.moveaxis(points[faces], 1, 0)
    sums = np.zeros(points.shape, np.float32)
    for corner in faces.T:
        np.add.at(sums, corner, np.cross(b - a, c - a))
    lengths = np.linalg.norm(sums, axis=1)
    # Two triangles that lie upon each other have no normal together; any will do
    sums[lengths == 0.0], lengths[lengths == 0.0] = (0.0, 0.0, 1.0), 1.0
    sums /= lengths[:, np.newaxis]
    return sums
