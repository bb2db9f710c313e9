"""Names of the form "package.module:factory"."""

import sys
from types import ModuleType

import pytest

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.factories import find_factory


@pytest.fixture
def some_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("some_module")
    monkeypatch.setitem(sys.modules, "some_module", module)
    return module


def test_factory_is_found_and_not_called(some_module: ModuleType) -> None:
    some_module.make = lambda size=3: [0] * size
    assert find_factory("some_module:make", "environment") is some_module.make
    some_module.no_signature = dict
    assert find_factory("some_module:no_signature", "environment") is dict


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some_module", "The environment 'some_module' is not of the form 'package.module:factory'"),
        ("no_such_package:make", "The module of the environment 'no_such_package:make' cannot be imported: No module named"),
        ("some_module:mkae", "The environment 'some_module:mkae' is not there: its module has nothing called 'mkae'"),
        ("some_module:number", "names a int, which is no factory"),
        (
            "some_module:sized",
            r"at test_factories\.py:\d+, which cannot be called without arguments: missing .*'size'.*`return sized`",
        ),
        ("y" * 5000, r"characters more.* is not of the form"),
        (f"some_module:{'y' * 5000}", r"characters more.* is not there"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(some_module: ModuleType, name: str, message: str) -> None:
    some_module.number = 3
    some_module.sized = lambda size: [0] * size
    with pytest.raises(TeacherError, match=message) as caught:
        find_factory(name, "environment")
    assert len(str(caught.value)) < 1000
