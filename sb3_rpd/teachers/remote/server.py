"""Serves any teacher over openpi's websocket protocol, with batches for clients that know of them."""

import hmac
import http
import logging
import threading
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.questions import SINGLE_ARRAY, Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput, ask_teacher
from sb3_rpd.common.wording import cut
from sb3_rpd.teachers.remote.addresses import family_of, in_url, is_loopback, without_brackets
from sb3_rpd.teachers.remote.arrays import MalformedMessageError
from sb3_rpd.teachers.remote.extension import (
    ACTION_SPACE,
    BATCH,
    DEFAULT_FRAME_LIMIT,
    OFFER,
    PROMPT,
    VERSION,
    read_space,
)
from sb3_rpd.teachers.remote.messages import pack_openpi, unpack_openpi

logger = logging.getLogger(__name__)

# Websocket close codes (RFC 6455, 7.4.1)
_INVALID_DATA = 1007
_INTERNAL_ERROR = 1011


class TeacherServer:
    """
    A websocket server in front of a teacher.

    Everything that speaks openpi's protocol can ask it: one observation in a request, a chunk of one action in the answer.
    Our own client asks for batches, and names the action space for ``Teacher.setup``. The teacher is asked by one
    connection at a time. A request that is an array alone has the name "observation", and the teacher gets it as the array.

    A malformed request closes its connection, and so does an error of the teacher, after a text with its cause; the server
    goes on. ``GET /healthz`` answers OK.

    :param teacher: Whom to serve.
    :param host: The address to listen at.
    :param port: The port to listen at; 0 lets the operating system choose one, see ``url``.
    :param api_key: What clients have to send; None lets everyone in who reaches the server.
    :param max_batch: The most observations that a client may put into one request.
    :param max_frame_bytes: The largest request.
    :raises ValueError: if the address is not a loopback one and there is no API key.
    """

    def __init__(
        self,
        teacher: Teacher,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        api_key: str | None = None,
        max_batch: int = 256,
        max_frame_bytes: int = DEFAULT_FRAME_LIMIT,
    ) -> None:
        if not is_loopback(host) and not api_key:
            raise ValueError(
                f"At {host} others than this machine can ask the teacher: give an API key, or listen at 127.0.0.1."
            )
        self.teacher = teacher
        self.api_key = api_key
        self.max_batch = max_batch
        self.max_frame_bytes = max_frame_bytes
        #: How many requests have been answered, and how many observations there were in them.
        self.answered_requests = 0
        self.answered_observations = 0
        self._action_space: spaces.Space | None = None
        self._teacher_lock = threading.Lock()
        self._connections: set[Any] = set()
        server = import_optional("websockets.sync.server", extra="remote")
        self._server = server.serve(
            self._serve_connection,
            without_brackets(host),
            port,
            family=family_of(host),
            process_request=self._check_request,
            compression=None,
            max_size=max_frame_bytes,
            # a simulator between two questions does not answer pings
            ping_interval=None,
            close_timeout=1.0,
        )
        self.url = f"ws://{in_url(host)}:{self._server.socket.getsockname()[1]}"

    def serve_forever(self) -> None:
        """Answer until ``close`` is called from another thread."""
        self._server.serve_forever()

    def close(self) -> None:
        """Close all connections and wait for the answers under way. For another thread than that of ``serve_forever``."""
        for connection in list(self._connections):
            connection.close()
        self._server.shutdown()

    def __enter__(self) -> "TeacherServer":
        self._thread = threading.Thread(target=self.serve_forever, name="rpd-server")
        self._thread.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        self._thread.join()

    def answer(self, frame: bytes | str) -> bytes:
        """
        Answer one request.

        :param frame: What came in.
        :return: What goes out.
        :raises MalformedMessageError: if the request is none.
        :raises Exception: whatever the teacher raises.
        """
        if isinstance(frame, str):
            raise MalformedMessageError("a request is a text, not msgpack")
        request = unpack_openpi(frame)
        if ACTION_SPACE in request:
            self._set_up(read_space(request[ACTION_SPACE]))
            return pack_openpi({})
        n_rows = request.pop(BATCH, None)
        prompt = request.pop(PROMPT, None)
        started = time.perf_counter()
        if n_rows is None:
            output = self._predict(_one_row(request), None if prompt is None else [prompt], 1)
        else:
            output = self._predict(_rows(request, n_rows, self.max_batch), prompt, n_rows)
        milliseconds = 1000.0 * (time.perf_counter() - started)
        answer: dict[str, Any] = {"actions": np.asarray(output.actions), "server_timing": {"infer_ms": milliseconds}}
        answer |= {
            name: np.asarray(array) for name in ("std", "logits", "clipped") if (array := getattr(output, name)) is not None
        }
        return pack_openpi(answer)

    @property
    def metadata(self) -> dict[str, Any]:
        """What every client is told when it connects."""
        offer = {
            "version": VERSION,
            "max_batch": self.max_batch,
            "max_frame_bytes": self.max_frame_bytes,
            "gives_distribution": self.teacher.gives_distribution,
        }
        return {OFFER: offer}

    def _set_up(self, action_space: spaces.Space) -> None:
        with self._teacher_lock:
            if self._action_space is None:
                self.teacher.setup(action_space)
                self._action_space = action_space
            elif action_space != self._action_space:
                raise TeacherError(
                    f"This server's teacher acts in {cut(self._action_space)} already, as an earlier client asked; start "
                    f"another server for {cut(action_space)}."
                )

    def _predict(self, observations: dict[str, np.ndarray], instructions: Any, n_rows: int) -> TeacherOutput:
        if instructions is not None and not (
            isinstance(instructions, list)
            and len(instructions) == n_rows
            and all(isinstance(text, str) for text in instructions)
        ):
            raise MalformedMessageError(f"the prompt is not {n_rows} texts")
        whole = observations[SINGLE_ARRAY] if [*observations] == [SINGLE_ARRAY] else observations
        with self._teacher_lock:
            output = ask_teacher(self.teacher, Questions(whole, instructions))
            if len(output.actions) != n_rows:
                raise TeacherError(f"The teacher gave {len(output.actions)} actions for {n_rows} observations.")
            self.answered_requests += 1
            self.answered_observations += n_rows
        return output

    def _check_request(self, connection: Any, request: Any) -> Any:
        """Answer what is no websocket, and turn away who has no key."""
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if self.api_key:
            sent = request.headers.get_all("Authorization")
            if len(sent) != 1 or not hmac.compare_digest(sent[0].encode(), f"Api-Key {self.api_key}".encode()):
                logger.warning("%s: turned away, wrong or no API key", _client(connection))
                return connection.respond(http.HTTPStatus.UNAUTHORIZED, "The API key is missing or wrong.\n")
        return None

    def _serve_connection(self, connection: Any) -> None:
        exceptions = import_optional("websockets.exceptions", extra="remote")
        client = _client(connection)
        self._connections.add(connection)
        try:
            connection.send(pack_openpi(self.metadata))
            while True:
                connection.send(self.answer(connection.recv()))
        except exceptions.ConnectionClosedError as error:
            logger.info("%s: connection lost: %s", client, error)
        except exceptions.ConnectionClosed:
            pass
        except MalformedMessageError as error:
            logger.warning("%s: malformed request, connection closed: %s", client, error)
            self._fail(connection, client, _INVALID_DATA, f"Malformed request: {error}")
        except Exception:
            logger.exception("%s: no answer, connection closed", client)
            self._fail(connection, client, _INTERNAL_ERROR, traceback.format_exc())
        finally:
            self._connections.discard(connection)

    def _fail(self, connection: Any, client: str, code: int, text: str) -> None:
        """Tell a client in openpi's way what went wrong: a text frame, then the end of the connection."""
        exceptions = import_optional("websockets.exceptions", extra="remote")
        try:
            connection.send(text)
            connection.close(code)
        except (exceptions.ConnectionClosed, OSError):
            logger.info("%s: gone before it could be told", client)


def _client(connection: Any) -> str:
    """Who is at the other end, for the log. A connection that is lost cannot tell any more."""
    try:
        host, port = connection.remote_address[:2]
    except OSError:
        return "a client that is gone"
    return f"{in_url(host)}:{port}"


def _one_row(request: Mapping[str, Any]) -> dict[str, np.ndarray]:
    observations = {}
    for name, value in request.items():
        if not isinstance(value, (np.ndarray, np.generic, bool, int, float)):
            raise MalformedMessageError(f"the observation {name[:40]!r} is a {type(value).__name__}, not an array")
        observations[name] = np.asarray(value)[np.newaxis]
    return _not_empty(observations)


def _rows(request: Mapping[str, Any], n_rows: Any, max_batch: int) -> dict[str, np.ndarray]:
    if type(n_rows) is not int or not 1 <= n_rows <= max_batch:
        raise MalformedMessageError(f"a batch does not hold 1 to {max_batch} observations")
    for name, value in request.items():
        if not isinstance(value, np.ndarray) or value.ndim == 0 or len(value) != n_rows:
            raise MalformedMessageError(f"the observation {name[:40]!r} is not an array of {n_rows} rows")
    return _not_empty(dict(request))


def _not_empty(observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not observations:
        raise MalformedMessageError("a request holds no observation")
    return observations
