"""What waits for an import is done when the module is there, and leaves nothing behind."""

import importlib
import sys
from pathlib import Path

import pytest

from modelship_lab.learning.autolog.imports import forget, when_imported


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "imported_later_than_hooked"
    (tmp_path / f"{name}.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_it_is_done_after_the_module_was_executed_and_once(module: str) -> None:
    finders = list(sys.meta_path)
    seen = []
    when_imported(module, lambda: seen.append(sys.modules[module].answer))
    assert not seen
    imported = importlib.import_module(module)
    assert seen == [42]
    assert sys.meta_path == finders
    assert type(imported.__loader__).__name__ == "SourceFileLoader"
    assert imported.__spec__.loader is imported.__loader__
    when_imported(module, lambda: seen.append("at once"))
    assert seen == [42, "at once"]


def test_what_is_forgotten_is_not_done(module: str) -> None:
    finders = list(sys.meta_path)
    when_imported(module, lambda: pytest.fail("was forgotten"))
    forget(module)
    importlib.import_module(module)
    assert sys.meta_path == finders
