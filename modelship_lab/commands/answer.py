"""What is said about a sample, as it is typed."""

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import Kind


def answer_of(text: str, kind: Kind) -> str | list[str] | float:
    """A class; several of them, separated by commas; or a number, by what a project tells about its samples.

    Raises:
        InvalidInput: a number is expected, and it is none.
    """
    if kind == "labels":
        return [one.strip() for one in text.split(",")]
    if kind != "number":
        return text
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"'{text}' is not a number, and a number is what this project tells.") from None
