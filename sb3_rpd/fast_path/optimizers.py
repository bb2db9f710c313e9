"""Adam in one operation for all parameters, in place of the policy's own for as long as a training lasts."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any

import torch as th
from torch.optim.adam import adam

_MOMENTS = ("exp_avg", "exp_avg_sq")
#: Where torch keeps the hooks of an optimizer; there is no public way to see whether it has any.
_STEP_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


class FastOptimizer(ABC):
    """
    A context manager. On leaving it, also by an error, the policy's parameters and the state of its optimizer are what the
    optimizer itself would have made of them: nobody who saves, moves or loads them sees a difference.

    :param optimizer: A ``torch.optim.Adam`` with one group of parameters.
    """

    def __init__(self, optimizer: th.optim.Adam) -> None:
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


class FusedAdam(FastOptimizer):
    """The policy's own optimizer, told to use its fused implementation. For gradients that come from autograd."""

    def __enter__(self) -> "FusedAdam":
        self._kind = {name: self.group[name] for name in ("fused", "foreach")}
        self.group.update(fused=True, foreach=False)
        self._move_steps(self.parameters[0].device)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.group.update(self._kind)
        if not self._kind["fused"]:
            self._move_steps(th.device("cpu"))

    def step(self, max_grad_norm: float) -> None:
        th.nn.utils.clip_grad_norm_(self.parameters, max_grad_norm)
        self.optimizer.step()

    def _move_steps(self, device: th.device) -> None:
        """Fused Adam counts its steps on the parameters' device, the other kinds on the CPU."""
        for state in self.optimizer.state.values():
            state["step"] = state["step"].to(device)


class FlatAdam(FastOptimizer):
    """
    One vector for all parameters, one for all gradients. Inside, each parameter and its ``grad`` is a view of them, and
    ``grad`` is there to be overwritten. For small networks, in which a parameter has less work than administration.
    """

    @staticmethod
    def fits(optimizer: th.optim.Adam) -> bool:
        """
        :param optimizer: A ``torch.optim.Adam`` with one group of parameters.
        :return: Whether it trains all of them alike, and nobody has hooks on its steps or has replaced them.
        """
        steps = {float(state["step"]) for state in optimizer.state.values()}
        is_watched = "step" in vars(optimizer) or any(getattr(optimizer, name, None) for name in _STEP_HOOKS)
        return len(steps) <= 1 and len(optimizer.state) in (0, len(optimizer.param_groups[0]["params"])) and not is_watched

    def __enter__(self) -> "FlatAdam":
        self._homes = [parameter.data for parameter in self.parameters]
        self._vector = th.cat([home.flatten() for home in self._homes])
        self._gradient = th.zeros_like(self._vector)
        self._state = self._flat_state()
        views = zip(self._views(self._vector), self._views(self._gradient), strict=True)
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
        self._gradient.div_(norm.add_(1e-6).div_(max_grad_norm).clamp_(min=1.0))
        beta1, beta2 = self.group["betas"]
        adam(
            [self._vector],
            [self._gradient],
            [self._state["exp_avg"]],
            [self._state["exp_avg_sq"]],
            [],
            [self._state["step"]],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=beta1,
            beta2=beta2,
            lr=self.group["lr"],
            weight_decay=self.group["weight_decay"],
            eps=self.group["eps"],
        )

    def _views(self, vector: th.Tensor) -> list[th.Tensor]:
        parts = th.split(vector, [home.numel() for home in self._homes])
        return [part.view(home.shape) for part, home in zip(parts, self._homes, strict=True)]

    def _flat_state(self) -> dict[str, th.Tensor]:
        states = [self.optimizer.state[parameter] for parameter in self.parameters if parameter in self.optimizer.state]
        if not states:
            moments = {name: th.zeros_like(self._vector) for name in _MOMENTS}
            return {"step": th.zeros((), device=self._vector.device), **moments}
        moments = {name: th.cat([state[name].flatten() for state in states]) for name in _MOMENTS}
        return {"step": states[0]["step"].to(self._vector.device, copy=True), **moments}

    def _write_state(self) -> None:
        step = self._state["step"] if self.group["fused"] else self._state["step"].cpu()
        views = {name: self._views(self._state[name]) for name in _MOMENTS}
        for index, parameter in enumerate(self.parameters):
            state: dict[str, Any] = self.optimizer.state[parameter]
            for name, value in {"step": step, **{name: views[name][index] for name in _MOMENTS}}.items():
                if name in state:
                    state[name].copy_(value)
                else:
                    state[name] = value.clone()
