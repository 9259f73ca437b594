"""CoNLL: a token on each line, its tag (IOB2) in the last column, an empty line behind each sentence.

Comments tell what the columns cannot: `# text = …` the text as it was, with the blanks between its tokens (as a JSON text if
it has line breaks in it), and `# name`, `# group` and `# split`. Without the text, one blank lies between two tokens.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import Project
from modelship_lab.server.labeling.formats.delimited import MAX_LINE
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import (
    BATCH_BYTES,
    BATCH_ROWS,
    MAX_VALUE_CHARACTERS,
    Batch,
    Problems,
)
from modelship_lab.server.labeling.formats.tokens import OUTSIDE, Part, runs_of, spans_of

_SAID = ("name", "group", "split")
_BETWEEN = f"\t{OUTSIDE}\n"
"""What stands between two tokens that belong to no span."""


class ConllReader:
    """A UTF-8 file of sentences; columns are separated by tabs or blanks."""

    untyped = False
    columns = ("text", "label", *_SAID)
    roles = {name: name for name in columns}

    def __init__(self, path: Path, project: Project) -> None:
        self._path = path

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        rows: list[int] = []
        found: list[dict[str, Any]] = []
        number = size = 0

        def batch() -> Batch:
            return Batch(rows, {name: [one.get(name) for one in found] for name in wanted}, number)

        for number, lines in enumerate(self._sentences(), 1):
            try:
                found.append(_sample(lines))
                rows.append(number)
            except InvalidInput as error:
                problems.add(number, error.message)
            size += sum(map(len, lines))
            if len(rows) >= BATCH_ROWS or size > BATCH_BYTES:
                yield batch()
                rows, found, size = [], [], 0
        yield batch()

    def _sentences(self) -> Iterator[list[str]]:
        lines: list[str] = []
        size = 0
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            while line := file.readline(MAX_LINE):
                line = line.rstrip("\r\n")
                if line.strip():
                    size += len(line)
                    # What is too long is refused by its length; all of it need not be in memory.
                    if size <= 4 * MAX_VALUE_CHARACTERS:
                        lines.append(line)
                    elif lines[-1] != "":
                        lines.append("")
                elif lines:
                    if _has_tokens(lines):
                        yield lines
                    lines, size = [], 0
            if _has_tokens(lines):
                yield lines


class ConllWriter:
    """A file with two columns, token and tag.

    Tokens are words (letters, digits and underscores) and single other characters; where a span begins or ends
    within one, it is cut there. Of spans that overlap, only the first one has a place in such a file.
    """

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, samples: Sequence[LabeledSample]) -> None:
        lines: list[str] = []
        for sample in samples:
            text = sample.text or ""
            runs, left_out = runs_of(
                text, [Part(one["start"], one["end"], one["label"]) for one in sample.value or ()]
            )
            for span in left_out:
                self._outgoing.problems.add(
                    sample.id,
                    f"the span {span.start}–{span.end} ({span.label}) overlaps another one, or is blank",
                )
            plain = text.isprintable() and text == text.strip() and not text.startswith('"')
            lines.append(f"# text = {text if plain else orjson.dumps(text).decode()}")
            for name in _SAID:
                said = getattr(sample, name)
                if said is not None and said.isprintable():
                    lines.append(f"# {name} = {said}")
            for tokens, label in runs:
                if not tokens:
                    continue
                if label:
                    lines.append(f"{tokens[0]}\tB-{label}")
                    lines += [f"{token}\tI-{label}" for token in tokens[1:]]
                else:
                    lines.append(_BETWEEN.join(tokens) + _BETWEEN[:-1])
            lines.append("")
        lines.append("")
        self._file.write("\n".join(lines))

    def close(self) -> None:
        self._file.close()


def _has_tokens(lines: list[str]) -> bool:
    return any(not _is_comment(line) and not line.startswith("-DOCSTART-") for line in lines)


def _is_comment(line: str) -> bool:
    return line.startswith("# ") and "\t" not in line


def _sample(lines: list[str]) -> dict[str, Any]:
    if "" in lines:
        raise InvalidInput("the sentence has more than 1 million characters")
    said: dict[str, Any] = {}
    tokens: list[str] = []
    tags: list[str] = []
    for line in lines:
        if _is_comment(line):
            name, equals, value = line[2:].partition(" = ")
            if equals:
                said[name.strip()] = value
            continue
        columns = line.split("\t") if "\t" in line else line.split()
        if columns[0] == "-DOCSTART-":
            continue
        if len(columns) < 2 or not columns[0]:
            raise InvalidInput(f"a token and its tag are expected on each line, not '{line[:60]}'")
        if any(0xDC80 <= ord(character) <= 0xDCFF for character in line):
            raise InvalidInput("encoding: a line is not UTF-8; name the file's encoding with `encoding`")
        tokens.append(columns[0])
        tags.append(columns[-1].strip())
    text = " ".join(tokens)
    starts = _starts(said.pop("text", None), tokens)
    if starts is not None:
        text, places = starts
        said["label"] = spans_of(tokens, tags, places)
    else:
        said["label"] = spans_of(tokens, tags)
    return {**said, "text": text}


def _starts(said: str | None, tokens: Sequence[str]) -> tuple[str, list[int]] | None:
    """The text that a comment tells with the place of each token in it; None if they are not of one another."""
    if said is None:
        return None
    if said.startswith('"'):
        try:
            loaded = orjson.loads(said)
        except orjson.JSONDecodeError:
            loaded = said
        said = loaded if isinstance(loaded, str) else said
    places = []
    position = 0
    for token in tokens:
        place = said.find(token, position)
        if place < 0 or said[position:place].strip():
            return None
        places.append(place)
        position = place + len(token)
    return None if said[position:].strip() else (said, places)
