"""
The same as openvla_maniskill2.py, with OpenVLA in another process: `sb3-rpd serve` serves it, RPD asks it over a socket.

In the same way it runs in another environment, on another GPU or on another machine. As printed, the teacher is a tiny
checkpoint with random weights, made on the spot; with the real one:

    python examples/remote_teacher.py
    python examples/remote_teacher.py --checkpoint Juelg/openvla-7b-finetuned-maniskill --image-size 256 \\
        --n-envs 16 --timesteps 200000

This program starts the server itself. By hand it would be, in this folder:

    OPENVLA_CHECKPOINT=Juelg/openvla-7b-finetuned-maniskill sb3-rpd serve remote_teacher:make_teacher --port 8000

Needs `pip install "sb3_rpd[maniskill2,openvla,remote]"`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch as th
from openvla_maniskill2 import compare_labels, read_arguments, train_student

from sb3_rpd.teachers import OpenPITeacher, OpenVLATeacher


def make_teacher() -> OpenVLATeacher:
    """What the server's process calls. A factory takes no arguments, so what it has to know is in the environment."""
    return OpenVLATeacher(os.environ["OPENVLA_CHECKPOINT"], os.environ.get("OPENVLA_UNNORM_KEY", "maniskill_human:7.0.0"))


@contextmanager
def served_teacher(checkpoint: str, unnorm_key: str) -> Iterator[str]:
    """Run `sb3-rpd serve` at a free port, yield its address, and end it."""
    command = [sys.executable, "-m", "sb3_rpd", "serve", "remote_teacher:make_teacher", "--port", "0"]
    settings = {
        "OPENVLA_CHECKPOINT": checkpoint,
        "OPENVLA_UNNORM_KEY": unnorm_key,
        "PYTHONPATH": os.pathsep.join(sys.path),  # it finds the modules that this program finds
    }
    with subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline().strip()  # "Serving remote_teacher:make_teacher at ws://127.0.0.1:43210"
            if not line:
                sys.exit("The server did not start.")
            print(line)
            yield line.split(" at ")[1]
        finally:
            server.terminate()
            print(server.stdout.read().strip())  # "Answered 256 observations in 2 requests"


def main() -> None:
    args = read_arguments(__doc__, output="runs/remote")
    th.set_num_threads(1)  # for networks of this size more threads are slower

    with served_teacher(args.checkpoint, args.unnorm_key) as url:
        # the first answer has to wait until the server has loaded its teacher: minutes for the real one
        teacher = OpenPITeacher(url, timeout=1800.0)
        student = train_student(teacher, args)
        teacher.close()
    # the server's copy of the network is gone before there is one here
    compare_labels(student, OpenVLATeacher(args.checkpoint, args.unnorm_key))
    student.env.close()


if __name__ == "__main__":
    main()
