"""A teacher behind the REST server that comes with OpenVLA (and OpenVLA-OFT), ``vla-scripts/deploy.py``."""

import http.client
import logging
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.teachers.remote.arrays import MalformedMessageError
from sb3_rpd.teachers.remote.links import Link, LinkError, NoAnswerInTimeError
from sb3_rpd.teachers.remote.messages import pack_json, unpack_json
from sb3_rpd.teachers.remote.observations import select
from sb3_rpd.teachers.remote.teacher import RemoteTeacher
from sb3_rpd.teachers.units import ConvertActions

logger = logging.getLogger(__name__)

_PATH = "/act"
_IMAGE = "image"

# Far more than an action chunk needs
_ANSWER_LIMIT = 2**20


class OpenVLAServerTeacher(RemoteTeacher):
    """
    Ask OpenVLA's own server.

    It takes one image and one instruction in a request and gives one action (OpenVLA) or a chunk of them (OpenVLA-OFT),
    un-normalized. The gripper is as in the model's data, mostly 0 = closed, 1 = open: for ManiSkill and others with -1 and
    +1 pass ``convert_actions="signed_gripper"``.

    :param url: The server, as "http://host:port" (or "https://").
    :param unnorm_key: Whose statistics un-normalize the action, such as "bridge_orig"; None where the model has only one.
    :param observation_keys: For each of the server's names the environment's. None sends the environment's only image as
        "image"; OpenVLA-OFT wants more, such as ``{"full_image": "frame", "wrist_image": "hand", "state": "qpos"}``.
    :param instruction: What to do, where the environment does not say it.
    :param action_index: Which action of a chunk is the one for now.
    :param connections: How many questions are asked at once.
    :param convert_actions: From the server's units to the environment's: a ``ConvertActions``.
    :param timeout: How long the server may take to answer, in seconds.
    :param patience: How long a question is asked again after a failed connection, in seconds.
    """

    def __init__(
        self,
        url: str,
        unnorm_key: str | None = None,
        *,
        observation_keys: Mapping[str, str] | None = None,
        instruction: str | None = None,
        action_index: int = 0,
        connections: int = 1,
        convert_actions: ConvertActions = None,
        timeout: float = 60.0,
        patience: float = 30.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/", _PATH):
            raise ValueError(f"The server's address is {url!r}; OpenVLA's server is asked at http://host:port.")
        self.unnorm_key = unnorm_key
        self.observation_keys = observation_keys
        super().__init__(
            url,
            connections=connections,
            patience=patience,
            timeout=timeout,
            instruction=instruction,
            action_index=action_index,
            convert_actions=convert_actions,
        )

    def _select(self, offered: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        keys = self.observation_keys
        return select({_IMAGE: self._find_images(offered)} if keys is None else keys, offered, self.url)

    def _make_link(self) -> Link:
        return _OpenVLALink(self)


class _OpenVLALink(Link):
    """HTTP requests, each over a connection of its own: the server closes what is idle for longer than a pause of training."""

    def __init__(self, teacher: OpenVLAServerTeacher) -> None:
        self._teacher = teacher

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def ask(self, questions: Questions) -> TeacherOutput:
        if questions.instructions is None:
            raise TeacherError(
                f"OpenVLA's server at {self._teacher.url} wants an instruction, and the environment gives none: "
                "TeacherActionWrapper(env, instruction=...), or pass one to this teacher."
            )
        request: dict[str, Any] = {name: array[0] for name, array in questions.named_observations.items()}
        request["instruction"] = questions.instructions[0]
        if self._teacher.unnorm_key is not None:
            request["unnorm_key"] = self._teacher.unnorm_key
        return TeacherOutput(self._action(self._post(pack_json(request).encode()))[np.newaxis])

    def _post(self, body: bytes) -> Any:
        parts = urlsplit(self._teacher.url)
        assert parts.hostname is not None
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            with closing(kind(parts.hostname, parts.port, timeout=self._teacher.timeout)) as connection:
                try:
                    connection.connect()
                except TimeoutError as error:
                    raise LinkError(f"no connection within {self._teacher.timeout:g} s") from error
                connection.request("POST", _PATH, body, {"Content-Type": "application/json", "Connection": "close"})
                response = connection.getresponse()
                text = response.read(_ANSWER_LIMIT + 1)
        except TimeoutError as error:
            raise NoAnswerInTimeError(self._teacher.timeout) from error
        except (OSError, http.client.HTTPException) as error:
            raise LinkError(f"the request failed: {error!r}") from error
        if response.status >= 500:
            raise LinkError(
                f"the server answered with the status {response.status}: {text[:300].decode(errors='replace')}",
                "Its own log says why.",
            )
        if response.status != http.HTTPStatus.OK:
            raise TeacherError(
                f"The server at {self._teacher.url} answered with the status {response.status}: "
                f"{text[:300].decode(errors='replace')}"
            )
        try:
            if len(text) > _ANSWER_LIMIT:
                raise MalformedMessageError(f"an answer has more than {_ANSWER_LIMIT} bytes")
            return unpack_json(text)
        except MalformedMessageError as error:
            logger.warning("%s: malformed answer, connection closed: %s", self._teacher.url, error)
            raise LinkError(f"a malformed answer came in: {error}") from error

    def _action(self, answer: Any) -> np.ndarray:
        """The action for now in an answer: an action, or a chunk of them as an array or a list of arrays."""
        if isinstance(answer, dict):
            # servers that are not OpenVLA's own say what went wrong under one of these names, or under another
            told = next((answer[name] for name in ("error", "detail", "message") if name in answer), None)
            answer = f"a dict of {', '.join(map(str, answer))}" if told is None else str(told)
        if isinstance(answer, str):
            raise TeacherError(
                f"The server at {self._teacher.url} answered {answer[:300]!r}: it could not use the request, its own log says "
                f"why. It was asked with the unnorm_key {self._teacher.unnorm_key!r}."
            )
        try:
            actions = np.asarray(answer, dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise TeacherError(f"The server at {self._teacher.url} answered with what is no action: {error}.") from error
        if actions.ndim not in (1, 2):
            raise TeacherError(f"The server at {self._teacher.url} answered with an action of shape {actions.shape}.")
        if actions.ndim == 1:
            return actions
        chosen: np.ndarray = actions[self._teacher.place_in_chunk(len(actions))]
        return chosen
