"""Says in one sentence what ManiSkill2 says of its arguments and assets by raising whatever came first."""

from collections.abc import Iterator
from contextlib import contextmanager

from sb3_rpd.envs.maniskill2.tasks import ASSET_FREE_TASKS

#: Options of ManiSkill2 that ``make_maniskill2_env`` sets by arguments of its own.
OWN_NAMES = {"obs_mode": "obs", "reward_mode": "reward"}


def refuse_other_names(options: dict[str, object]) -> None:
    """
    :param options: Further options on their way to ManiSkill2.
    :raises ValueError: if one of them is set by another argument; names that.
    """
    for name in OWN_NAMES.keys() & options.keys():
        raise ValueError(f"{name}= is ManiSkill2's own option, which {OWN_NAMES[name]}= sets here: give that instead")


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
        explanation = _explanation(task, options, error)
        if explanation is None:
            raise
        raise ValueError(explanation) from error


def _assets_are_missing(subject: str, asset: str) -> str:
    return (
        f"{subject} needs assets that are not there: `python -m mani_skill2.utils.download_asset {asset}` downloads them "
        "into ./data, or into the folder named by the environment variable MS2_ASSET_DIR. "
        f"These tasks need none: {', '.join(ASSET_FREE_TASKS)}"
    )


def _explanation(task: str, options: dict[str, object], error: Exception) -> str | None:
    message = str(error)
    if "is not a valid attribute of CameraConfig" in message:
        # ManiSkill2 takes the name of a camera that it does not have for an attribute of all cameras
        return (
            f'{task} has no camera of that name ({message}). There is "human" in each task, '
            'and "base_camera" and "hand_camera" in the tabletop tasks'
        )
    if "got an unexpected keyword argument" in message:
        unknown = message.split("argument '")[1].split("'")[0]
        return (
            f"neither make_maniskill2_env nor ManiSkill2's {task} has an option {unknown!r}. ManiSkill2's are robot, "
            "sim_freq, control_freq, camera_cfgs, render_camera_cfgs, renderer_kwargs, shader_dir, render_config, "
            "enable_shadow, bg_name and those of the task"
        )
    if "not in supported modes" in message:
        return f"{task} has no control_mode={options['control_mode']!r}; it has {message.split('modes: ')[1].strip('[]')}"
    if isinstance(error, KeyError) and error.args == (options.get("robot"),):
        return f"{task} has no robot={options['robot']!r}; ManiSkill2's tabletop tasks have 'panda' and 'xmate3_robotiq'"
    return None
