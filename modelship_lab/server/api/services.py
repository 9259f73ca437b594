"""What endpoints are answered by: one object with the service of each capability."""

import asyncio
from dataclasses import dataclass

from modelship_lab.records.events import LabInfo
from modelship_lab.server.api.blob_access import BlobAccess
from modelship_lab.server.api.open_sockets import Sockets
from modelship_lab.server.events.hub import Hub
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.events.webhooks import Webhooks
from modelship_lab.server.identity.accounts import Accounts
from modelship_lab.server.identity.audit import Audit
from modelship_lab.server.identity.credentials import Credentials
from modelship_lab.server.identity.credits import Ledger
from modelship_lab.server.identity.keys import ApiKeys
from modelship_lab.server.identity.limits import Limits
from modelship_lab.server.identity.passwords import Passwords
from modelship_lab.server.identity.sessions import Sessions
from modelship_lab.server.jobs.data_files import DataFiles
from modelship_lab.server.jobs.jobs import Jobs
from modelship_lab.server.labeling.automatic import AutomaticLabels
from modelship_lab.server.labeling.embeddings import Embeddings
from modelship_lab.server.labeling.exports import Exports
from modelship_lab.server.labeling.groups import Groups
from modelship_lab.server.labeling.imports import Imports
from modelship_lab.server.labeling.label_errors import LabelErrors
from modelship_lab.server.labeling.labels import Labels
from modelship_lab.server.labeling.light_model import LightModel
from modelship_lab.server.labeling.partial_uploads import PartialUploads
from modelship_lab.server.labeling.progress import ProgressCounts
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.labeling.quality import LabelQuality
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.labeling.requests import Requests
from modelship_lab.server.labeling.samples import Samples
from modelship_lab.server.labeling.selections import Selections
from modelship_lab.server.labeling.snapshots import Snapshots
from modelship_lab.server.labeling.suggestions import Suggestions
from modelship_lab.server.labeling.undoing import Undoing
from modelship_lab.server.monitoring.deployment_metrics import ServingMetrics
from modelship_lab.server.monitoring.machine import Machine
from modelship_lab.server.registry.bundles import BundleStore
from modelship_lab.server.registry.mirror import ModelMirror
from modelship_lab.server.registry.models import Models
from modelship_lab.server.serving.deployments import Deployments
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.data_dir import DataDir
from modelship_lab.server.storage.database import Database
from modelship_lab.server.storage.workspace import Workspace
from modelship_lab.server.tables.tables import Tables
from modelship_lab.server.tracking.artifacts import Artifacts
from modelship_lab.server.tracking.experiments import Experiments
from modelship_lab.server.tracking.heartbeats import Heartbeats
from modelship_lab.server.tracking.metrics import RunMetrics
from modelship_lab.server.tracking.run_table import RunTable
from modelship_lab.server.tracking.runs import Runs
from modelship_lab.server.tracking.series import MetricSeries
from modelship_lab.server.tracking.trainings import ModelExports, Trainings


@dataclass
class Services:
    """Built once by the extension; handed to every endpoint."""

    info: LabInfo
    token: str
    data_dir: DataDir
    database: Database
    workspace: Workspace
    blobs: Blobs
    blob_access: BlobAccess
    events: EventLog
    hub: Hub
    sockets: Sockets
    limits: Limits
    credits: Ledger
    webhooks: Webhooks
    passwords: Passwords
    accounts: Accounts
    sessions: Sessions
    keys: ApiKeys
    credentials: Credentials
    audit: Audit
    counts: ProgressCounts
    queue: LabelQueue
    requests: Requests
    projects: Projects
    imports: Imports
    partial_uploads: PartialUploads
    exports: Exports
    samples: Samples
    selections: Selections
    groups: Groups
    labels: Labels
    undoing: Undoing
    quality: LabelQuality
    suggestions: Suggestions
    jobs: Jobs
    light_model: LightModel
    automatic: AutomaticLabels
    embeddings: Embeddings
    label_errors: LabelErrors
    snapshots: Snapshots
    runs: Runs
    run_table: RunTable
    heartbeats: Heartbeats
    metrics: RunMetrics
    series: MetricSeries
    artifacts: Artifacts
    trainings: Trainings
    model_exports: ModelExports
    data_files: DataFiles
    experiments: Experiments
    machine: Machine
    bundles: BundleStore
    models: Models
    model_mirror: ModelMirror
    deployments: Deployments
    deployment_metrics: ServingMetrics
    tables: Tables

    async def start(self) -> None:
        """Begin what runs by itself; called once the server listens."""
        self.hub.start()
        self.sockets.start()
        await self.webhooks.start()
        self.keys.start()
        self.heartbeats.start()
        await self.imports.start()
        await self.jobs.start()
        self.light_model.start()
        await self.model_mirror.start()
        await self.deployments.start()
        self.deployment_metrics.start(self.deployments.workers)

    async def stop(self) -> None:
        """End what runs by itself, finish what is being written, and let the data directory go."""
        await self.sockets.stop()
        await self.imports.stop()
        await self.exports.stop()
        self.light_model.stop()
        await self.jobs.stop()
        await self.model_mirror.stop()
        await self.heartbeats.stop()
        await self.deployments.stop()
        await self.deployment_metrics.stop()
        await self.webhooks.stop()
        self.passwords.close()
        await self.keys.stop()
        await asyncio.to_thread(self.database.close)
        self.data_dir.release()
