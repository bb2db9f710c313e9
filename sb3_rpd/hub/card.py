"""The model card of a student: what a reader of its repository sees first, and what the hub's search reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.evaluation import TeacherEvaluation

#: The student's own row of the results.
STUDENT_ROW = "student"
#: The file of the replay, and that of the exported student.
REPLAY, EXPORTED = "replay.gif", "student.onnx"

_TEMPLATE = """\
# {algorithm} student for {task}

{replay}A policy for `{task}`, trained with [Refined Policy Distillation](https://arxiv.org/abs/2503.05833): PPO that imitates
a teacher in the states that the student visits. Made with
[Stable-Baselines3](https://github.com/DLR-RM/stable-baselines3) and [sb3_rpd](https://github.com/sb3-rpd/sb3_rpd).

## Results

{table}

Deterministic actions; the intervals are Wilson's, at 95%.

## Training

- Teacher: {teacher}
- Command: {command}

## Use

```python
from sb3_rpd.hub import load_from_hub

student = load_from_hub("{repo_id}", trust_pickle=True)
model, vec_normalize = student.model, student.vec_normalize
```

`student.zip` is an archive of Stable-Baselines3{statistics}. Parts of it are pickles: loading it runs code that comes with it,
so pass `trust_pickle=True` only if you trust its author.{exported}
"""


@dataclass(frozen=True)
class StudentCard:
    """
    What a card says.

    :param repo_id: The repository.
    :param task: The environment's name.
    :param algorithm: The class of the model.
    :param results: Evaluations by name, of which "student" is the student's own.
    :param teacher: Who the teacher was, in a few words.
    :param command: How the student was trained.
    :param has_replay: Whether the repository has a film of the student.
    :param has_statistics: Whether it has statistics of a ``VecNormalize``.
    :param is_exported: Whether it has an ONNX file.
    :raises ValueError: if the student's own result is missing.
    """

    repo_id: str
    task: str
    algorithm: str
    results: Mapping[str, TeacherEvaluation]
    teacher: str | None = None
    command: str | None = None
    has_replay: bool = False
    has_statistics: bool = False
    is_exported: bool = False

    def __post_init__(self) -> None:
        if STUDENT_ROW not in self.results:
            raise ValueError(f"The results have no {STUDENT_ROW!r}, only {', '.join(map(repr, self.results)) or 'nothing'}.")

    def __str__(self) -> str:
        yaml = import_optional("yaml", extra="hub")
        exported = f" `{EXPORTED}` holds the same actions without any pickle (`sb3_rpd.export.load_exported`)."
        text = _TEMPLATE.format(
            algorithm=self.algorithm,
            task=self.task,
            repo_id=self.repo_id,
            replay=f"![The student at work]({REPLAY})\n\n" if self.has_replay else "",
            table=results_table(self.results),
            teacher=self.teacher or "not said",
            command=f"`{self.command}`" if self.command else "not said",
            statistics=", and `vecnormalize.pkl` has the statistics of its observations" if self.has_statistics else "",
            exported=exported if self.is_exported else "",
        )
        return f"---\n{yaml.safe_dump(self._metadata(), sort_keys=False)}---\n\n{text}"

    def _metadata(self) -> dict[str, Any]:
        result = self.results[STUDENT_ROW]
        metrics = [{"type": "mean_reward", "name": "mean return", "value": round(result.mean_return, 4)}]
        if result.successes is not None:
            metrics.append({"type": "success_rate", "name": "success rate", "value": round(result.success_rate, 4)})
        task = {"type": "reinforcement-learning", "name": "reinforcement-learning"}
        data = {"name": self.task, "type": self.task}
        return {
            "library_name": "stable-baselines3",
            "tags": ["reinforcement-learning", "stable-baselines3", "policy-distillation", "sb3_rpd", self.task],
            "model-index": [{"name": self.algorithm, "results": [{"task": task, "dataset": data, "metrics": metrics}]}],
        }


def results_table(results: Mapping[str, TeacherEvaluation]) -> str:
    """
    :param results: Evaluations by name.
    :return: A table in Markdown, with a row for each.
    """
    rows = ["| | success | 95% interval | mean return | mean length | episodes |", "|---|---|---|---|---|---|"]
    for name, result in results.items():
        success = "unknown | unknown"
        if result.successes is not None:
            low, high = result.success_interval
            success = f"{result.success_rate:.0%} | {low:.0%} to {high:.0%}"
        rows.append(f"| {name} | {success} | {result.mean_return:.2f} | {result.mean_length:.1f} | {result.episodes} |")
    return "\n".join(rows)
