"""Keep the chatter of Lightning and torch's exporter out of the notebook."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.pytorch",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
    "lightning.fabric",
    "torch.onnx._internal.exporter._registration",
)
_quiet_threads: set[int] = set()


class _OnlyErrors(logging.Filter):
    """Drops what is not an error in threads that want quiet; others stay as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or threading.get_ident() not in _quiet_threads


_filter = _OnlyErrors()


@contextmanager
def quiet() -> Iterator[None]:
    """In this thread, Lightning and torch's exporter log nothing but errors."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)  # a second time is no time
    # Lightning's own use of torch, which nobody in a notebook can change. `catch_warnings` would not do:
    # it changes the filters of all threads and puts back old ones when it ends.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    # A pretrained network that is not trained stays as it predicts.
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
    # Small data have few batches: there is nothing to be set.
    warnings.filterwarnings("ignore", message=r"The number of training batches")
    # Two inputs have the same number of rows: so they should.
    warnings.filterwarnings("ignore", message=r"# The axis name: .* will not be used")
    _quiet_threads.add(threading.get_ident())
    try:
        yield
    finally:
        _quiet_threads.discard(threading.get_ident())
