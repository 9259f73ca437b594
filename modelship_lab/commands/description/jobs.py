"""Background jobs in words."""

from modelship_lab.client.jobs import JobHandle, state
from modelship_lab.commands.description.words import Description, describe, moment
from modelship_lab.records.jobs import Job


@describe.register
def _(value: Job) -> Description:
    facts = [("state", state(value))]
    if value.project:
        facts.append(("project", value.project))
    if value.run_id is not None:
        facts.append(("run", str(value.run_id)))
    if value.epochs:
        facts.append(("epoch", f"{value.epoch} of {value.epochs}"))
    if value.steps:
        facts.append(("step", f"{value.step:,} of {value.steps:,}"))
    facts.append(("begun", f"{moment(value.created_at)} by {value.author}"))
    note = f"`mlship logs {value.id} --follow` shows what it logs, `mlship cancel {value.id}` ends it."
    return Description(f"Job {value.id}: {value.kind}", tuple(facts), note=note)


@describe.register
def _(value: JobHandle) -> Description:
    return describe(value.record)
