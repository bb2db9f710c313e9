"""The step of an optimizer in less time, in place of the policy's own for as long as a training lasts."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch as th
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

from sb3_rpd.common.cached_tensors import constant

#: They treat each number by itself, so that all parameters may be one vector.
ELEMENTWISE: tuple[type[th.optim.Optimizer], ...] = (th.optim.Adam, th.optim.AdamW, RMSpropTFLike)

#: Where torch keeps the hooks of an optimizer; there is no public way to see whether it has any.
_STEP_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


class FastOptimizer(ABC):
    """
    A context manager. On leaving it, also by an error, the policy's parameters and the state of its optimizer are what the
    optimizer itself would have made of them: nobody who saves, moves or loads them sees a difference.

    :param optimizer: One of ``ELEMENTWISE``, with one group of parameters.
    """

    def __init__(self, optimizer: th.optim.Optimizer) -> None:
        self.optimizer = optimizer
        (self.group,) = optimizer.param_groups
        self.parameters: list[th.nn.Parameter] = self.group["params"]

    @abstractmethod
    def __enter__(self) -> "FastOptimizer": ...

    @abstractmethod
    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def step(self, max_grad_norm: float) -> None:
        """
        Clip the gradient and take one step.

        :param max_grad_norm: The largest norm of the whole gradient.
        """


class FusedOptimizer(FastOptimizer):
    """The policy's own optimizer, told to use its fused implementation if it has one. For gradients from autograd."""

    def __enter__(self) -> "FusedOptimizer":
        self._kind: dict[str, Any] = {name: self.group[name] for name in ("fused", "foreach") if name in self.group}
        if self._kind:
            self.group.update(fused=True, foreach=False)
            self._move_steps(self.parameters[0].device)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.group.update(self._kind)
        if self._kind and not self._kind["fused"]:
            self._move_steps(th.device("cpu"))

    def step(self, max_grad_norm: float) -> None:
        th.nn.utils.clip_grad_norm_(self.parameters, max_grad_norm)
        self.optimizer.step()

    def _move_steps(self, device: th.device) -> None:
        """The fused kinds count their steps on the parameters' device, the others on the CPU."""
        for state in self.optimizer.state.values():
            state["step"] = state["step"].to(device)


class FlatOptimizer(FastOptimizer):
    """
    An optimizer of the same class and options for one vector of all parameters. Inside, each parameter and its ``grad`` is a
    view of that vector and its gradient, and ``grad`` is there to be overwritten. For small networks, in which a parameter has
    less work than administration.
    """

    @staticmethod
    def fits(optimizer: th.optim.Optimizer) -> bool:
        """
        :param optimizer: One of ``ELEMENTWISE``, with one group of parameters.
        :return: Whether it trains all of them alike, and nobody has hooks on its steps or has replaced them.
        """
        steps = {float(state["step"]) for state in optimizer.state.values()}
        is_watched = "step" in vars(optimizer) or any(getattr(optimizer, name, None) for name in _STEP_HOOKS)
        return len(steps) <= 1 and len(optimizer.state) in (0, len(optimizer.param_groups[0]["params"])) and not is_watched

    def __enter__(self) -> "FlatOptimizer":
        self._homes = [parameter.data for parameter in self.parameters]
        self._vector = th.nn.Parameter(th.cat([home.flatten() for home in self._homes]))
        self._vector.grad = self._gradient = th.zeros_like(self._vector.data)
        # A class of torch, with any options: they are in the group
        self._flat: Any = type(self.optimizer)([self._vector])  # type: ignore[call-arg]
        options = {name: value for name, value in self.group.items() if name != "params"}
        (flat_group,) = self._flat.param_groups
        flat_group.update(options)
        if "fused" in flat_group:
            flat_group.update(fused=True, foreach=False)
        self._read_state()
        self._update: Callable[[], Any] = self._first_update
        views = zip(self._views(self._vector.data), self._views(self._gradient), strict=True)
        for parameter, (value, gradient) in zip(self.parameters, views, strict=True):
            parameter.data, parameter.grad = value, gradient
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for parameter, home in zip(self.parameters, self._homes, strict=True):
            home.copy_(parameter.data)
            parameter.data, parameter.grad = home, None
        self._write_state()

    def step(self, max_grad_norm: float) -> None:
        # The gradient times min(1, max_grad_norm / (norm + 1e-6)), as th.nn.utils.clip_grad_norm_ has it
        norm = th.linalg.vector_norm(self._gradient)
        margin, largest = (constant(number, norm.dtype, norm.device) for number in (1e-6, max_grad_norm))
        self._gradient.div_(norm.add_(margin).div_(largest).clamp_(min=1.0))
        self._update()

    def _first_update(self) -> None:
        # It makes its state if there is none yet, and looks at all of its options
        self._flat.step()
        self._update = _update_of(self._flat)

    def _views(self, vector: th.Tensor) -> list[th.Tensor]:
        parts = th.split(vector, [home.numel() for home in self._homes])
        return [part.view(home.shape) for part, home in zip(parts, self._homes, strict=True)]

    def _read_state(self) -> None:
        states = [self.optimizer.state[parameter] for parameter in self.parameters if parameter in self.optimizer.state]
        for name in states[0] if states else ():
            value: Any = states[0][name]
            if name != "step":
                value = th.cat([state[name].flatten() for state in states])
            elif isinstance(value, th.Tensor):
                value = value.to(self._vector.device, copy=True)
            self._flat.state[self._vector][name] = value

    def _write_state(self) -> None:
        for name, value in self._flat.state[self._vector].items():
            if name != "step":
                views = self._views(value)
            else:
                # The fused kinds count on the parameters' device, the others on the CPU
                moves = isinstance(value, th.Tensor) and not self.group["fused"]
                views = [value.cpu() if moves else value] * len(self.parameters)
            for parameter, view in zip(self.parameters, views, strict=True):
                self._write(self.optimizer.state[parameter], name, view)

    @staticmethod
    def _write(state: dict[str, Any], name: str, value: Any) -> None:
        if not isinstance(value, th.Tensor):
            state[name] = value
        elif name in state:
            state[name].copy_(value)
        else:
            state[name] = value.clone()


def _update_of(optimizer: th.optim.Optimizer) -> Callable[[], Any]:
    """
    :param optimizer: One for one tensor, after a step.
    :return: Its further steps, by the fused operation itself where there is one: what torch does around it takes longer than a
        step of a small network.
    """
    if type(optimizer) not in (th.optim.Adam, th.optim.AdamW):
        return optimizer.step
    (group,) = optimizer.param_groups
    # Torch's Adam has had this option for some releases, and its AdamW is one that has taken it
    is_decoupled = group.get("decoupled_weight_decay", type(optimizer) is th.optim.AdamW)
    fused: Callable[..., None] = th._fused_adamw_ if is_decoupled else th._fused_adam_
    (parameter,) = group["params"]
    state = optimizer.state[parameter]
    beta1, beta2 = group["betas"]
    largest = [state["max_exp_avg_sq"]] if group["amsgrad"] else []
    tensors = [parameter], [parameter.grad], [state["exp_avg"]], [state["exp_avg_sq"]], largest, [state["step"]]
    options = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
    one = constant(1.0, state["step"].dtype, state["step"].device)

    def update() -> None:
        state["step"].add_(one)
        fused(*tensors, beta1=beta1, beta2=beta2, **options)

    return update
