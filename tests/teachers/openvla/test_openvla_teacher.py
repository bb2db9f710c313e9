"""The teacher as RPD sees it: defaults, choice of frames and instructions, bounds, batches, devices."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

from sb3_rpd import RPD, TeacherActionWrapper, TeacherError
from sb3_rpd.teachers import TeacherOutput, signed_gripper
from sb3_rpd.teachers.openvla import OpenVLATeacher

ACTION_SPACE = spaces.Box(-1, 1, (7,), np.float32)


@pytest.fixture
def teacher(tiny: Path) -> OpenVLATeacher:
    return OpenVLATeacher(tiny, instruction="lift the cube", device="cpu")


def test_defaults_are_the_papers() -> None:
    teacher = OpenVLATeacher()  # loads nothing: there is no network here

    assert teacher.checkpoint == "Juelg/openvla-7b-finetuned-maniskill"
    assert teacher.unnorm_key == "maniskill_human:7.0.0"
    assert not teacher.center_crop
    assert teacher.decode == "greedy"
    assert teacher.convert_actions is signed_gripper
    assert teacher.gives_distribution
    assert "_replicas" not in vars(teacher)


def test_answers_keep_to_the_box_and_touch_no_generator(teacher: OpenVLATeacher, frames: np.ndarray) -> None:
    inside = spaces.Box(-0.5, 0.55, (7,), np.float32)
    state = th.get_rng_state()
    free = teacher.predict({"frame": frames}).actions

    teacher.setup(inside)
    output = teacher.predict({"frame": frames})

    np.testing.assert_array_equal(output.actions, np.clip(free, inside.low, inside.high))
    outside = (free < inside.low) | (free > inside.high)
    assert outside.any()
    np.testing.assert_array_equal(output.clipped, outside.sum(axis=1))
    assert output.actions.dtype == np.float32
    assert output.std is not None
    assert output.std.shape == (6, 7)
    assert (output.std > 0).all()
    assert th.equal(th.get_rng_state(), state)


def test_pieces_and_devices_do_not_change_the_answer(tiny: Path, frames: np.ndarray, instructions: list[str]) -> None:
    whole = OpenVLATeacher(tiny, device="cpu").predict({"frame": frames}, instructions)

    for options in (
        dict(batch_size=1),
        dict(batch_size=4),
        dict(device=["cpu", "cpu"]),
        dict(device=["cpu"] * 4, batch_size=1),
    ):
        output = OpenVLATeacher(tiny, **{"device": "cpu", **options}).predict({"frame": frames}, instructions)
        np.testing.assert_array_equal(output.actions, whole.actions)
        np.testing.assert_allclose(output.std, whole.std, rtol=1e-3)


def test_fewer_rows_than_devices(tiny: Path, frames: np.ndarray) -> None:
    output = OpenVLATeacher(tiny, device=["cpu"] * 3, instruction="push").predict(frames[:2])

    assert output.actions.shape == (2, 7)


def test_the_environments_instruction_goes_before_the_teachers(teacher: OpenVLATeacher, frames: np.ndarray) -> None:
    own = teacher.predict({"frame": frames[:1]}).actions

    np.testing.assert_array_equal(teacher.predict({"frame": frames[:1]}, ["lift the cube"]).actions, own)
    assert not np.array_equal(teacher.predict({"frame": frames[:1]}, ["push the cube"]).actions, own)


def test_no_instruction_at_all(tiny: Path, frames: np.ndarray) -> None:
    with pytest.raises(TeacherError, match="not told what to do"):
        OpenVLATeacher(tiny, device="cpu").predict({"frame": frames})


def test_choice_of_the_camera(tiny: Path, teacher: OpenVLATeacher, frames: np.ndarray) -> None:
    state = np.zeros((6, 4))
    expected = teacher.predict({"frame": frames}).actions
    offered = {"wrist": frames[::-1], "frame": frames, "state": state}

    np.testing.assert_array_equal(teacher.predict(frames).actions, expected)
    np.testing.assert_array_equal(teacher.predict({"any": frames, "state": state}).actions, expected)
    np.testing.assert_array_equal(teacher.predict(offered).actions, expected)
    wrist = OpenVLATeacher(tiny, camera="wrist", instruction="lift the cube", device="cpu").predict(offered)
    np.testing.assert_array_equal(wrist.actions, expected[::-1])


@pytest.mark.parametrize(
    ("camera", "offered"),
    [
        (None, {"left": np.zeros((1, 8, 8, 3), np.uint8), "right": np.zeros((1, 8, 8, 3), np.uint8)}),
        ("wrist", {"left": np.zeros((1, 8, 8, 3), np.uint8)}),
        (None, {"left": np.zeros((1, 8, 8, 3), np.float32)}),
        (None, {"left": np.zeros((1, 3, 8, 8), np.uint8)}),
    ],
    ids=["two cameras", "another name", "floats", "channels first"],
)
def test_a_missing_camera_lists_what_there_is(tiny: Path, camera: str | None, offered: dict) -> None:
    with pytest.raises(TeacherError, match="'left'"):
        OpenVLATeacher(tiny, camera=camera, instruction="push", device="cpu").predict(offered)


@pytest.mark.parametrize("space", [spaces.Discrete(7), spaces.Box(-1, 1, (8,), np.float32)])
def test_another_action_space_is_refused(teacher: OpenVLATeacher, space: spaces.Space) -> None:
    with pytest.raises(TeacherError, match=r"gives 7 numbers.*pd_ee_delta_pose"):
        teacher.setup(space)


@pytest.mark.parametrize("wrong", [dict(decode="sample"), dict(batch_size=0)])
def test_senseless_options(wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        OpenVLATeacher(**wrong)


def test_gripper_is_converted_to_the_environments(tiny: Path, frames: np.ndarray) -> None:
    def answer(**kwargs: object) -> TeacherOutput:
        return OpenVLATeacher(tiny, instruction="push", device="cpu", **kwargs).predict(frames)

    plain, signed = answer(convert_actions=None), answer()
    np.testing.assert_array_equal(signed.actions[:, :6], plain.actions[:, :6])
    np.testing.assert_allclose(signed.actions[:, 6], 2 * plain.actions[:, 6].astype(np.float64) - 1, rtol=1e-6)
    np.testing.assert_allclose(signed.std, plain.std * [1, 1, 1, 1, 1, 1, 2], rtol=1e-6)
    # LIBERO: 1 closes
    inverted = answer(convert_actions=["signed_gripper", "inverted_gripper"])
    np.testing.assert_array_equal(inverted.actions, signed.actions * np.float32([1, 1, 1, 1, 1, 1, -1]))
    with pytest.raises(ValueError, match="no conversion 'maniskill'"):
        OpenVLATeacher(tiny, convert_actions="maniskill")


def test_a_function_converts_all_numbers_and_there_is_no_distribution(tiny: Path, frames: np.ndarray) -> None:
    teacher = OpenVLATeacher(tiny, instruction="push", device="cpu", convert_actions=lambda actions: actions[:, [6, 0]])
    assert not teacher.gives_distribution
    output = teacher.predict(frames)
    plain = OpenVLATeacher(tiny, instruction="push", device="cpu", convert_actions=None).predict(frames).actions
    np.testing.assert_array_equal(output.actions, plain[:, [6, 0]])
    assert output.std is None
    teacher.setup(spaces.Box(-1, 1, (2,)))
    with pytest.raises(TeacherError, match="gives 2 numbers"):
        teacher.setup(ACTION_SPACE)


def with_statistics(tiny: Path, folder: Path, low: list[float], high: list[float]) -> OpenVLATeacher:
    """The tiny checkpoint with statistics of its own."""
    shutil.copytree(tiny, folder)
    statistics = {"mine": {"action": {"q01": low, "q99": high, "mask": [True] * 7}}}
    (folder / "dataset_statistics.json").write_text(json.dumps(statistics))
    return OpenVLATeacher(folder, "mine", instruction="push", device="cpu")


@pytest.mark.parametrize(
    ("low", "high", "named"),
    [
        ([-25.0] * 6 + [0.0], [25.0] * 6 + [1.0], "number 0 goes from -25 to 25.*6 of 7"),
        ([-1.0] * 6 + [0.0], [1.0] * 6 + [1000.0], "number 6 goes from -1 to 1999.*1 of 7"),
        ([-1.0] * 7, [1.0] * 7, "number 6 goes from -3 to 1,"),
    ],
)
def test_statistics_in_other_units_are_refused_at_setup(
    tiny: Path, tmp_path: Path, low: list[float], high: list[float], named: str
) -> None:
    teacher = with_statistics(tiny, tmp_path / "checkpoint", low, high)
    with pytest.raises(TeacherError, match=rf"unnorm_key='mine' are in other units.*{named}.*convert_actions"):
        teacher.setup(ACTION_SPACE)
    assert "_replicas" not in vars(teacher)  # before anything large is loaded


def test_statistics_a_little_wider_than_the_box_are_clipped(tiny: Path, tmp_path: Path) -> None:
    teacher = with_statistics(tiny, tmp_path / "checkpoint", [-1.5] * 6 + [0.0], [1.5] * 6 + [1.0])
    teacher.setup(ACTION_SPACE)


def test_mean_decoding_is_softer_than_greedy(tiny: Path, teacher: OpenVLATeacher, frames: np.ndarray) -> None:
    greedy = teacher.predict(frames)
    mean = OpenVLATeacher(tiny, instruction="lift the cube", decode="mean", device="cpu").predict(frames)

    np.testing.assert_array_equal(mean.std, greedy.std)
    assert np.abs(mean.actions - greedy.actions).max() > 0.01
    assert (np.abs(mean.actions - greedy.actions) < 6 * greedy.std).all()


def test_close_lets_the_weights_go(teacher: OpenVLATeacher, frames: np.ndarray) -> None:
    before = teacher.predict(frames).actions
    teacher.close()
    teacher.close()

    assert "_replicas" not in vars(teacher)
    np.testing.assert_array_equal(teacher.predict(frames).actions, before)


def test_import_is_cheap_and_a_missing_extra_is_named(tiny: Path) -> None:
    program = f"""
import sys
sys.modules["transformers"] = None  # as if it were not installed
from sb3_rpd.teachers import OpenVLATeacher
teacher = OpenVLATeacher({str(tiny)!r}, device="cpu")
assert not {{"safetensors", "huggingface_hub", "tokenizers"}} & set(sys.modules)
try:
    teacher._load()
except ImportError as error:
    print(error)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)

    assert 'pip install "sb3_rpd[openvla]"' in finished.stdout


class FramesEnv(gym.Env):
    """A state is a number; the student sees the number, the teacher a frame and an instruction that come from it."""

    observation_space = spaces.Box(0, 1e6, (1,), np.float32)
    action_space = ACTION_SPACE

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        self.number = int(self.np_random.integers(10**6))
        return np.array([self.number], np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        self.number = int(self.np_random.integers(10**6))
        return np.array([self.number], np.float32), 0.0, self.steps == 5, False, {}

    @staticmethod
    def frame(number: int) -> np.ndarray:
        return np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)

    @staticmethod
    def instruction(number: int) -> str:
        return ("push", "lift the cube")[number % 2]


def test_labels_in_the_rollout_are_the_teachers_answers(tiny: Path) -> None:
    def wrap(env: gym.Env) -> gym.Env:
        return TeacherActionWrapper(
            env,
            observation={"frame": lambda env: FramesEnv.frame(env.unwrapped.number)},
            instruction=lambda env: FramesEnv.instruction(env.unwrapped.number),
        )

    env = make_vec_env(FramesEnv, n_envs=2, seed=0, wrapper_class=wrap)
    teacher = OpenVLATeacher(tiny, device="cpu")
    student = RPD(
        "MlpPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=0, device="cpu", teacher=teacher, imitation_loss="kl"
    )
    student.learn(16)

    # training has put the observations of one environment behind those of the other
    numbers = student.rollout_buffer.observations.reshape(2, 8).T.astype(int)
    direct = OpenVLATeacher(tiny, device="cpu")
    direct.setup(ACTION_SPACE)
    for step, env_index in np.ndindex(8, 2):
        number = int(numbers[step, env_index])
        answer = direct.predict({"frame": FramesEnv.frame(number)[None]}, [FramesEnv.instruction(number)])
        np.testing.assert_array_equal(student.rollout_buffer.teacher_actions[step, env_index], answer.actions[0])
    assert np.isfinite(student.logger.name_to_value["train/imitation_loss"])
