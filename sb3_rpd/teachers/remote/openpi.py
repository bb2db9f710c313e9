"""A teacher behind openpi's websocket protocol: pi0, pi0.5, or any teacher that ``sb3-rpd serve`` serves."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.common.wording import ending, shortened
from sb3_rpd.teachers.images import are_images
from sb3_rpd.teachers.remote.addresses import proxy_of, without_password
from sb3_rpd.teachers.remote.arrays import MalformedMessageError
from sb3_rpd.teachers.remote.extension import (
    ACTION_SPACE,
    BATCH,
    DEFAULT_FRAME_LIMIT,
    FRAME_OVERHEAD,
    OFFER,
    PROMPT,
    VERSION,
    describe_space,
)
from sb3_rpd.teachers.remote.links import Limits, Link, LinkError, NoAnswerInTimeError
from sb3_rpd.teachers.remote.messages import pack_openpi, unpack_openpi
from sb3_rpd.teachers.remote.observations import select
from sb3_rpd.teachers.remote.teacher import RemoteTeacher
from sb3_rpd.teachers.units import ConvertActions

logger = logging.getLogger(__name__)


class OpenPITeacher(RemoteTeacher):
    """
    Ask a server that speaks openpi's websocket protocol.

    openpi's own servers answer one observation at a time, so ``connections`` of them run at once. A server started with
    ``sb3-rpd serve`` says at connection that it takes batches, and gets them.

    :param url: The server, as "ws://host:port" (or "wss://").
    :param observation_keys: For each of the server's names the environment's, such as ``{"observation/image": "frame"}``
        for openpi's LIBERO configuration. A mapping in it makes a dict in the request: ``{"state": "qpos", "images":
        {"cam_high": "frame"}}`` for openpi's ALOHA configuration. None sends everything under the environment's names, which
        is what a teacher served by ``sb3-rpd serve`` expects.
    :param channels_first: Send images as (channels, height, width), which openpi's ALOHA configuration wants.
    :param instruction: What to do, where the environment does not say it.
    :param action_index: Which action of the server's action chunk is the one for now.
    :param connections: How many questions are asked at once.
    :param api_key: Sent to the server, if it wants one.
    :param gives_distribution: Whether to take the standard deviations or logits that a served teacher gives beside its
        actions, for the "kl" loss.
    :param convert_actions: From the server's units to the environment's: a ``ConvertActions``.
    :param timeout: How long the server may take to answer, in seconds. The first answer of a model that compiles itself
        can take minutes.
    :param patience: How long a question is asked again after a failed connection, in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        observation_keys: Mapping[str, Any] | None = None,
        channels_first: bool = False,
        instruction: str | None = None,
        action_index: int = 0,
        connections: int = 1,
        api_key: str | None = None,
        gives_distribution: bool = False,
        convert_actions: ConvertActions = None,
        timeout: float = 60.0,
        patience: float = 30.0,
    ) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise ValueError(
                f"The server's address is {url!r}; openpi's protocol is spoken at ws://host:port or wss://host:port."
            )
        self.observation_keys = observation_keys
        self.channels_first = channels_first
        #: Where in a request each of the server's names is.
        self.places: dict[str, tuple[str, ...]] = {}
        self._keys = None if observation_keys is None else self._flat(observation_keys)
        self.api_key = api_key
        self.gives_distribution = gives_distribution
        self._action_space: spaces.Space | None = None
        super().__init__(
            url,
            connections=connections,
            patience=patience,
            timeout=timeout,
            instruction=instruction,
            action_index=action_index,
            convert_actions=convert_actions,
        )

    def setup(self, action_space: spaces.Space) -> None:
        if action_space != self._action_space:
            # links tell the server when they connect
            self._pool.close()
            self._action_space = action_space

    def _select(self, offered: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        selected = select(self._keys, offered, self.url)
        if not self.channels_first:
            return selected
        return {name: np.moveaxis(array, -1, 1) if are_images(array) else array for name, array in selected.items()}

    def _flat(self, keys: Mapping[str, Any], outer: tuple[str, ...] = ()) -> dict[str, str]:
        """The environment's name for each of the server's; notes in ``places`` where those are."""
        flat: dict[str, str] = {}
        for theirs, ours in keys.items():
            place = (*outer, theirs)
            if isinstance(ours, Mapping):
                flat |= self._flat(ours, place)
            else:
                flat[".".join(place)] = ours
                self.places[".".join(place)] = place
        return flat

    def _make_link(self) -> Link:
        return _OpenPILink(self)


class _OpenPILink(Link):
    """A websocket to a server; asks for batches where the server offers them."""

    def __init__(self, teacher: OpenPITeacher) -> None:
        self._teacher = teacher
        self._connection = ExitStack()
        self._websocket: Any = None
        self._takes_batches = False

    def open(self) -> None:
        client = import_optional("websockets.sync.client", extra="remote")
        exceptions = import_optional("websockets.exceptions", extra="remote")
        api_key = self._teacher.api_key
        proxy = proxy_of(self._teacher.url)
        try:
            connecting = client.connect(
                self._teacher.url,
                additional_headers={"Authorization": f"Api-Key {api_key}"} if api_key else None,
                compression=None,
                proxy=proxy,
                max_size=DEFAULT_FRAME_LIMIT,
                open_timeout=self._teacher.timeout,
                # a model that thinks does not answer pings; how long it may take is said by `timeout`
                ping_interval=None,
                close_timeout=1.0,
            )
            self._websocket = self._connection.enter_context(connecting)
        except exceptions.InvalidURI as error:
            raise TeacherError(f"{self._teacher.url!r} is not the address of a server: {error}") from error
        except exceptions.InvalidStatus as error:
            status = error.response.status_code
            if status in (401, 403):
                raise TeacherError(f"The server at {self._teacher.url} wants another API key (status {status}).") from error
            raise LinkError(
                f"the server answered with the status {status}, it may not be one for openpi's protocol"
            ) from error
        except (exceptions.InvalidProxy, ImportError) as error:
            if proxy is None:
                raise
            # websockets leaves SOCKS to another package
            cause = "pip install python-socks" if isinstance(error, ImportError) else "its address is none"
            raise TeacherError(
                f"The proxy {without_password(proxy)} on the way to the server at {self._teacher.url} cannot be used: "
                f"{cause}. {self._about_proxies}"
            ) from error
        except (exceptions.WebSocketException, OSError, EOFError) as error:
            if proxy is None:
                raise LinkError(f"no connection: {error}") from error
            raise LinkError(
                f"no connection through the proxy {without_password(proxy)}: {error}", self._about_proxies
            ) from error
        self._agree(self._receive())

    @property
    def _about_proxies(self) -> str:
        host = urlsplit(self._teacher.url).hostname
        return f"The environment's variables name that proxy: set no_proxy={host} if the server is reached without one."

    def ask(self, questions: Questions) -> TeacherOutput:
        if self._takes_batches:
            request: dict[str, Any] = {**self._nested(questions.named_observations), BATCH: len(questions)}
            if questions.instructions is not None:
                request[PROMPT] = questions.instructions
            answer = self._exchange(request)
            distribution = {}
            if self._teacher.gives_distribution:
                distribution = {name: _numbers(answer, name, len(questions)) for name in ("std", "logits") if name in answer}
            clipped = _numbers(answer, "clipped", len(questions)) if "clipped" in answer else None
            return TeacherOutput(_numbers(answer, "actions", len(questions)), clipped=clipped, **distribution)
        return TeacherOutput(np.stack([self._ask_one(questions.rows(row, row + 1)) for row in range(len(questions))]))

    def close(self) -> None:
        self._connection.close()

    def _nested(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Arrays by name in the server's form, where some names stand for a place in a dict in a dict."""
        request: dict[str, Any] = {}
        for name, array in arrays.items():
            *outer, last = self._teacher.places.get(name, (name,))
            inner = request
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[last] = array
        return request

    def _ask_one(self, questions: Questions) -> np.ndarray:
        request = self._nested({name: array[0] for name, array in questions.named_observations.items()})
        if questions.instructions is not None:
            request[PROMPT] = questions.instructions[0]
        chunk = _numbers(self._exchange(request), "actions")
        return np.asarray(chunk[self._teacher.place_in_chunk(len(chunk))])

    def _agree(self, metadata: dict[str, Any]) -> None:
        """Use what the server offers beyond openpi's protocol, and tell it what its teacher should know."""
        offer = metadata.get(OFFER)
        self._takes_batches = isinstance(offer, dict) and offer.get("version") == VERSION
        self.limits = Limits()
        if self._teacher.gives_distribution and not (self._takes_batches and offer and offer.get("gives_distribution")):
            raise TeacherError(
                f"The server at {self._teacher.url} gives actions without a distribution. Make the teacher without "
                "gives_distribution, and use another loss than 'kl'."
            )
        if not self._takes_batches:
            return
        assert isinstance(offer, dict)
        rows, nbytes = offer.get("max_batch"), offer.get("max_frame_bytes")
        if type(rows) is not int or type(nbytes) is not int or rows < 1:
            raise LinkError("the server's metadata do not say how large a batch may be")
        self.limits = Limits(rows, max(1, nbytes - FRAME_OVERHEAD))
        if self._teacher._action_space is not None:
            self._exchange({ACTION_SPACE: describe_space(self._teacher._action_space)})

    def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        exceptions = import_optional("websockets.exceptions", extra="remote")
        try:
            self._websocket.send(pack_openpi(request))
        except (exceptions.ConnectionClosed, OSError) as error:
            raise LinkError(f"the connection broke: {error}") from error
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        exceptions = import_optional("websockets.exceptions", extra="remote")
        try:
            frame = self._websocket.recv(timeout=self._teacher.timeout)
        except TimeoutError as error:
            raise NoAnswerInTimeError(self._teacher.timeout) from error
        except (exceptions.ConnectionClosed, OSError) as error:
            raise LinkError(f"the connection broke: {error}") from error
        if isinstance(frame, str):
            raise TeacherError(f"The server at {self._teacher.url} reports an error:\n{ending(frame)}")
        try:
            return unpack_openpi(frame)
        except MalformedMessageError as error:
            logger.warning("%s: malformed frame of %d bytes, connection closed: %s", self._teacher.url, len(frame), error)
            raise LinkError(f"a malformed frame came in: {error}") from error


def _numbers(answer: Mapping[str, Any], name: str, n_rows: int | None = None) -> np.ndarray:
    """An array of an answer; its first axis is the batch, or the chunk where ``n_rows`` is None."""
    array = answer.get(name)
    if not isinstance(array, np.ndarray) or array.ndim == 0 or array.dtype.kind not in "buif":
        raise TeacherError(
            f"The server's answer has no array {name!r} of numbers; it consists of {shortened(sorted(answer))}."
        )
    if n_rows is not None and len(array) != n_rows:
        raise TeacherError(f"The server gave {len(array)} {name} for {n_rows} observations.")
    return array
