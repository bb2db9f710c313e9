"""All runs, declared: which task, which error of the teacher, which reward, which method, which seed, for how long."""

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.methods import METHODS, PARTS, TEACHER
from experiments.worlds import WORLDS

#: The seeds whose results are reported. Settings are to be chosen on others, from ``TUNING_SEED`` on.
SEEDS = {"fast": tuple(range(10)), "maniskill2": tuple(range(5)), "vla": tuple(range(3)), "vla-images": tuple(range(3))}
TUNING_SEED = 1000

_STUDENTS = tuple(name for name in METHODS if name != TEACHER)
#: Without the parts of the recommended setting; the baselines beside it; and PPO alone beside it, for what no setting undoes,
#: another discount factor, and tasks that take long.
_WHOLE = tuple(name for name in _STUDENTS if name not in PARTS)
_FEW = ("ppo", "rpd", "recommended")
_PAIR = ("ppo", "recommended")


@dataclass(frozen=True)
class Run:
    """
    :param suite: The world that it takes place in: a name in ``WORLDS``.
    :param task: The task.
    :param error: What is wrong with the teacher: a name of the world's errors; None for a method without a teacher.
    :param reward: The reward as ``make_env`` of the world names it.
    :param gamma: The discount factor.
    :param method: A name in ``METHODS``.
    :param seed: Seed of student, environments and teacher.
    :param steps: Environment steps of training.
    :param label_every: Every which step of an environment is labeled.
    """

    suite: str
    task: str
    error: str | None
    reward: str
    gamma: float
    method: str
    seed: int
    steps: int
    label_every: int = 1


@dataclass(frozen=True)
class Row:
    """
    One row of the report: a situation in which methods are compared.

    :param methods: Names of methods. PPO, which has no teacher, is shared by all rows that differ in the teacher or in the
        number of steps only: it trains for as long as the longest of them.
    """

    suite: str
    task: str
    error: str
    reward: str
    gamma: float
    steps: int
    label_every: int = 1
    methods: tuple[str, ...] = _STUDENTS

    def run(self, method: str, seed: int) -> Run:
        """:return: The run of a method in this row."""
        if method == TEACHER:
            # Neither reward nor length of training matters to it
            return Run(self.suite, self.task, self.error, "sparse", 1.0, TEACHER, seed, steps=0)
        if METHODS[method].has_teacher:
            return Run(self.suite, self.task, self.error, self.reward, self.gamma, method, seed, self.steps, self.label_every)
        return Run(self.suite, self.task, None, self.reward, self.gamma, method, seed, self._longest_steps())

    def _longest_steps(self) -> int:
        """:return: The steps of the longest row that differs in the teacher or in the number of steps only."""
        alike = (self.task, self.reward, self.gamma)
        return max(row.steps for row in ROWS[self.suite] if (row.task, row.reward, row.gamma) == alike)


FAST = tuple(
    Row("fast", "reach", error, reward, gamma=0.99, steps=120_000)
    for reward in ("sparse", "dense")
    for error in WORLDS["fast"].errors
)


def _lift(error: str, reward: str, steps: int, gamma: float = 0.99, **others: int | tuple[str, ...]) -> Row:
    return Row("maniskill2", "LiftCube-v0", error, reward, gamma, steps, **others)  # type: ignore[arg-type]


MANISKILL2 = (
    _lift("noise", "sparse", 50_000, methods=_WHOLE),
    _lift("noise", "dense", 50_000, methods=(*_FEW, "dagger")),
    _lift("offset 0.5", "dense", 100_000, methods=_FEW),
    _lift("offset 0.3", "sparse", 60_000, methods=_FEW),
    _lift("offset 0.3", "dense", 60_000, methods=_FEW),
    _lift("noise", "sparse", 50_000, label_every=5, methods=_FEW),
    _lift("noise", "dense", 50_000, label_every=5, methods=_FEW),
    *(_lift(error, "dense", 60_000, methods=_FEW) for error in ("stall", "misjudgment")),
    *(_lift(error, "dense", 60_000, methods=_PAIR) for error in ("late gripper", "inverted axis")),
    # Where the teacher succeeds now and then
    *(_lift(error, "sparse", 60_000, methods=_PAIR) for error in ("late gripper", "inverted axis", "misjudgment")),
    *(_lift("noise", reward, 50_000, gamma=0.8, methods=_PAIR) for reward in ("sparse", "dense")),
    *(
        Row("maniskill2", task, "none", reward, 0.99, steps, methods=_PAIR)
        for task, steps in (("LiftSmallCube-v0", 100_000), ("LiftCubeHigher-v0", 40_000), ("LiftCubeBesideBlock-v0", 40_000))
        for reward in ("sparse", "dense")
    ),
    *(Row("maniskill2", "PickCube-v0", "noise", reward, 0.99, 80_000, methods=_PAIR) for reward in ("sparse", "dense")),
    Row("maniskill2", "StackCube-v0", "noise", "dense", 0.99, 100_000, methods=_PAIR),
)

#: De-biasing hurts the students of a VLA, which errs differently in each state.
_VLA_METHODS = ("ppo", "undebiased")


def _vla(
    error: str,
    reward: str,
    task: str = "LiftCube-v0",
    steps: int = 100_000,
    label_every: int = 5,
    methods: tuple[str, ...] = _VLA_METHODS,
) -> Row:
    return Row("vla", task, error, reward, 0.99, steps, label_every, methods)


VLA = (
    _vla("none", "dense", methods=(*_VLA_METHODS, "rpd")),
    _vla("none", "sparse"),
    *(_vla(error, "dense") for error in WORLDS["vla"].errors if error.startswith("camera")),
    _vla("none", "sparse", task="LiftOtherCube-v0", steps=200_000),
    # all states labeled: it renders five times as many frames
    _vla("none", "sparse", label_every=1),
)
# Student and teacher share a frame, so that a label costs little more
VLA_IMAGES = tuple(
    Row("vla-images", "LiftCube-v0", error, "dense", 0.99, 100_000, methods=_VLA_METHODS) for error in ("none", "weak")
)

#: The rows of each suite, those that matter most first.
ROWS = {"fast": FAST, "maniskill2": MANISKILL2, "vla": VLA, "vla-images": VLA_IMAGES}


def runs_of(suite: str) -> list[Run]:
    """
    :param suite: The suite.
    :return: Its runs, each once: the teachers by themselves, then seed after seed, each with all rows, so that a report can be
        made at any time.
    """
    return list(dict.fromkeys([*_teachers(suite), *_students(suite)]))


def _teachers(suite: str) -> Iterator[Run]:
    return (row.run(TEACHER, 0) for row in ROWS[suite])


def _students(suite: str) -> Iterator[Run]:
    return (row.run(method, seed) for seed in SEEDS[suite] for row in ROWS[suite] for method in row.methods)
