"""Which part of the package imports which: an import runs down only, and never in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "sb3_rpd"

#: The parts of the package, the ground floor first. A part imports itself and what is before it.
FLOORS = (
    "common",
    "envs",
    "fast_path",
    "teachers",
    "evaluation",
    "demonstrations",
    "finetuning",
    "rpd",
    "recurrent_rpd",
    "maskable_rpd",
    "export",
    "training",
    "hub",
    "zoo",
    "__init__",
    "cli",
    "__main__",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported_modules(path: Path) -> set[str]:
    """All imports of the file, those inside of functions and for type checkers only included."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            imported |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return imported & MODULES.keys()


def floor(module: str) -> int:
    _, *rest = module.split(".")
    return FLOORS.index(rest[0] if rest else "__init__")


def test_imports_run_down() -> None:
    upward = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        for imported in imported_modules(path)
        if floor(imported) > floor(module)
    ]
    # Names that have always been found in sb3_rpd.teachers, for type checkers; at run time they are looked up when asked for
    assert upward == ["sb3_rpd.teachers imports sb3_rpd.evaluation"]


def test_no_import_runs_in_a_circle() -> None:
    graph = {module: imported_modules(path) - {module} for module, path in MODULES.items()}
    graph["sb3_rpd.teachers"].discard("sb3_rpd.evaluation")
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == MODULES.keys()
