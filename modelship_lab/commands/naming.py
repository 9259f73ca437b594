"""Which name was meant."""

import difflib
from collections.abc import Iterable

from modelship_lab.records.errors import NotFound


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, if any is."""
    names = list(known)
    by_lower = {one.lower(): one for one in names}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if matches:
        return by_lower[matches[0]]
    return next((one for one in names if name and one.lower().startswith(name.lower())), None)


def with_suggestion(error: NotFound, what: str, name: str, known: Iterable[str]) -> NotFound:
    """The error with the name that was probably meant, or with where the names are to be had."""
    meant = closest(name, known)
    advice = f"Did you mean '{meant}'?" if meant else f"`mlship {what}s` lists those that there are."
    better = NotFound(f"There is no {what} '{name}'. {advice}", error.details)
    better.request_id = error.request_id
    return better
