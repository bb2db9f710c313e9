"""Says in one sentence what ManiSkill2 says of its arguments and assets by raising whatever came first."""

from collections.abc import Iterator
from contextlib import contextmanager

from sb3_rpd.envs.maniskill2.tasks import ASSET_FREE_TASKS
from sb3_rpd.envs.simulator_options import SimulatorOptions

MANISKILL2 = SimulatorOptions(
    "ManiSkill2",
    "make_maniskill2_env",
    "robot, sim_freq, control_freq, camera_cfgs, render_camera_cfgs, renderer_kwargs, shader_dir, render_config, "
    "enable_shadow, bg_name and those of the task",
)


@contextmanager
def explain_errors(task: str, options: dict[str, object]) -> Iterator[None]:
    """
    Turn the errors of making an environment into such as a user can act on.

    :param task: The name of the task.
    :param options: The options that ManiSkill2 gets.
    :raises ValueError: in place of what it raises for options and values that it does not know.
    :raises FileNotFoundError: in place of what it raises for assets that are not there.
    """
    try:
        yield
    except (FileNotFoundError, RuntimeError) as error:
        if "download" not in str(error):
            raise
        raise FileNotFoundError(_assets_are_missing(task, task)) from error
    except (AttributeError, AssertionError, KeyError, TypeError) as error:
        if "Fail to load URDF" in str(error) and "robot" in options:
            raise FileNotFoundError(_assets_are_missing(f"robot={options['robot']!r}", str(options["robot"]))) from error
        explanation = MANISKILL2.explain(error, task, options)
        if isinstance(error, KeyError) and error.args == (options.get("robot"),):
            explanation = (
                f"{task} has no robot={options['robot']!r}; ManiSkill2's tabletop tasks have 'panda' and 'xmate3_robotiq'"
            )
        if explanation is None:
            raise
        raise ValueError(explanation) from error


def _assets_are_missing(subject: str, asset: str) -> str:
    return (
        f"{subject} needs assets that are not there: `python -m mani_skill2.utils.download_asset {asset}` downloads them "
        "into ./data, or into the folder named by the environment variable MS2_ASSET_DIR. "
        f"These tasks need none: {', '.join(ASSET_FREE_TASKS)}"
    )
