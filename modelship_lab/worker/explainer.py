"""Explanations on a thread of their own, so that plain predictions do not wait for them."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

from modelship_lab.bundles.explain import explain
from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.errors import InvalidInput, TimedOut, TooManyRequests, Unavailable
from modelship_lab.records.serving import Attribution

__all__ = ["MAX_INPUTS", "Explainer"]

MAX_INPUTS = 32
"""One explanation costs as much as thousands of predictions, so one request gets so many at most."""

_MAX_WAITING = 16


class Explainer:
    """Explains one request at a time.

    Args:
        model: the loaded bundle.
        timeout_s: a request that has no answer after this long fails.
    """

    def __init__(self, model: BundleModel, timeout_s: float = 30) -> None:
        self.model = model
        self.timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting = 0
        self._stopping = Event()

    async def explain(self, inputs: Sequence[Any], labels: Sequence[str | None]) -> list[Attribution]:
        """Explain each input's probability of its label, or its number where the label is None.

        Raises:
            InvalidInput: more than `MAX_INPUTS` inputs, or an unknown label.
            TooManyRequests: too many explanations wait.
            TimedOut: no answer in time.
            Unavailable: the worker stops.
        """
        if len(inputs) > MAX_INPUTS:
            raise InvalidInput(
                f"{len(inputs)} inputs are too many to explain at once; at most {MAX_INPUTS} are taken"
            )
        if self._waiting >= _MAX_WAITING:
            raise TooManyRequests("too many explanations are waiting; try again in a few seconds")
        given_up = Event()
        self._waiting += 1
        try:
            task = asyncio.get_running_loop().run_in_executor(
                self._thread, self._explain_all, inputs, labels, given_up
            )
            async with asyncio.timeout(self.timeout_s):
                return await task
        except TimeoutError:
            raise TimedOut(f"the explanation took more than {self.timeout_s:g} s") from None
        finally:
            given_up.set()
            self._waiting -= 1

    def stop(self) -> None:
        """Give up what waits and end the thread."""
        self._stopping.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _explain_all(
        self, inputs: Sequence[Any], labels: Sequence[str | None], given_up: Event
    ) -> list[Attribution]:
        attributions = []
        for input, label in zip(inputs, labels, strict=True):
            if self._stopping.is_set():
                raise Unavailable("the model worker is stopping")
            if given_up.is_set():  # nobody waits for the rest
                break
            attributions.append(explain(self.model, input, label))
        return attributions
