"""What the parts of a lab have in common."""

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab


class LabPart:
    """A part of `Lab`; it is nothing by itself."""

    @property
    def _lab(self) -> "Lab":
        return cast("Lab", self)
