"""Imports of real modules: one that is there, one that is not, and some that fail on the way."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sb3_rpd.common.optional_imports import import_optional


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package of which two modules can be imported."""
    folder = tmp_path / "toy_library"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "whole.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def test_what_is_there_is_returned_itself(library: Path) -> None:
    # Not the package, as from `__import__`
    assert import_optional("toy_library.whole", extra="toys").answer == 42


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("no_such_library", "no_such_library"),
        ("no_such_library.part", "no_such_library"),
        ("toy_library.no_such_part", "toy_library.no_such_part"),
    ],
)
def test_what_is_missing_names_its_extra(library: Path, module: str, missing: str) -> None:
    with pytest.raises(ImportError) as caught:
        import_optional(module, extra="toys")
    assert str(caught.value) == (
        f'{module} cannot be imported ({caught.value.__cause__}). Install it with `pip install "sb3_rpd[toys]"`.'
    )
    assert caught.value.name == missing
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("content", "said", "missing"),
    [
        ("import json\nimport no_such_dependency\n", "No module named 'no_such_dependency'", "no_such_dependency"),
        ("from json import no_such_name\n", "cannot import name 'no_such_name' from 'json'", "json"),
        ("raise ImportError('libGL.so.1: cannot open shared object file')\n", "libGL.so.1: cannot open", None),
    ],
    ids=["dependency", "name", "shared library"],
)
def test_what_fails_on_the_way_says_what_was_missing_and_is_tried_again(
    library: Path, content: str, said: str, missing: str | None
) -> None:
    broken = library / "broken.py"
    broken.write_text(content)
    for _ in range(2):
        with pytest.raises(ImportError, match=r"^toy_library\.broken cannot be imported \(.*\[toys\]") as caught:
            import_optional("toy_library.broken", extra="toys")
        assert said in str(caught.value)
        assert caught.value.name == missing


def test_other_errors_of_a_library_are_its_own(library: Path) -> None:
    (library / "faulty.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        import_optional("toy_library.faulty", extra="toys")
