"""Says in one sentence what ManiSkill2 and ManiSkill3 say of their options by raising whatever came first."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

#: Options of both that arguments of this package's functions set.
OWN_NAMES = MappingProxyType({"obs_mode": "obs", "reward_mode": "reward"})


class SimulatorOptions(NamedTuple):
    """
    The options of a simulator, and what a message about them has to name.

    :param name: The simulator.
    :param function: The function of this package that makes its environments.
    :param options: Its options, in words.
    :param own_names: Those of its options that arguments of the function set, each with the argument.
    """

    name: str
    function: str
    options: str
    own_names: Mapping[str, str] = OWN_NAMES

    def refuse_other_names(self, options: Mapping[str, Any]) -> None:
        """
        :param options: Further options on their way to the simulator.
        :raises ValueError: if one of them is set by another argument; names that.
        """
        for name in self.own_names.keys() & options.keys():
            raise ValueError(
                f"{name}= is {self.name}'s own option, which {self.own_names[name]}= sets here: give that instead"
            )

    def explain(self, error: Exception, task: str, options: Mapping[str, Any]) -> str | None:
        """
        :param error: What the simulator raised when an environment was made.
        :param task: The name of the task.
        :param options: The options that it got.
        :return: What is wrong with them, None if it is none of the usual mistakes.
        """
        message = str(error)
        if "is not a valid attribute of CameraConfig" in message:
            # It takes the name of a camera that it does not have for an attribute of all cameras
            return (
                f'{task} has no camera, or its cameras no setting, of that name ({message}). There is "human" in each task, '
                'and "base_camera" and, with some robots, "hand_camera" in the tabletop tasks'
            )
        if "got an unexpected keyword argument" in message:
            unknown = message.split("argument '")[1].split("'")[0]
            return (
                f"neither {self.function} nor {self.name}'s {task} has an option {unknown!r}. {self.name}'s are {self.options}"
            )
        if "not in supported modes" in message:
            return f"{task} has no control_mode={options['control_mode']!r}; it has {message.split('modes: ')[1].strip('[]')}"
        return None
