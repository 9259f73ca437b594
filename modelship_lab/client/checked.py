"""Records made from what a user gave, with an error of the lab when they cannot be."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from modelship_lab.records.errors import InvalidInput

RecordType = TypeVar("RecordType", bound=BaseModel)


def checked(kind: type[RecordType], **fields: Any) -> RecordType:
    """A record of the fields.

    Raises:
        InvalidInput: with every field that is wrong. Values are left out: they may be long or secret.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        problems = [
            {
                "field": ".".join(str(part) for part in problem["loc"]),
                "reason": problem["msg"].removeprefix("Value error, "),
            }
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    # What is wrong with fields together has no field's name.
    said = "; ".join(f"{each['field']}: {each['reason']}".removeprefix(": ") for each in problems[:5])
    raise InvalidInput(f"{said}.", problems)
