"""The gymnasium wrapper that puts what the teacher needs into ``info``, below everything that shapes the student's view."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np

from sb3_rpd.common.errors import ERRORS_OF_OTHER_ARGUMENTS, TeacherError
from sb3_rpd.common.instructions import read_instruction
from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.common.wording import cut, function_name

#: The key of ``info`` under which the wrapper's ``TeacherInfo`` travels through any vectorized environment.
TEACHER_INFO_KEY = "teacher"

#: In a ``TeacherInfo``: nothing has been read, since nobody will ask about this state. Its value is the number of the state.
UNREAD = "unread"

#: Reads one array (a raw frame, a joint state) off the wrapped environment after each reset and step.
ObservationSource: TypeAlias = Callable[[gym.Env[Any, Any]], np.ndarray]


class TeacherActionWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Offer the teacher its own view of the environment; the student's spaces, observations and rewards stay as they are.

    After each ``reset`` and ``step``, ``info["teacher"]`` holds ``{"observation": {name: array}}``, with
    ``"instruction"`` beside it where there is one; or ``{"action": array}`` where a controller runs in the environment.
    ``RPD`` hands these to ``Teacher.predict`` as a batch. Put it directly around the environment, inside the
    function that builds it for a ``VecEnv``; ``Monitor`` and every other wrapper go on top.

    While ``RPD`` trains with fewer labels than states (``label_every``, ``label_fraction``, a coefficient of 0), sources and
    controller run for the states that will be labeled only; of the others ``info["teacher"]`` has ``{"unread": number}``.
    What remembers the states that it was called in must see all of them: ``every_state=True``.

    With neither ``observation`` nor ``controller`` the teacher gets the rendered frame under the name ``"frame"``,
    for which the environment must have been made with ``render_mode="rgb_array"``.

    :param env: The environment to wrap.
    :param observation: What the teacher sees: for each name a callable from the wrapped environment to an array.
        The arrays are copied, so a source may reuse its own memory.
    :param instruction: What the teacher is told to do: a text (``read_instruction``), or a callable from the wrapped
        environment to one.
    :param controller: A callable from the wrapped environment to a finished action in the environment's units.
        Then no teacher is asked; the action is the label.
    :param every_state: Whether sources and controller run in every state, also in those that will not be labeled.
    :raises ValueError: if there is nothing to offer, or both an observation and a controller.
    :raises TypeError: if a source or the controller cannot be called.
    :raises TeacherError: if the instruction is no text.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        observation: Mapping[str, ObservationSource] | None = None,
        instruction: str | Callable[[gym.Env[Any, Any]], str] | None = None,
        controller: Callable[[gym.Env[Any, Any]], np.ndarray] | None = None,
        every_state: bool = False,
    ) -> None:
        super().__init__(env)
        if controller is not None and (observation is not None or instruction is not None):
            raise ValueError(
                "TeacherActionWrapper got a controller and an observation or instruction: a controller's action is the "
                "label itself, no teacher is asked. Pass one or the other."
            )
        if controller is None and observation is None:
            if env.render_mode != "rgb_array":
                raise ValueError(
                    "TeacherActionWrapper has nothing to offer: pass observation={'name': callable(env) -> array}, or "
                    f"controller=callable(env) -> action, or make the environment with render_mode='rgb_array' (it has "
                    f"render_mode={env.render_mode!r}) to offer its rendered frame."
                )
            observation = {"frame": _rendered_frame}
        if observation is not None and not isinstance(observation, Mapping):
            given = function_name(observation) if callable(observation) else cut(repr(observation), 100)
            raise TypeError(
                f"TeacherActionWrapper(observation=...) is a dict from names to functions of the environment, not {given}: "
                "write observation={'name': function}."
            )
        for name, source in (observation or {}).items():
            _check_source(f"observation {name!r}", source)
        if controller is not None:
            _check_source("controller", controller)
        self._observation = dict(observation or {})
        if instruction is not None and not callable(instruction):
            instruction = read_instruction(instruction, "TeacherActionWrapper's instruction")
        self._instruction = instruction
        self._controller = controller
        self._every_state = every_state
        #: The sources that have been called and were right.
        self._has_worked: set[str] = set()
        #: What was offered last, None before the first reset.
        self.teacher_info: TeacherInfo | None = None
        #: Counts resets and steps.
        self._moment = 0
        self._place = 0
        self._planned: deque[bool] = deque()
        self._after_plan = True
        #: Whether the state after the last step was wanted, and so the first one of a new episode in its place.
        self._is_wanted = True

    @property
    def has_controller(self) -> bool:
        """Whether finished actions are offered, so that no teacher is needed."""
        return self._controller is not None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, TEACHER_INFO_KEY: self._offer_next(self._is_wanted)}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        # While there is a plan, its reader resets where an episode ends, and nobody acts on the terminal state
        is_left_out = bool(self._planned) and (terminated or truncated)
        self._is_wanted = self._planned.popleft() if self._planned else self._after_plan
        offered = self._offer_next(self._is_wanted and not is_left_out)
        return observation, reward, terminated, truncated, {**info, TEACHER_INFO_KEY: offered}

    def set_teacher_view_place(self, place: int) -> None:
        """
        :param place: Which environment of the vectorized one this is, for ``plan_teacher_views``.
        """
        self._place = place

    def plan_teacher_views(self, wanted: np.ndarray, afterwards: bool = True) -> None:
        """
        Say of which states the sources, or the controller, are to be read. An episode's first state has the place of the
        last one of the episode before it, as in a ``VecEnv``.

        :param wanted: Shape (n_steps, n_envs), bool: for the states after each of the next steps.
        :param afterwards: The same for all further steps.
        """
        self._planned = deque(wanted[:, self._place].tolist())
        self._after_plan = self._is_wanted = afterwards

    def teacher_view(self) -> tuple[int, TeacherInfo]:
        """
        Read the sources, or the controller, of the present state if that has not been done.

        :return: The number of the present state, and what is offered of it.
        """
        if self.teacher_info is None or UNREAD in self.teacher_info:
            self.teacher_info = self._offer()
        return self._moment, self.teacher_info

    def _offer_next(self, is_wanted: bool) -> TeacherInfo:
        self._moment += 1
        self.teacher_info = self._offer() if is_wanted or self._every_state else {UNREAD: self._moment}
        return self.teacher_info

    def _offer(self) -> TeacherInfo:
        if self._controller is not None:
            return {"action": self._read("controller", self._controller)}
        observation = {name: self._read(f"observation {name!r}", read) for name, read in self._observation.items()}
        offered: TeacherInfo = {"observation": observation}
        if self._instruction is not None:
            offered["instruction"] = self._instruction if isinstance(self._instruction, str) else self._instruction(self.env)
        return offered

    def _read(self, what: str, source: ObservationSource) -> np.ndarray:
        """What a source gives, copied. What is wrong with the source itself shows when it is first called."""
        try:
            array = np.array(source(self.env))
        except Exception as error:
            if what in self._has_worked or type(error) not in ERRORS_OF_OTHER_ARGUMENTS:
                raise
            raise TeacherError(
                f"The {cut(what)} of a TeacherActionWrapper, {function_name(source)}, raised {cut(repr(error))}. It is called "
                "with the wrapped environment, not with an observation: read what it needs off the environment."
            ) from error
        if array.dtype == object:
            raise TeacherError(
                f"The {cut(what)} of a TeacherActionWrapper, {function_name(source)}, gave {cut(repr(array.tolist()), 100)}, "
                "which is no array of numbers. Is a `return` missing?"
            )
        self._has_worked.add(what)
        return array


def _check_source(what: str, source: Any) -> None:
    if not callable(source):
        raise TypeError(
            f"The {cut(what)} of a TeacherActionWrapper is {cut(repr(source), 100)}, which cannot be called: it must be a "
            "function of the environment that returns an array."
        )


def _rendered_frame(env: gym.Env[Any, Any]) -> np.ndarray:
    return np.asarray(env.render())
