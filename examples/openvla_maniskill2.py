"""
RPD with OpenVLA as the teacher: a convolutional student and its teacher look through the same camera in ManiSkill2.

As printed, the teacher is a tiny checkpoint with random weights, made on the spot: everything runs as with the real one, on
a CPU and in a minute, but its advice is worthless. The second line has the small VLA of this repository, which a CPU can
run and which lifts the cube; the third the real one, 15 GB of weights that want a GPU:

    python examples/openvla_maniskill2.py
    python examples/openvla_maniskill2.py --checkpoint experiments/vla/checkpoints/good --unnorm-key sb3_rpd_cube:1.0.0 \\
        --image-size 224 --n-envs 8 --timesteps 100000
    python examples/openvla_maniskill2.py --checkpoint Juelg/openvla-7b-finetuned-maniskill --image-size 256 \\
        --n-envs 16 --timesteps 200000

In the end, every label of the last rollout is compared with what the teacher says when it is asked directly.

Needs `pip install "sb3_rpd[maniskill2,openvla]"`.
"""

import argparse
import pathlib
from typing import Any

import numpy as np
import torch as th

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.envs import human_frame, make_maniskill2_vec_env, task_instruction
from sb3_rpd.teachers import OpenVLATeacher, Teacher
from sb3_rpd.teachers.openvla import make_tiny_openvla


def show_teacher(env: Any) -> TeacherActionWrapper:
    """The teacher gets the camera's frame and the task's instruction."""
    return TeacherActionWrapper(env, observation={"frame": human_frame}, instruction=task_instruction)


def train_student(teacher: Teacher, args: argparse.Namespace) -> RPD:
    env = make_maniskill2_vec_env(args.task, args.n_envs, "rgb", seed=0, image_size=args.image_size, wrap=show_teacher)
    student = RPD("CnnPolicy", env, n_steps=32, batch_size=64, n_epochs=2, gamma=0.8, seed=0, teacher=teacher)
    student.learn(args.timesteps)
    student.save(args.output / "student.zip")
    return student


def compare_labels(student: RPD, teacher: OpenVLATeacher) -> None:
    """Ask the teacher once more about each frame of the last rollout; count the labels that it confirms to the last bit."""
    (instruction,) = set(student.env.get_attr("instruction"))
    buffer = student.rollout_buffer
    # after training, all entries of one environment come before those of the next; images are channels first
    frames = buffer.observations.astype(np.uint8).transpose(0, 2, 3, 1)
    labels = buffer.teacher_actions.swapaxes(0, 1).reshape(len(frames), -1)
    teacher.setup(student.action_space)
    answers = teacher.predict({"frame": frames}, [instruction] * len(frames)).actions
    equal = (labels == answers).all(axis=1).sum()
    print(f'{len(labels)} labels for "{instruction}", {equal} of them equal a direct answer of {teacher.checkpoint}')


def read_arguments(description: str, output: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="folder or hub id; without it, a tiny one is made")
    parser.add_argument("--unnorm-key", default="maniskill_human:7.0.0")
    parser.add_argument("--task", default="LiftCube-v0")
    parser.add_argument("--timesteps", type=int, default=256, help="environment steps to train for")
    parser.add_argument("--n-envs", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=128, help="side of the frames (the paper's: 256)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(output))
    args = parser.parse_args()
    args.checkpoint = args.checkpoint or str(make_tiny_openvla(args.output / "tiny"))
    return args


def main() -> None:
    args = read_arguments(__doc__, output="runs/openvla")
    th.set_num_threads(1)  # for networks of this size more threads are slower

    teacher = OpenVLATeacher(args.checkpoint, args.unnorm_key)
    student = train_student(teacher, args)
    compare_labels(student, teacher)
    student.env.close()


if __name__ == "__main__":
    main()
