"""A teacher behind a vlagents server: Octo, OpenVLA, LeRobot policies in environments of their own."""

import logging
import socket
from collections.abc import Mapping
from typing import Any

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.teachers.images import are_images
from sb3_rpd.teachers.remote.addresses import family_of, in_url, without_brackets
from sb3_rpd.teachers.remote.arrays import MalformedMessageError, shown
from sb3_rpd.teachers.remote.links import Link, LinkError, NoAnswerInTimeError
from sb3_rpd.teachers.remote.messages import pack_json, unpack_json
from sb3_rpd.teachers.remote.observations import select
from sb3_rpd.teachers.remote.teacher import RemoteTeacher
from sb3_rpd.teachers.units import ConvertActions

logger = logging.getLogger(__name__)

# The camera that the server's OpenVLA and Octo look at, and the image size that both insist on
_CAMERA = "rgb_side"
_IMAGE_SIZES = {"octo": 256, "openvla": 256}

# vlagents has observations by robot; its policies take any name and hand it back
_ROBOT = "robot"

# What a vlagents observation has beside cameras
_STATE_NAMES = ("joints", "gripper", "xyzrpy", "tquat")


class VLAgentsTeacher(RemoteTeacher):
    """
    Ask a policy that a vlagents server (0.3 or later) runs.

    The action is the first of the chunk, the gripper its last number. vlagents gives it as the model does, mostly 0 = closed,
    1 = open: for ManiSkill and others with -1 and +1 pass ``convert_actions="signed_gripper"``.

    vlagents' server unpickles what its clients send if they ask it to, so it must not be reachable for others; start it
    only where you trust everybody who reaches its port. This client sends and takes texts alone, and unpickles nothing.

    :param host: Where the server runs.
    :param port: The port it listens at.
    :param policy: The policy that the server was started with: "octo", "openvla", "lerobot", ...
    :param observation_keys: For each of the server's names the environment's: cameras by their names, and "joints",
        "gripper", "xyzrpy", "tquat". None sends the environment's only image as "rgb_side".
    :param image_size: Height and width to which images are resized (Lanczos). None takes 256 x 256 for "octo" and "openvla",
        which refuse all else, and the environment's own size for other policies.
    :param instruction: What to do, where the environment does not say it.
    :param action_index: Which action of the chunk is the one for now.
    :param convert_actions: From the server's units to the environment's: a ``ConvertActions``.
    :param timeout: How long the server may take to answer, in seconds.
    :param patience: How long a question is asked again after a failed connection, in seconds: long enough for the server to
        load its model.
    """

    def __init__(
        self,
        host: str,
        port: int,
        policy: str,
        *,
        observation_keys: Mapping[str, str] | None = None,
        image_size: tuple[int, int] | None = None,
        instruction: str | None = None,
        action_index: int = 0,
        convert_actions: ConvertActions = None,
        timeout: float = 60.0,
        patience: float = 300.0,
    ) -> None:
        self.host = host
        self.port = port
        self.policy = policy
        self.observation_keys = observation_keys
        default_size = _IMAGE_SIZES.get(policy)
        self.image_size = (default_size, default_size) if image_size is None and default_size else image_size
        # its policies are not made to be asked by several threads at once
        super().__init__(
            f"rpyc://{in_url(host)}:{port}",
            connections=1,
            patience=patience,
            timeout=timeout,
            instruction=instruction,
            action_index=action_index,
            convert_actions=convert_actions,
        )

    def _select(self, offered: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        keys = self.observation_keys
        return select({_CAMERA: self._find_images(offered)} if keys is None else keys, offered, self.url)

    def _make_link(self) -> Link:
        return _VLAgentsLink(self)


class _VLAgentsLink(Link):
    """An rpyc connection over which only texts go."""

    def __init__(self, teacher: VLAgentsTeacher) -> None:
        self._teacher = teacher
        self._connection: Any = None

    def open(self) -> None:
        rpyc = import_optional("rpyc", extra="vlagents")
        # the server may ask nothing of this side: no attributes, no pickles, and its exceptions stay texts
        config = {
            "allow_public_attrs": False,
            "allow_pickle": False,
            "import_custom_exceptions": False,
            "instantiate_custom_exceptions": False,
            "sync_request_timeout": self._teacher.timeout,
        }
        try:
            host = without_brackets(self._teacher.host)
            is_ipv6 = family_of(host) == socket.AF_INET6
            self._connection = rpyc.connect(host, self._teacher.port, config=config, ipv6=is_ipv6)
        except OSError as error:
            raise LinkError(f"no connection: {error}") from error
        name = self._call("name")
        if name != self._teacher.policy:
            raise TeacherError(
                f"The server at {self._teacher.url} runs the policy {name!r}, and {self._teacher.policy!r} is wanted."
            )
        if self._call("is_initialized") is not True:
            raise LinkError("the server is still loading its model")

    def ask(self, questions: Questions) -> TeacherOutput:
        request = {
            "obs": {_ROBOT: self._observation({name: array[0] for name, array in questions.named_observations.items()})},
            "language_instruction": None if questions.instructions is None else questions.instructions[0],
            "goal_image": None,
            "goal_image_data_type": "raw",
        }
        text = self._call("act", pack_json(request))
        if not isinstance(text, str):
            raise TeacherError(f"The server at {self._teacher.url} did not answer with a text.")
        try:
            answer = unpack_json(text)
        except MalformedMessageError as error:
            logger.warning("%s: malformed answer, connection closed: %s", self._teacher.url, error)
            raise LinkError(f"a malformed answer came in: {error}") from error
        return TeacherOutput(self._action(answer)[np.newaxis])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, method: str, *arguments: str) -> Any:
        """Call a method of the server; only a text or a truth value may come back, never a proxy of an object of its own."""
        try:
            answer = getattr(self._connection.root, method)(*arguments)
        except TimeoutError as error:
            raise NoAnswerInTimeError(self._teacher.timeout) from error
        except (EOFError, OSError) as error:
            raise LinkError(f"the connection broke: {error!r}") from error
        except Exception as error:
            # rpyc raises the server's own error here, with its traceback behind it
            (told, *_) = str(error).strip().splitlines() or [type(error).__name__]
            raise TeacherError(
                f"The server at {self._teacher.url} reports an error: {told[:300]}.{self._about_old()}"
            ) from error
        return answer if type(answer) in (str, bool) else None

    def _about_old(self) -> str:
        """What to say of a server older than 0.3: it has instructions told by a method of their own."""
        try:
            _ = self._connection.root.reset
        except Exception:
            return ""
        return " It is a vlagents server older than 0.3, which is asked in another way: install vlagents 0.3 or later there."

    def _observation(self, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """One robot's observation, in all its parts."""
        state: dict[str, Any] = {name: arrays.pop(name, None) for name in _STATE_NAMES}
        if state["gripper"] is not None:
            state["gripper"] = float(state["gripper"].item())
        cameras = {name: self._resized(image) for name, image in arrays.items()}
        return {"cameras": cameras, "camera_data_type": "raw", **state, "info": {}}

    def _resized(self, image: np.ndarray) -> np.ndarray:
        size = self._teacher.image_size
        if size is None or image.shape[:2] == size:
            return image
        if not are_images(image[np.newaxis]):
            raise TeacherError(f"An image of dtype {image.dtype} and shape {image.shape} cannot be resized to {size}.")
        pillow = import_optional("PIL.Image", extra="vlagents")
        height, width = size
        return np.asarray(pillow.fromarray(image).resize((width, height), pillow.Resampling.LANCZOS))

    def _action(self, answer: Any) -> np.ndarray:
        """The action for now in an answer, with its gripper as the last number."""
        try:
            acts = answer["acts"]
            (act,) = acts[self._teacher.place_in_chunk(len(acts))].values()
            action = np.asarray(act["action"], dtype=np.float64).reshape(-1)
            gripper = act["gripper"]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise TeacherError(
                f"The server at {self._teacher.url} answered without actions of one robot: {type(error).__name__}."
            ) from error
        if gripper is None:
            return action
        if not isinstance(gripper, (int, float)):
            raise TeacherError(f"The server at {self._teacher.url} answered with the gripper {shown(gripper)}.")
        return np.append(action, gripper)
