"""What tests of several simulators share."""

import pytest


@pytest.fixture
def no_variable_chooses_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vulkan looks at all of its drivers."""
    for variable in ("VK_ICD_FILENAMES", "VK_DRIVER_FILES"):
        monkeypatch.delenv(variable, raising=False)
