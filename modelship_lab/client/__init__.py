"""The Python client of the lab server: projects, runs, models and deployments from a program or notebook."""

from modelship_lab.client.jobs import JobHandle
from modelship_lab.client.lab import Lab, connect
from modelship_lab.client.projects import ProjectHandle
from modelship_lab.client.runs import RunHandle
from modelship_lab.client.snapshots import SnapshotData

__all__ = ["JobHandle", "Lab", "ProjectHandle", "RunHandle", "SnapshotData", "connect"]
