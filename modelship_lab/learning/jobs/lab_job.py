"""A job that speaks to the lab: what it is told, and how it tells how far it is."""

import os
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from modelship_lab.client import Lab
from modelship_lab.client.connection import Connection
from modelship_lab.client.discovery import Address, announcement
from modelship_lab.records.errors import Unauthenticated
from modelship_lab.records.jobs import JobProgress

PROGRESS = "progress.json"

PATIENCE_S = 24 * 3600.0
"""How long a job waits for the lab server to come back before it gives up."""

_TELL_EVERY_S = 0.3


class JobCredential:
    """The token of one job, which nobody renews."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return self._token

    def renew(self, refused: str) -> None:
        raise Unauthenticated(
            "The job's credential is no longer valid: the job was ended, or its account changed."
        )


@dataclass
class LabJob:
    """What a job is told, and how it tells how far it is.

    Args:
        folder: its own.
        order: what it is told.
        lab: the lab, with the job's credential.
        token: that credential.
        stop: set when it is asked to end.
    """

    folder: Path
    order: dict[str, Any]
    lab: Lab
    token: str = field(repr=False)
    stop: threading.Event

    def __post_init__(self) -> None:
        self._told_at_s = 0.0

    def tell(self, progress: JobProgress, *, now: bool = False) -> None:
        """Say how far it is; what comes too fast is passed over.

        Args:
            now: this must not be.
        """
        if self.is_due(now):
            written(self.folder / PROGRESS, progress.model_dump(mode="json"))

    def is_due(self, now: bool) -> bool:
        """Whether it is time to tell again; if so, the next time is reckoned from here."""
        moment = time.monotonic()
        if not now and moment - self._told_at_s <= _TELL_EVERY_S:
            return False
        self._told_at_s = moment
        return True


def connected(token: str, data_dir: Path, url: str | None = None) -> Lab:
    """The lab, with a job's credential.

    Args:
        token: the credential.
        data_dir: where spools and caches are kept, and the server of this machine announces where it is.
        url: where the server is, for another machine.
    """
    if url is not None:
        elsewhere = Connection(Address(url, ""), patience_s=PATIENCE_S, credential=JobCredential(token))
        return Lab(elsewhere, data_dir)
    address = announcement(data_dir)
    # The announcement has the lab's own token, which is none of a job's business: its credential takes the place.
    connection = Connection(
        Address("http://127.0.0.1:1/" if address is None else address.url, ""),
        partial(announcement, data_dir),
        patience_s=PATIENCE_S,
        credential=JobCredential(token),
    )
    return Lab(connection, data_dir)


def written(file: Path, content: dict[str, Any]) -> None:
    """Write a file all at once."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(orjson.dumps(content))
    temporary.replace(file)
