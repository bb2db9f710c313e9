"""The choice of a renderer, and what the images show (sb3_rpd/envs/maniskill2/rendering.py)."""

import inspect
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_checker import check_env

from sb3_rpd.envs import CameraView, RenderingUnavailableError, make_maniskill2_env
from sb3_rpd.envs.maniskill2 import rendering
from sb3_rpd.envs.maniskill2.installation import import_maniskill2
from sb3_rpd.envs.maniskill2.rendering import choose_renderer
from sb3_rpd.envs.maniskill2.tasks import ASSET_FREE_TASKS, TASKS_READING_VISUALS
from sb3_rpd.envs.vulkan import VulkanDevice

GPU = VulkanDevice("NVIDIA H200", is_gpu=True, version=(1, 3))
NEW_MESA = VulkanDevice("llvmpipe (LLVM 15.0.6, 256 bits)", is_gpu=False, version=(1, 4))
OLD_MESA = VulkanDevice("llvmpipe (LLVM 15.0.6, 256 bits)", is_gpu=False, version=(1, 3))

pytestmark = pytest.mark.usefixtures("no_variable_chooses_drivers")


@pytest.mark.parametrize(
    ("renderer", "visuals", "devices", "chosen"),
    [
        ("auto", False, (GPU, NEW_MESA), "none"),
        ("auto", False, (), "none"),
        ("none", False, (GPU,), "none"),
        ("auto", True, (NEW_MESA, GPU), "gpu"),
        ("auto", True, (OLD_MESA, GPU), "gpu"),
        ("auto", True, (NEW_MESA,), "software"),
        ("software", True, (NEW_MESA, GPU), "software"),
        ("software", False, (NEW_MESA,), "software"),
        ("gpu", False, (GPU,), "gpu"),
    ],
)
def test_choice(
    monkeypatch: pytest.MonkeyPatch, renderer: str, visuals: bool, devices: tuple[VulkanDevice, ...], chosen: str
) -> None:
    monkeypatch.setattr(rendering, "vulkan_devices", lambda: devices)
    assert choose_renderer(renderer, visuals) == chosen


@pytest.mark.parametrize(
    ("renderer", "devices", "message"),
    [
        ("auto", (), r"Vulkan lists no device.*bookworm-backports mesa-vulkan-drivers.*25\.0\.7.*NVIDIA_DRIVER_CAPABILITIES"),
        ("auto", (OLD_MESA,), r"llvmpipe.*\(Vulkan 1\.3\).*mesa-vulkan-drivers"),
        ("software", (GPU,), "mesa-vulkan-drivers"),
        ("gpu", (NEW_MESA,), "Vulkan driver"),
        ("none", (GPU,), 'take "auto"'),
    ],
)
def test_impossible_choice(
    monkeypatch: pytest.MonkeyPatch, renderer: str, devices: tuple[VulkanDevice, ...], message: str
) -> None:
    monkeypatch.setattr(rendering, "vulkan_devices", lambda: devices)
    with pytest.raises(RenderingUnavailableError, match=message):
        make_maniskill2_env("PickCube-v0", "rgb", renderer=renderer)


@pytest.mark.parametrize("task", sorted(TASKS_READING_VISUALS))
def test_tasks_that_read_visuals_say_that_they_need_a_renderer(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setattr(rendering, "vulkan_devices", lambda: ())
    with pytest.raises(RenderingUnavailableError, match=f"{task} .*needs one even where no image.*mesa-vulkan-drivers"):
        make_maniskill2_env(task, "state")
    with pytest.raises(RenderingUnavailableError, match=f'{task} .*take "auto"'):
        make_maniskill2_env(task, "state", renderer="none")


@pytest.mark.maniskill2
def test_no_other_task_reads_visuals() -> None:
    """By the source of each task's classes: which of them use what exists in a renderer only."""
    tasks = import_maniskill2().REGISTERED_ENVS
    readers = {
        name
        for name, spec in tasks.items()
        if any(
            re.search(r"get_visual_bodies|get_actor_visual_mesh|add_particle_entity|create_mesh", inspect.getsource(cls))
            for cls in spec.cls.__mro__
            if cls.__module__.startswith("mani_skill2.envs")
        )
    }
    assert readers == TASKS_READING_VISUALS


def test_a_variable_that_leaves_a_driver_out_is_named_beside_the_other_cures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = tmp_path / "intel_icd.json"
    manifest.touch()
    monkeypatch.setenv("VK_ICD_FILENAMES", str(manifest))
    monkeypatch.setattr(rendering, "vulkan_devices", lambda: (OLD_MESA,))
    with pytest.raises(RenderingUnavailableError, match=r"VK_ICD_FILENAMES='.*intel_icd\.json'.*mesa-vulkan-drivers"):
        choose_renderer("auto", visuals=True)


def test_unknown_renderer() -> None:
    with pytest.raises(ValueError, match='renderer must be one of auto, none, software, gpu; got "cuda"'):
        choose_renderer("cuda", visuals=True)


def test_a_process_renders_one_way_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_prepared", "gpu")
    with pytest.raises(RuntimeError, match='renders with renderer="gpu" already'):
        rendering.prepare_renderer("software")


def test_software_rendering_beside_a_gpu_shows_vulkan_the_software_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("lvp_icd.x86_64.json", "nvidia_icd.json"):
        (tmp_path / name).touch()
    monkeypatch.setattr(rendering, "_prepared", None)
    monkeypatch.setattr(rendering, "_lower_demands", lambda: None)
    monkeypatch.setattr(rendering, "MANIFEST_FOLDERS", [str(tmp_path)])
    for variable in ("VK_ICD_FILENAMES", "VK_DRIVER_FILES"):
        monkeypatch.setenv(variable, "everything")

    monkeypatch.setattr(rendering, "vulkan_devices", lambda: (NEW_MESA,))
    rendering.prepare_renderer("software")
    assert os.environ["VK_ICD_FILENAMES"] == "everything"

    monkeypatch.setattr(rendering, "_prepared", None)
    monkeypatch.setattr(rendering, "vulkan_devices", lambda: (GPU, NEW_MESA))
    rendering.prepare_renderer("software")
    assert os.environ["VK_ICD_FILENAMES"] == os.environ["VK_DRIVER_FILES"] == str(tmp_path / "lvp_icd.x86_64.json")


@pytest.mark.maniskill2
@pytest.mark.rendering
@pytest.mark.parametrize("camera", ["human", "base_camera", "hand_camera"])
def test_image_spaces(camera: str) -> None:
    env = make_maniskill2_env("PickCube-v0", "rgb+state", camera=camera, image_size=(36, 40))
    check_env(env)
    # beside images: joint positions and velocities, base pose, tcp pose, goal; not the cube's pose
    state = spaces.Box(-np.inf, np.inf, (9 + 9 + 7 + 7 + 3,), np.float32)
    assert env.observation_space == spaces.Dict({"rgb": spaces.Box(0, 255, (36, 40, 3), np.uint8), "state": state})
    observation, _ = env.reset(seed=4)
    assert observation["rgb"].std() > 10  # something is to be seen
    full_state, _ = make_maniskill2_env("PickCube-v0").reset(seed=4)
    np.testing.assert_array_equal(observation["state"], full_state[:35])
    env.close()


def green(image: np.ndarray) -> np.ndarray:
    """Where an image shows the goal marker: rows and columns of the pixels whose green stands out."""
    red_blue = image[..., [0, 2]].max(axis=-1).astype(int)
    return np.argwhere((image[..., 1] > 80) & (image[..., 1] > 2 * red_blue))


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_goal_marker_is_in_the_human_view_only() -> None:
    """A camera 0.4 m from the marker, looking at it: a sphere of 25 mm, in the middle, of the size that optics wants."""
    goal = make_goal(seed=0)  # an episode in which the robot is not in the way
    size, fov, distance = 64, 0.6, 0.4
    view = CameraView("human", position=(goal[0] + distance, goal[1], goal[2]), target=tuple(goal), fov=fov)
    env = make_maniskill2_env("PickCube-v0", "rgb", camera=view, image_size=size)
    pixels = green(env.reset(seed=0)[0])
    radius = 0.025 / distance / np.tan(fov / 2) * size / 2  # in pixels
    assert len(pixels) == pytest.approx(np.pi * radius**2, rel=0.1)
    np.testing.assert_allclose(pixels.mean(axis=0), [(size - 1) / 2] * 2, atol=0.5)
    env.close()

    same_view = CameraView("base_camera", view.position, view.target, fov)
    env = make_maniskill2_env("PickCube-v0", "rgb", camera=same_view, image_size=size)
    assert len(green(env.reset(seed=0)[0])) == 0
    env.close()


def make_goal(seed: int) -> np.ndarray:
    env = make_maniskill2_env("PickCube-v0")
    env.reset(seed=seed)
    goal: np.ndarray = env.unwrapped.goal_pos
    return goal


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_frames_follow_the_state() -> None:
    env = make_maniskill2_env("LiftCube-v0", render_mode="rgb_array", image_size=48)
    assert env.observation_space.shape == (42,)
    env.reset(seed=0)
    first = env.render()
    assert env.render() is first
    env.step(np.array([0, 0, -1, 0, 0, 0, 1], np.float32))
    second = env.render()
    assert (first != second).any()
    np.testing.assert_array_equal(first, make_first_frame(seed=0))
    env.close()


def make_first_frame(seed: int) -> np.ndarray:
    env = make_maniskill2_env("LiftCube-v0", "rgb", image_size=48)
    frame: np.ndarray = env.reset(seed=seed)[0]
    env.close()
    return frame


@pytest.mark.maniskill2
@pytest.mark.rendering
@pytest.mark.parametrize("options", [{}, {"robot": "panda"}], ids=["untextured", "textured"])
@pytest.mark.parametrize("camera", ["human", "hand_camera"])
def test_pictures_are_those_of_sapiens_trivial_shaders(camera: str, options: dict[str, Any]) -> None:
    """
    Both sets of shaders; ManiSkill2 has this robot anyway, but somebody who names one may bring textures. sapien wants all
    shaders of a process to take the same attributes, which these three do.
    """
    common: dict[str, Any] = {"camera": camera, "image_size": (90, 120), "renderer": "software"}
    ours = make_maniskill2_env("PickCube-v0", "rgb", **common, **options)
    sapiens = make_maniskill2_env("PickCube-v0", "rgb", **common, shader_dir="trivial")
    pictures = [env.reset(seed=1)[0] for env in (ours, sapiens)]
    np.testing.assert_array_equal(*pictures)
    actions = np.random.default_rng(0).uniform(-1, 1, (6, 7)).astype(np.float32)
    for action in actions:
        pictures = [env.step(action)[0] for env in (ours, sapiens)]
        np.testing.assert_array_equal(*pictures)
    assert len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 3
    ours.close()
    sapiens.close()


@pytest.mark.maniskill2
@pytest.mark.rendering
@pytest.mark.parametrize("task", ASSET_FREE_TASKS)
def test_tasks_that_need_no_assets_have_no_textures(task: str) -> None:
    env = make_maniskill2_env(task, render_mode="rgb_array", image_size=16, renderer="software")
    env.reset(seed=0)
    scene = env.unwrapped._scene
    links = [link for articulation in scene.get_all_articulations() for link in articulation.get_links()]
    bodies = [body for part in [*scene.get_all_actors(), *links] for body in part.get_visual_bodies()]
    materials = [shape.material for body in bodies for shape in body.get_render_shapes()]
    assert len(materials) > 50
    assert {material.diffuse_texture for material in materials} == {None}
    env.close()
