"""ManiSkill2 without a renderer: physics, rewards and state observations on a machine without a Vulkan device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from sb3_rpd.envs.vulkan import RenderingUnavailableError


class _Ignored:
    """A material or a camera that nobody will look at: every method call does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy, pickle and numpy probe for these
            raise AttributeError(name)
        return _do_nothing


def _do_nothing(*args: Any, **kwargs: Any) -> None:
    pass


class _Renderer:
    """Stands in for ``sapien.SapienRenderer``, whose constructor needs a Vulkan device."""

    def __init__(self, **kwargs: Any) -> None:
        pass

    def set_log_level(self, level: str) -> None:
        pass

    def create_material(self) -> _Ignored:
        return _Ignored()


class _ActorBuilder:
    """A ``sapien.ActorBuilder`` that leaves out what an actor looks like."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("add_") and "visual" in name:
            return self._skip_visual
        return getattr(self._builder, name)

    def _skip_visual(self, *args: Any, **kwargs: Any) -> "_ActorBuilder":
        return self


class _Scene:
    """A ``sapien.Scene`` without visuals, lights and cameras; everything else is the real scene's."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        # bound here because they run in every simulation step, and __getattr__ is slower than an attribute
        self.step = scene.step
        self.get_contacts = scene.get_contacts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scene, name)

    def create_actor_builder(self) -> _ActorBuilder:
        return _ActorBuilder(self._scene.create_actor_builder())

    def add_ground(self, altitude: float, render: bool = True, material: Any = None, **visual: Any) -> Any:
        return self._scene.add_ground(altitude, render=False, material=material)

    def set_ambient_light(self, color: Any) -> None:
        pass

    def add_directional_light(self, *args: Any, **kwargs: Any) -> None:
        pass

    def add_point_light(self, *args: Any, **kwargs: Any) -> None:
        pass

    def add_camera(self, *args: Any, **kwargs: Any) -> _Ignored:
        return _Ignored()

    def add_mounted_camera(self, *args: Any, **kwargs: Any) -> _Ignored:
        return _Ignored()

    def update_render(self) -> NoReturn:
        raise RenderingUnavailableError(
            "this environment was made without a renderer and has no images: "
            'make it with obs="rgb" or "rgb+state", or with render_mode="rgb_array"'
        )


class _Engine:
    """A ``sapien.Engine`` that takes no renderer and makes scenes without one."""

    def __init__(self) -> None:
        import sapien.core as sapien

        self._engine = sapien.Engine()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def set_renderer(self, renderer: Any) -> None:
        pass

    def create_scene(self, config: Any) -> _Scene:
        return _Scene(self._engine.create_scene(config))


class _SapienModule:
    """The ``sapien.core`` module, its engine and its renderer exchanged."""

    Engine = _Engine
    SapienRenderer = _Renderer

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def physics_only() -> Iterator[None]:
    """
    ManiSkill2 environments made inside this context have no renderer, and keep it so for their whole life.

    Only ``BaseEnv.__init__`` looks the engine and the renderer up, in its own module; each environment then holds
    the engine that it found there. So the exchange is undone on leaving, nothing of sapien itself is patched, and
    environments with and without a renderer live side by side. Physics, rewards and state observations are those
    of an environment with a renderer.
    """
    from mani_skill2.envs import sapien_env

    module = sapien_env.sapien
    sapien_env.sapien = _SapienModule(module)
    try:
        yield
    finally:
        sapien_env.sapien = module
