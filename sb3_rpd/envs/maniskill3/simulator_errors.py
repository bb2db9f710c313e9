"""Says in one sentence what ManiSkill3 says of its arguments and assets by raising, or asking, whatever came first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sb3_rpd.envs.maniskill3.installation import import_maniskill3
from sb3_rpd.envs.maniskill3.tasks import PAPER_TASKS
from sb3_rpd.envs.simulator_options import SimulatorOptions

MANISKILL3 = SimulatorOptions(
    "ManiSkill3",
    "make_maniskill3_env",
    "robot_uids, sim_config, sensor_configs, human_render_camera_configs, render_backend, enable_shadow, reconfiguration_freq "
    "and those of the task",
    own_names={"obs_mode": "obs", "reward_mode": "reward", "num_envs": "n_envs", "sim_backend": "backend"},
)


def check_task(task: str, reward: str, reward_mode: str) -> None:
    """
    :param task: The name of a task.
    :param reward: What is asked for by ``reward=``.
    :param reward_mode: ManiSkill3's name for it.
    :raises ValueError: if there is no such task, or if it has no such reward; says which there are.
    """
    tasks = import_maniskill3().REGISTERED_ENVS
    if task not in tasks:
        others = ", ".join(sorted(set(tasks) - set(PAPER_TASKS)))
        raise ValueError(f'ManiSkill3 has no task "{task}". The paper\'s: {", ".join(PAPER_TASKS)}; others: {others}')
    if reward_mode not in tasks[task].cls.SUPPORTED_REWARD_MODES:
        raise ValueError(f'{task} has no reward="{reward}": ManiSkill3 pays for its success alone, take reward="sparse"')


@contextmanager
def explain_errors(task: str, options: Mapping[str, Any]) -> Iterator[None]:
    """
    Turn the errors and questions of making an environment into errors that a user can act on.

    :param task: The name of the task.
    :param options: The options that ManiSkill3 gets.
    :raises ValueError: in place of what it raises for options and values that it does not know.
    :raises FileNotFoundError: where it would ask whether to download assets.
    """
    try:
        with _refusing_questions(task):
            yield
    except RuntimeError as error:
        if "not found in the dict of registered agents" not in str(error):
            raise
        raise ValueError(f"ManiSkill3 has no robot_uids={options.get('robot_uids')!r}; most tasks have 'panda'") from error
    except (AttributeError, AssertionError, TypeError) as error:
        explanation = MANISKILL3.explain(error, task, options)
        if explanation is None:
            raise
        raise ValueError(explanation) from error


@contextmanager
def _refusing_questions(task: str) -> Iterator[None]:
    """ManiSkill3 would ask at the keyboard whether to download, and end the process if not."""
    from mani_skill.utils import download_asset

    ask = download_asset.prompt_yes_no

    def refuse(question: str) -> bool:
        words = question.split()
        asset = words[1] if words[0] == "Robot" else task
        raise FileNotFoundError(
            f"{asset} needs assets that are not there: `python -m mani_skill.utils.download_asset {asset}` downloads them "
            "into ~/.maniskill, or into the folder named by the environment variable MS_ASSET_DIR. "
            f"These tasks need none: {', '.join(PAPER_TASKS)}"
        )

    download_asset.prompt_yes_no = refuse
    try:
        yield
    finally:
        download_asset.prompt_yes_no = ask
