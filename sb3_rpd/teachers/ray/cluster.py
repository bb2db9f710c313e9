"""The Ray cluster of this process."""

import os
import socket
import warnings
from types import ModuleType

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.wording import cut

# How long a TCP connection to a cluster that runs may take, in seconds
_CONNECT_TIMEOUT = 5.0


def connect(address: str | None, verbose: int) -> ModuleType:
    """
    Connect this process to a cluster, unless it is connected.

    :param address: Where the cluster is, as ``ray.init`` takes it.
    :param verbose: Whether to show what the actors write.
    :return: The module ``ray``.
    :raises ImportError: if Ray is missing; says what to install.
    :raises TeacherError: if there is no such cluster.
    """
    ray = import_optional("ray", extra="ray")
    if ray.is_initialized():
        return ray
    if address is not None:
        _check_reachable(address)
    # What Ray would send to its makers is the user's to decide
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=verbose > 0, logging_level="WARNING")
    except (ConnectionError, ValueError) as error:
        where = "started on this machine" if address is None else f"found at {cut(repr(address))}"
        raise TeacherError(f"No Ray cluster could be {where}: {cut(error)}") from error
    return ray


def _check_reachable(address: str) -> None:
    """Ray itself would wait for minutes, and then end the program."""
    host, _, port = address.rpartition(":")
    # "auto" and other words are Ray's to find
    if not (host and port.isdigit()) or "://" in host:
        return
    try:
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise TeacherError(f"No Ray cluster could be found at {cut(repr(address))}: {cut(error)}") from error


def session(ray: ModuleType) -> str | None:
    """:return: What tells one connection of this process to a cluster from another; None if there is none."""
    if not ray.is_initialized():
        return None
    worker: str = ray.get_runtime_context().get_worker_id()
    return worker


def warn_if_too_small(ray: ModuleType, who: str, num_gpus: float) -> None:
    """
    Say that actors will wait for GPUs that the cluster does not have.

    :param ray: The module, connected.
    :param who: Whose actors they are.
    :param num_gpus: How many GPUs all of them need.
    """
    there = ray.cluster_resources().get("GPU", 0)
    if num_gpus > there:
        warnings.warn(
            f"{who} needs {num_gpus:g} GPUs and the Ray cluster has {there:g}: without more some replicas will not start.",
            stacklevel=4,
        )
