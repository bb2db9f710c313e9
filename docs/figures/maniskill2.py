"""
Renders what ManiSkill2's cameras see: a strip of the five tasks, one of a task's cameras, one of an episode of a controller.

    python docs/figures/maniskill2.py    # writes docs/images/{tasks,cameras,episode}.jpg; needs a renderer
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sb3_rpd.envs import ASSET_FREE_TASKS, CameraView, make_maniskill2_env, privileged_state
from sb3_rpd.teachers import ScriptedTeacher

IMAGES = Path(__file__).parents[1] / "images"
SIZE = 224
SEED = 3

#: The views of LiftCube. The moved one is about 16 cm and 13 degrees away from where ManiSkill2 has the human camera.
VIEWS = {
    "human": CameraView("human"),
    "human, moved": CameraView("human", position=(0.62, 0.44, 0.6), target=(0.0, 0.05, 0.3)),
    "base_camera": CameraView("base_camera"),
    "hand_camera": CameraView("hand_camera"),
}


def save_strip(name: str, frames: dict[str, np.ndarray]) -> None:
    """Put frames beside each other, each with its title in a corner."""
    titled = []
    for title, frame in frames.items():
        image = Image.fromarray(frame)
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, 8 + draw.textlength(title), 15), fill="white")
        draw.text((4, 2), title, fill="black")
        titled.append(np.asarray(image))
    path = IMAGES / f"{name}.jpg"
    Image.fromarray(np.concatenate(titled, axis=1)).save(path, quality=88)
    print(path)


def first_frame(task: str, **kwargs: Any) -> np.ndarray:
    env = make_maniskill2_env(task, "rgb", image_size=SIZE, **kwargs)
    frame, _ = env.reset(seed=SEED)
    env.close()
    return np.asarray(frame)


def episode(task: str, n_frames: int = 5) -> dict[str, np.ndarray]:
    """Frames of the scripted teacher at work, the first and the last included."""
    env = make_maniskill2_env(task, "rgb", image_size=SIZE)
    teacher = ScriptedTeacher(task)
    frame, _ = env.reset(seed=SEED)
    frames, ended = [frame], False
    while not ended:
        (action,) = teacher.predict({"privileged": privileged_state(env)[np.newaxis]})
        frame, _, terminated, truncated, _ = env.step(action)
        frames.append(frame)
        ended = terminated or truncated
    env.close()
    shown = np.linspace(0, len(frames) - 1, n_frames).round().astype(int)
    return {f"step {i}": frames[i] for i in shown}


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    save_strip("tasks", {task: first_frame(task) for task in ASSET_FREE_TASKS})
    save_strip("cameras", {title: first_frame("LiftCube-v0", camera=view) for title, view in VIEWS.items()})
    save_strip("episode", episode("PickCube-v0"))


if __name__ == "__main__":
    main()
