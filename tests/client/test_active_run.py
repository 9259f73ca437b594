"""Which run the code belongs to that is executed now."""

import threading

import pytest

from modelship_lab import client
from modelship_lab.client.active_run import activated, active_run


def test_the_innermost_run_around_the_code_is_active(lab: client.Lab) -> None:
    assert active_run() is None
    with lab.start_run("outer") as outer:
        assert active_run() is outer
        with lab.start_run("inner") as inner:
            assert active_run() is inner
        assert active_run() is outer
    assert active_run() is None


def test_an_exception_leaves_no_run_active(lab: client.Lab) -> None:
    with pytest.raises(ZeroDivisionError), lab.start_run("fails"):
        1 / 0  # noqa: B018
    assert active_run() is None


def test_another_thread_begins_without_a_run() -> None:
    found = []
    with activated("mine"):
        thread = threading.Thread(target=lambda: found.append(active_run()))
        thread.start()
        thread.join()
    assert found == [None]
