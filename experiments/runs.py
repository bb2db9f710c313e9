"""All runs, declared: which task, which error of the teacher, which reward, which method, which seed, for how long."""

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.methods import METHODS, RECOMMENDED
from experiments.worlds import WORLDS

#: The seeds whose results are reported. Coefficients and settings were chosen on others, from ``TUNING_SEED`` on.
SEEDS = {"fast": tuple(range(10)), "maniskill2": tuple(range(5))}
TUNING_SEED = 1000

ALL_METHODS = tuple(name for name in METHODS if name != "recommended" or RECOMMENDED)


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

    :param methods: Names of methods; PPO, which has no teacher, is shared by all rows that differ in the teacher only.
    """

    suite: str
    task: str
    error: str
    reward: str
    gamma: float
    steps: int
    label_every: int = 1
    methods: tuple[str, ...] = ALL_METHODS

    def runs(self, seed: int) -> Iterator[Run]:
        """:return: The runs of this row with one seed."""
        for method in self.methods:
            common = (self.suite, self.task, self.reward, self.gamma, method, seed, self.steps)
            yield _run(*common, error=self.error, label_every=self.label_every)


def _run(
    suite: str, task: str, reward: str, gamma: float, method: str, seed: int, steps: int, *, error: str, label_every: int
) -> Run:
    if METHODS[method].has_teacher:
        return Run(suite, task, error, reward, gamma, method, seed, steps, label_every)
    return Run(suite, task, None, reward, gamma, method, seed, steps)


FAST = tuple(
    Row("fast", "reach", error, reward, gamma=0.99, steps=120_000)
    for reward in ("sparse", "dense")
    for error in WORLDS["fast"].errors
)

ROWS = (*FAST,)


def runs_of(suite: str) -> list[Run]:
    """
    :param suite: The suite.
    :return: Its runs, each once: seed after seed, each with all rows, so that a report can be made at any time.
    """
    return list(dict.fromkeys(run for seed in SEEDS[suite] for row in ROWS if row.suite == suite for run in row.runs(seed)))
