"""The lab itself in words, and what is only done."""

from modelship_lab.commands.description.words import (
    Description,
    describe,
    moment,
)
from modelship_lab.commands.results import (
    Done,
)
from modelship_lab.learning.autolog import Autologging
from modelship_lab.records.events import LabInfo


@describe.register
def _(value: Done) -> Description:
    return Description(value.message)


@describe.register
def _(value: Autologging) -> Description:
    if not value.logged:
        return Description("Autologging is off")
    note = "`%mlship autolog --off` leaves them as they were."
    return Description("Autologging is on", tuple(value.logged.items()), note=note)


@describe.register
def _(value: LabInfo) -> Description:
    return Description(
        f"Lab at {value.url}",
        (
            *([("data", value.data_dir)] if value.data_dir else []),
            ("version", value.version),
            *([("process", str(value.pid))] if value.pid else []),
            ("running since", moment(value.started_at)),
            *(
                [
                    (
                        "not stored",
                        f"{value.refused_rows:,} rows, which are in the table refused_rows with the reason",
                    )
                ]
                if value.refused_rows
                else []
            ),
            *([("disk", "full: make room")] if value.lacks_room else []),
        ),
    )
