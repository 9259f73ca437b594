"""Texts as tokens with a tag each, which say where spans begin and go on (IOB2, as CoNLL files have it)."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from modelship_lab.records.errors import InvalidInput

_TOKEN = re.compile(r"\w+|[^\w\s]")

OUTSIDE = "O"


def spans_of(tokens: Sequence[str], tags: Any, starts: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """The spans that tags mark: `B-X` begins one of class X, `I-X` goes on, `O` is outside of any.

    What goes on where nothing began begins one (IOB1); `E-` and `S-`, which other schemes end a span or make
    one of a single token with, are read too.

    Args:
        starts: where each token begins in the text; by default one blank lies between two tokens.

    Raises:
        InvalidInput: there are not as many tags as tokens, or one is no tag.
    """
    if not isinstance(tags, list | tuple) or len(tags) != len(tokens):
        raise InvalidInput("there are not as many tags as tokens")
    found: list[dict[str, Any]] = []
    position, open_label = 0, ""
    for number, (token, tag) in enumerate(zip(tokens, tags, strict=True)):
        start = position if starts is None else starts[number]
        position = start + len(token) + 1
        if not isinstance(tag, str):
            raise InvalidInput(f"'{str(tag)[:60]}' is no tag: O, B-… or I-… is expected")
        if tag in ("", OUTSIDE):
            open_label = ""
            continue
        mark, dash, label = tag.partition("-")
        if not dash or mark not in ("B", "I", "E", "S", "L", "U"):
            raise InvalidInput(f"'{tag[:60]}' is no tag: O, B-… or I-… is expected")
        if mark in "IEL" and label == open_label:
            found[-1]["end"] = start + len(token)
        else:
            found.append({"start": start, "end": start + len(token), "label": label})
        open_label = "" if mark in "ELSU" else label
    return found


class Part(NamedTuple):
    """A span: as a record of these, a hundred thousand of them take seconds to make."""

    start: int
    end: int
    label: str


Run = tuple[list[str], str]
"""Tokens one after the other with their label: those of a span, or those between two of them, whose label is empty."""


def runs_of(text: str, spans: Iterable[Part]) -> tuple[list[Run], list[Part]]:
    """The tokens of a text, and the spans that overlap another one and have no place in it.

    Tokens are words (letters, digits and underscores) and single other characters; where a span begins or ends
    within one, it is cut there, so that every span is whole.
    """
    runs: list[Run] = []
    left_out: list[Part] = []
    at = 0
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        inside = _TOKEN.findall(text, span.start, span.end)
        if span.start < at or not inside:
            # It overlaps the one before, or there is nothing but blanks.
            left_out.append(span)
            continue
        runs.append((_TOKEN.findall(text, at, span.start), ""))
        runs.append((inside, span.label))
        at = span.end
    runs.append((_TOKEN.findall(text, at), ""))
    return runs, left_out
