"""A teacher in several actors of a Ray cluster: on the GPUs of one machine or of many."""

import time
import warnings
from collections.abc import Mapping, Sequence
from itertools import count
from types import ModuleType
from typing import Any

import cloudpickle
from gymnasium import spaces

from sb3_rpd.common.deadline import Deadline
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.teachers.made_elsewhere import (
    GRACE_SECONDS,
    REPORT_SECONDS,
    Factory,
    Ready,
    check_positive,
    factory_name,
    merge_answers,
    pickle_factory,
    replica_names,
    share_out,
)
from sb3_rpd.teachers.ray.actor import Setup
from sb3_rpd.teachers.ray.cluster import connect, session, warn_if_too_small
from sb3_rpd.teachers.ray.replica import RayReplica, ReplicaLostError


class RayTeacher(Teacher):
    """
    Another teacher in actors of Ray, each with GPUs of its own, on this machine or on those of a cluster.

    ``setup`` starts the actors and waits until their teachers are ready; they end with ``close``, with this object, or with
    the process that it belongs to. A process that is connected to a cluster stays connected to that one, so that ``ray.init``
    may be called before with whatever the cluster needs; otherwise ``setup`` connects it. Needs
    ``pip install "sb3_rpd[ray]"``.

    The replicas share each batch: they answer contiguous parts of it that depend on its size and on their number alone.
    Arrays travel as they are, images as uint8. Each teacher has as many PyTorch threads as the student has where it is
    started, and on the same hardware its labels are those that it would have given in the student's process, to the last bit.
    The replicas are made by the same factory: the random numbers of one that draws them are the same in all.

    If an actor dies, Ray starts it again, on another host if need be, and asks it again: no label is missing. One that has
    died too often, or that is late, is given up: its part of that batch is NaN, no label, and the others share what follows.
    When none is left a query raises a ``TeacherError``. The next ``setup`` starts new ones for those that are missing.

    :param factory: What makes the teacher, in each actor: the name of a factory, ``"package.module:factory"``, or a callable
        without arguments that cloudpickle can pickle. It returns a teacher, or anything that ``make_teacher`` accepts. Modules
        must be importable where the actors are; what is defined in the program itself goes along.
    :param replicas: Number of actors.
    :param num_gpus: GPUs of each actor; it sees no others. A fraction shares one.
    :param actor_options: Further options of the actors, as ``ray.remote`` takes them (``num_cpus``, 0 unless given,
        ``resources``, ``runtime_env``, ``scheduling_strategy``, ...).
    :param address: Where the cluster is, as ``ray.init`` takes it ("auto", "host:6379"). None for the one that the
        environment variable ``RAY_ADDRESS`` names or that runs on this machine; where there is none, one is started here, for
        as long as this process lives.
    :param max_restarts: How often an actor is started again. A batch is asked again as often.
    :param start_timeout: Seconds within which the teachers must be ready.
    :param timeout: Seconds within which a batch must be answered, including the time in which an actor starts again.
    :param verbose: 0 for no output, 1 to print how loading goes on, and what the actors print.
    :raises TypeError: if ``factory`` is a teacher, cannot be called without arguments, or cannot be pickled.
    :raises ValueError: if another setting is out of its range.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        replicas: int = 1,
        num_gpus: float = 0.0,
        actor_options: Mapping[str, Any] | None = None,
        address: str | None = None,
        max_restarts: int = 3,
        start_timeout: float = 900.0,
        timeout: float = 1800.0,
        verbose: int = 1,
    ) -> None:
        check_positive(replicas=replicas, start_timeout=start_timeout, timeout=timeout)
        if min(num_gpus, max_restarts) < 0:
            raise ValueError(f"num_gpus={num_gpus} and max_restarts={max_restarts} must not be negative.")
        self.factory = factory
        self.num_gpus = num_gpus
        self.address = address
        self.start_timeout = start_timeout
        self.timeout = timeout
        self.verbose = verbose
        self._pickled = pickle_factory(factory, type(self).__name__, cloudpickle.dumps)
        self._options = {
            # Ray's own default is to wait for a CPU for each actor that has a GPU
            "num_cpus": 0,
            "num_gpus": num_gpus,
            "max_restarts": max_restarts,
            "max_task_retries": max_restarts,
            **(actor_options or {}),
        }
        self._names = replica_names(repr(self), replicas)
        # By name, those that have not been given up
        self._replicas: dict[str, RayReplica] = {}
        self._numbers = count()
        self._setup: Setup | None = None
        self._ray: ModuleType | None = None
        self._session: str | None = None

    def __repr__(self) -> str:
        return f"RayTeacher({factory_name(self.factory)})"

    @property
    def pids(self) -> list[int | None]:
        """The ids of the replicas' processes, on whatever host they are; None where there is none."""
        return [self._replicas[name].pid if name in self._replicas else None for name in self._names]

    def setup(self, action_space: spaces.Space) -> None:
        self._setup = None
        ray = self._connected()
        has_started = len(self._replicas) < len(self._names)
        if has_started:
            warn_if_too_small(ray, repr(self), self.num_gpus * len(self._names))
        try:
            for name in self._names:
                if name not in self._replicas:
                    self._replicas[name] = RayReplica(ray, name, self._pickled, self._options)
            setup = Setup(next(self._numbers), action_space)
            self.gives_distribution, self.takes_action_masks = self._wait_until_ready(ray, setup, says_so=has_started)
        except BaseException:
            self.close()
            raise
        self._setup = setup

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> TeacherOutput:
        if self._setup is None or self._ray is None or session(self._ray) != self._session:
            raise TeacherError(f"{self!r} has no actors before setup(action_space), and after close() or ray.shutdown().")
        self._check_alive()
        setup, questions = self._setup, Questions(observations, instructions)
        deadline = Deadline.after("timeout", self.timeout)
        parts = share_out(list(self._replicas.values()), questions)
        references = [replica.ask(setup, part) for replica, part in parts]
        asked = [replica for replica, _ in parts]
        answers = [self._answer(*question, deadline) for question in zip(asked, references, strict=True)]
        self._check_alive()
        return merge_answers(answers, [part for _, part in parts], setup.action_space, self.gives_distribution)

    def close(self) -> None:
        self._setup = None
        replicas, self._replicas = list(self._replicas.values()), {}
        if self._ray is None or session(self._ray) != self._session:
            return
        goodbyes = [replica.say_goodbye() for replica in replicas if replica.pid is not None]
        if goodbyes:
            self._ray.wait(goodbyes, num_returns=len(goodbyes), timeout=GRACE_SECONDS)
        for replica in replicas:
            replica.kill()

    def _connected(self) -> ModuleType:
        ray = connect(self.address, self.verbose)
        if session(ray) != self._session:
            # Those of an earlier connection have ended with it
            self._replicas = {}
        self._ray, self._session = ray, session(ray)
        return ray

    def _wait_until_ready(self, ray: ModuleType, setup: Setup, says_so: bool) -> Ready:
        """:return: What each of the teachers says when it is ready."""
        started = time.monotonic()
        deadline = Deadline.after("start_timeout", self.start_timeout)
        loading = {replica.prepare(setup): replica for replica in self._replicas.values()}
        while loading:
            done, _ = ray.wait(list(loading), num_returns=1, timeout=min(REPORT_SECONDS, deadline.left()))
            if not done and deadline.left() > 0:
                self._say(f"has been loading for {time.monotonic() - started:.0f} s, of {self.start_timeout:g} s at most")
                continue
            reference = done[0] if done else next(iter(loading))
            ready = self._become_ready(loading.pop(reference), reference, deadline)
        if says_so:
            self._say(f"is ready after {time.monotonic() - started:.1f} s")
        return ready

    def _become_ready(self, replica: RayReplica, reference: Any, deadline: Deadline) -> Ready:
        try:
            ready = replica.receive(reference, deadline)
        except ReplicaLostError as error:
            raise TeacherError(
                f"The actor of {replica.name} {error} before the teacher was ready. It needs {self.num_gpus:g} GPUs and "
                "what actor_options say."
            ) from error
        assert isinstance(ready, Ready)
        return ready

    def _answer(self, replica: RayReplica, reference: Any, deadline: Deadline) -> TeacherOutput | None:
        try:
            answer = replica.receive(reference, deadline)
        except ReplicaLostError as error:
            del self._replicas[replica.name]
            warnings.warn(f"The actor of {replica.name} {error}; there will be no more labels from it.", stacklevel=4)
            return None
        assert isinstance(answer, TeacherOutput)
        return answer

    def _check_alive(self) -> None:
        if not self._replicas:
            raise TeacherError(f"{self!r} has lost all its actors: they died too often, or were late.")

    def _say(self, what: str) -> None:
        if self.verbose:
            print(f"{self!r} {what}", flush=True)
