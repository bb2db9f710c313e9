"""A teacher behind Isaac GR00T's ZeroMQ server (N1.6 and later), which answers whole batches."""

import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.common.wording import ending, shortened
from sb3_rpd.teachers.images import are_images
from sb3_rpd.teachers.remote.addresses import family_of, in_url
from sb3_rpd.teachers.remote.arrays import MalformedMessageError, shown
from sb3_rpd.teachers.remote.links import Limits, Link, LinkError, NoAnswerInTimeError
from sb3_rpd.teachers.remote.messages import modality_keys, pack_gr00t, unpack_gr00t
from sb3_rpd.teachers.remote.observations import select
from sb3_rpd.teachers.remote.teacher import RemoteTeacher
from sb3_rpd.teachers.units import ConvertActions

logger = logging.getLogger(__name__)

# Far more than the action chunks of a batch need
_ANSWER_LIMIT = 64 * 2**20

_MODALITIES = ("video", "state", "language")

# What a server that does not say how it calls the instruction is asked with
_LANGUAGE_KEY = "annotation.human.task_description"

# How long a TCP connection to a server that runs may take, in seconds
_CONNECT_TIMEOUT = 5.0


class GR00TTeacher(RemoteTeacher):
    """
    Ask a GR00T policy server.

    :param host: Where the server runs.
    :param port: The port it listens at.
    :param video_keys: For each of the model's cameras the environment's name of its image, such as ``{"ego_view": "frame"}``.
        None sends every image under the environment's name.
    :param state_keys: For each of the model's state vectors the environment's name of it. None sends every vector and every
        single number under the environment's name.
    :param language_key: The model's name of the instruction. None asks the server for it.
    :param instruction: What to do, where the environment does not say it.
    :param action_keys: The parts of the model's action in the order in which the environment's action consists of them,
        such as ``("eef_position", "eef_rotation", "gripper")``. None takes them in the server's order.
    :param action_index: Which action of the chunk is the one for now.
    :param max_batch: The most observations in one request.
    :param api_token: Sent to the server, if it wants one. It travels unencrypted.
    :param convert_actions: From the server's units to the environment's: a ``ConvertActions``.
    :param timeout: How long the server may take to answer, in seconds.
    :param patience: How long a question is asked again after a failed connection, in seconds.
    """

    def __init__(
        self,
        host: str,
        port: int = 5555,
        *,
        video_keys: Mapping[str, str] | None = None,
        state_keys: Mapping[str, str] | None = None,
        language_key: str | None = None,
        instruction: str | None = None,
        action_keys: Sequence[str] | None = None,
        action_index: int = 0,
        max_batch: int = 64,
        api_token: str | None = None,
        convert_actions: ConvertActions = None,
        timeout: float = 60.0,
        patience: float = 30.0,
    ) -> None:
        self.host = host
        self.video_keys = video_keys
        self.state_keys = state_keys
        self.language_key = language_key
        self.action_keys = action_keys
        self.max_batch = max_batch
        self.api_token = api_token
        # the server answers one request after the other, so more connections would gain nothing
        super().__init__(
            f"tcp://{in_url(host)}:{port}",
            connections=1,
            patience=patience,
            timeout=timeout,
            instruction=instruction,
            action_index=action_index,
            convert_actions=convert_actions,
        )

    def _select(self, offered: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        video_keys, state_keys = self.video_keys, self.state_keys
        if video_keys is None:
            video_keys = {name: name for name, array in offered.items() if are_images(array)}
        if state_keys is None:
            state_keys = {name: name for name, array in offered.items() if array.ndim in (1, 2)}
        keys = {f"video.{theirs}": ours for theirs, ours in video_keys.items()}
        keys |= {f"state.{theirs}": ours for theirs, ours in state_keys.items()}
        return select(keys, offered, self.url)

    def _make_link(self) -> Link:
        return _GR00TLink(self)


class _GR00TLink(Link):
    """A ZeroMQ request socket."""

    def __init__(self, teacher: GR00TTeacher) -> None:
        self._teacher = teacher
        self._context: Any = None
        self._socket: Any = None
        self._servers_language_key: str | None = None
        self.limits = Limits(rows=teacher.max_batch)

    def open(self) -> None:
        zmq = import_optional("zmq", extra="gr00t")
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        # with it ZeroMQ tries a name's IPv6 address alone, where GR00T listens at IPv4 only
        self._socket.setsockopt(zmq.IPV6, family_of(self._teacher.host) == socket.AF_INET6)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _ANSWER_LIMIT)
        # send only over a connection that is there, so that a missing server is noticed before the long wait for an answer
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.SNDTIMEO, int(1000 * min(_CONNECT_TIMEOUT, self._teacher.timeout)))
        self._socket.setsockopt(zmq.RCVTIMEO, int(1000 * self._teacher.timeout))
        try:
            self._socket.connect(self._teacher.url)
        except zmq.ZMQError as error:
            raise TeacherError(f"{self._teacher.url} is not the address of a server: {error}.") from error

    def ask(self, questions: Questions) -> TeacherOutput:
        teacher = self._teacher
        if questions.instructions is None:
            raise TeacherError(
                f"The GR00T server at {teacher.url} wants an instruction, and the environment gives none: "
                "TeacherActionWrapper(env, instruction=...), or pass one to this teacher."
            )
        # one frame of history each: (n, 1, ...)
        observation: dict[str, dict[str, Any]] = {"video": {}, "state": {}, "language": {}}
        for name, array in questions.named_observations.items():
            modality, _, key = name.partition(".")
            if modality == "state":
                array = array.astype(np.float32).reshape(len(array), -1)
            observation[modality][key] = array[:, np.newaxis]
        observation["language"][self._language_key()] = [[text] for text in questions.instructions]
        answer = self._exchange("get_action", {"observation": observation, "options": None})
        if isinstance(answer, dict) and "error" in answer:
            raise TeacherError(
                f"The GR00T server at {teacher.url} reports an error: {ending(_text(answer['error']))}. "
                f"{self._sent_and_wanted(observation)}"
            )
        return TeacherOutput(self._actions(answer, len(questions)))

    def close(self) -> None:
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None
        self._servers_language_key = None

    def _language_key(self) -> str:
        if self._teacher.language_key is not None:
            return self._teacher.language_key
        if self._servers_language_key is None:
            (key, *_) = self._wanted_keys().get("language") or [_LANGUAGE_KEY]
            self._servers_language_key = key
        return self._servers_language_key

    def _wanted_keys(self) -> dict[str, list[str]]:
        """The model's names for what it wants, by modality; nothing where the server does not say."""
        answer = self._exchange("get_modality_config", None)
        if not isinstance(answer, dict):
            return {}
        return {modality: keys for modality in _MODALITIES if (keys := modality_keys(answer.get(modality)))}

    def _sent_and_wanted(self, observation: dict[str, dict[str, Any]]) -> str:
        sent = f"It was sent {_listed(observation)}"
        wanted = self._wanted_keys()
        if not wanted:
            return f"{sent}."
        return f"{sent}, and wants {_listed(wanted)}: correct the teacher's video_keys, state_keys or language_key."

    def _exchange(self, endpoint: str, data: dict[str, Any] | None) -> Any:
        zmq = import_optional("zmq", extra="gr00t")
        request: dict[str, Any] = {"endpoint": endpoint}
        if data is not None:
            request["data"] = data
        if self._teacher.api_token is not None:
            request["api_token"] = self._teacher.api_token
        try:
            self._socket.send(pack_gr00t(request))
        except zmq.Again as error:
            raise LinkError("no connection") from error
        except zmq.ZMQError as error:
            raise LinkError(f"the connection broke: {error}") from error
        try:
            frame = self._socket.recv()
        except zmq.Again as error:
            raise NoAnswerInTimeError(self._teacher.timeout) from error
        except zmq.ZMQError as error:
            raise LinkError(f"the connection broke: {error}") from error
        try:
            answer = unpack_gr00t(frame)
        except MalformedMessageError as error:
            logger.warning("%s: malformed frame of %d bytes, connection closed: %s", self._teacher.url, len(frame), error)
            raise LinkError(f"a malformed frame came in: {error}") from error
        return answer

    def _actions(self, answer: Any, n_rows: int) -> np.ndarray:
        """Put the parts of an answer, (action by part, info), together to actions of shape (n, k)."""
        teacher = self._teacher
        parts = answer[0] if isinstance(answer, list) and answer else answer
        if not isinstance(parts, dict):
            raise TeacherError(
                f"The GR00T server at {teacher.url} answered with a {type(parts).__name__}, not with an action."
            )
        keys = list(parts) if teacher.action_keys is None else list(teacher.action_keys)
        missing = [key for key in keys if key not in parts]
        if missing or not keys:
            raise TeacherError(
                f"action_keys names {shortened(keys)}, the server's action consists of {shortened(sorted(map(str, parts)))}."
            )
        columns = []
        for key in keys:
            part = parts[key]
            if not isinstance(part, np.ndarray) or part.ndim != 3 or len(part) != n_rows:
                what = part.shape if isinstance(part, np.ndarray) else type(part).__name__
                raise TeacherError(f"The part {key!r} of the server's action is {what}, not ({n_rows}, horizon, size).")
            columns.append(part[:, teacher.place_in_chunk(part.shape[1])])
        return np.concatenate(columns, axis=1)


def _text(error: Any) -> str:
    return error[-500:] if isinstance(error, str) else shown(error)


def _listed(names: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{modality} {list(keys)}" for modality, keys in names.items())
