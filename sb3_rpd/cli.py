"""The command line: ``sb3-rpd serve`` and ``sb3-rpd check``."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers.remote.extension import DEFAULT_FRAME_LIMIT

_API_KEY_VARIABLE = "SB3_RPD_API_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: The command line without the program's name; None takes that of the process.
    :return: The exit status.
    """
    parser = argparse.ArgumentParser(prog="sb3-rpd", description="Refined Policy Distillation for Stable-Baselines3.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_check(commands)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parser, parsed))
    except (TeacherError, ImportError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "serve",
        help="let other processes ask a teacher, over openpi's websocket protocol",
        description="Serve a teacher over openpi's websocket protocol, until a SIGINT or SIGTERM.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("teacher", help=_FACTORY_HELP)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; any but a loopback one needs an API key")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at; 0 for a free one")
    parser.add_argument("--api-key", help=_API_KEY_HELP)
    parser.add_argument("--max-batch", type=int, default=256, help="most observations in one request")
    parser.add_argument("--max-frame-mib", type=float, default=DEFAULT_FRAME_LIMIT / 2**20, help="largest request, in MiB")
    parser.set_defaults(run=_serve)


_FACTORY_HELP = '"package.module:factory", called without arguments; found from the current folder too'
_API_KEY_HELP = f"what clients have to send; better set {_API_KEY_VARIABLE}, for other users of a machine see command lines"


def _serve(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from sb3_rpd.teachers.remote.addresses import is_loopback
    from sb3_rpd.teachers.remote.server import TeacherServer
    from sb3_rpd.teachers.resolve import make_teacher

    api_key = arguments.api_key or os.environ.get(_API_KEY_VARIABLE)
    if not is_loopback(arguments.host) and not api_key:
        parser.error(f"--host {arguments.host} is open to other machines: set {_API_KEY_VARIABLE}, or leave --host out")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # every connection, at this level
    logging.getLogger("websockets").setLevel(logging.WARNING)
    sys.path.insert(0, os.getcwd())
    teacher = make_teacher(arguments.teacher)
    try:
        server = TeacherServer(
            teacher,
            host=arguments.host,
            port=arguments.port,
            api_key=api_key,
            max_batch=arguments.max_batch,
            max_frame_bytes=int(arguments.max_frame_mib * 2**20),
        )
        with server:
            stop = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
            print(f"Serving {arguments.teacher} at {server.url}", flush=True)
            stop.wait()
        print(f"Answered {server.answered_observations} observations in {server.answered_requests} requests", flush=True)
    finally:
        teacher.close()
    return 0


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "check",
        help="ask a teacher once and show what an environment offers it",
        description="Reset an environment, show what it offers a teacher, ask the teacher and check its answer.",
    )
    parser.add_argument("teacher", help=_FACTORY_HELP)
    parser.add_argument("--env", required=True, help="what makes the environment, or a VecEnv; likewise")
    parser.set_defaults(run=_check)


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from sb3_rpd.common.factories import find_factory
    from sb3_rpd.evaluation import check_teacher
    from sb3_rpd.teachers.resolve import make_teacher

    sys.path.insert(0, os.getcwd())
    env = find_factory(arguments.env, "environment")()
    try:
        teacher = make_teacher(arguments.teacher)
        try:
            report = check_teacher(teacher, env)
        finally:
            teacher.close()
    finally:
        env.close()
    print(report)
    return 0 if report.complaint is None else 1


if __name__ == "__main__":
    sys.exit(main())
