"""Do something when a module has been imported, however much later."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["forget", "when_imported"]


def when_imported(name: str, work: Callable[[], None]) -> None:
    """Do it now if the module is there, else as soon as it has been imported, once.

    Args:
        name: of the module.
        work: must not raise.
    """
    if name in sys.modules:
        work()
        return
    _finder.waiting[name] = work
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget(name: str) -> None:
    """No longer wait for the module."""
    _finder.waiting.pop(name, None)
    _leave()


def _leave() -> None:
    if not _finder.waiting and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


class _Finder(MetaPathFinder):
    """Has the others find the module, and hangs itself in for the one time that it is executed."""

    def __init__(self) -> None:
        self.waiting: dict[str, Callable[[], None]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.waiting:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec, spec.loader)
                return spec
        return None


class _Loader(Loader):
    def __init__(self, spec: ModuleSpec, original: Loader) -> None:
        self._spec = spec
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module must not see that anybody was here.
        self._spec.loader = module.__loader__ = self._original
        self._original.exec_module(module)
        work = _finder.waiting.pop(self._spec.name, None)
        _leave()
        if work is not None:
            work()


_finder = _Finder()
