"""The run that the present code belongs to: that of the innermost `with run:` around it, or of its cell."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelship_lab.client.runs import RunHandle

__all__ = ["activated", "active_run"]

_active: "ContextVar[Any]" = ContextVar("mlship_active_run", default=None)


def active_run() -> "RunHandle | None":
    """The run that what happens here belongs to, or None. A new thread begins without one."""
    run: RunHandle | None = _active.get()
    return run


@contextmanager
def activated(run: Any) -> Iterator[None]:
    """Inside, `run` is the active one; afterwards it is the one that was before."""
    before = _active.get()
    _active.set(run)
    try:
        yield
    finally:
        # Not by a token: one cannot be used where the context is another copy, as between two cells.
        _active.set(before)
