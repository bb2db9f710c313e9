"""``sb3-rpd serve``: lets other processes ask a teacher."""

import argparse
import logging
import os
import signal
import threading

from sb3_rpd.cli.options import FACTORY_HELP, Commands, HelpFormatter, example, search_current_folder
from sb3_rpd.teachers.remote.addresses import is_loopback
from sb3_rpd.teachers.remote.extension import DEFAULT_FRAME_LIMIT
from sb3_rpd.teachers.resolve import make_teacher

_API_KEY_VARIABLE = "SB3_RPD_API_KEY"
_API_KEY_HELP = f"what clients have to send; better set {_API_KEY_VARIABLE}, for other users of a machine see command lines"


def add(commands: Commands) -> None:
    """:param commands: Where the command is declared."""
    parser = commands.add_parser(
        "serve",
        help="let other processes ask a teacher, over openpi's websocket protocol",
        description="Serve a teacher over openpi's websocket protocol, until a SIGINT or SIGTERM.",
        epilog=example("sb3-rpd serve my_module:make_teacher --port 8000"),
        formatter_class=HelpFormatter,
    )
    parser.add_argument("teacher", help=FACTORY_HELP)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; any but a loopback one needs an API key")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at; 0 for a free one")
    parser.add_argument("--api-key", help=_API_KEY_HELP)
    parser.add_argument("--max-batch", type=int, default=256, help="most observations in one request")
    parser.add_argument("--max-frame-mib", type=float, default=DEFAULT_FRAME_LIMIT / 2**20, help="largest request, in MiB")
    parser.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """
    :param parser: For complaints about the command line.
    :param arguments: The command line.
    :return: The exit status.
    """
    # Needs the extra `remote`
    from sb3_rpd.teachers.remote.server import TeacherServer

    api_key = arguments.api_key or os.environ.get(_API_KEY_VARIABLE)
    if not is_loopback(arguments.host) and not api_key:
        parser.error(f"--host {arguments.host} is open to other machines: set {_API_KEY_VARIABLE}, or leave --host out")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # every connection, at this level
    logging.getLogger("websockets").setLevel(logging.WARNING)
    search_current_folder()
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
