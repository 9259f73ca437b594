"""The fields of urlencoded and multipart forms."""

from typing import Any

from tornado.httputil import HTTPInputError, parse_body_arguments

from modelship_lab.records.errors import InvalidInput, UnsupportedMediaType

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def form_fields(content: bytes, content_type: str) -> dict[str, list[str]]:
    """All values of each field of a form.

    Args:
        content: the body.
        content_type: its type with its parameters, as it was sent; without one it is taken as urlencoded.

    Raises:
        UnsupportedMediaType: it is labeled as something else than a form.
        InvalidInput: it cannot be read as what it is labeled, or has files in it.
    """
    kind = content_type.split(";")[0].strip().lower()
    if kind and kind not in FORMS:
        raise UnsupportedMediaType(f"Send a form: {' or '.join(FORMS)}.")
    fields: dict[str, list[bytes]] = {}
    files: dict[str, Any] = {}
    try:
        parse_body_arguments(content_type if kind else FORMS[0], content, fields, files)
        decoded = {name: [value.decode() for value in values] for name, values in fields.items()}
    except (HTTPInputError, ValueError) as error:
        raise InvalidInput("The form cannot be read: it is malformed, too long or no UTF-8.") from error
    if files:
        raise InvalidInput(
            "This form takes no files.", [{"field": name, "reason": "is a file"} for name in files]
        )
    return decoded
