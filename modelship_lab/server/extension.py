"""The Jupyter server extension: settings and wiring. The one place where services are built."""

import os
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Dict, Float, Integer, List, Unicode

from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import AlreadyOpen, InvalidInput, LabError, StorageFailed
from modelship_lab.records.events import LabInfo
from modelship_lab.server import dialects
from modelship_lab.server.api import routes
from modelship_lab.server.api.blob_access import BlobAccess
from modelship_lab.server.api.dialect import NATIVE
from modelship_lab.server.api.dispatch import REQUEST_TIMEOUT
from modelship_lab.server.api.open_sockets import Sockets
from modelship_lab.server.api.services import Services
from modelship_lab.server.events.hub import Hub
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.events.targets import Targets
from modelship_lab.server.events.webhooks import Webhooks
from modelship_lab.server.identity.accounts import Accounts
from modelship_lab.server.identity.audit import Audit
from modelship_lab.server.identity.credentials import Credentials
from modelship_lab.server.identity.credits import Ledger, checked_costs
from modelship_lab.server.identity.job_tokens import JobTokens
from modelship_lab.server.identity.keys import ApiKeys
from modelship_lab.server.identity.limits import Limits, configured_limits
from modelship_lab.server.identity.passwords import Passwords
from modelship_lab.server.identity.policy import OWNER_ID
from modelship_lab.server.identity.sessions import Sessions
from modelship_lab.server.jobs.data_files import DataFiles
from modelship_lab.server.jobs.jobs import Jobs
from modelship_lab.server.labeling.automatic import AutomaticLabels
from modelship_lab.server.labeling.embeddings import Embeddings
from modelship_lab.server.labeling.exports import Exports
from modelship_lab.server.labeling.follow_ups import FollowUps
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
from modelship_lab.server.labeling.request_rows import RequestRows
from modelship_lab.server.labeling.requests import Requests
from modelship_lab.server.labeling.sample_lists import SampleLists
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
from modelship_lab.server.serving.engine import LocalEngine
from modelship_lab.server.serving.store import DeploymentStore
from modelship_lab.server.serving.supervisor import Supervisor
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.data_dir import DataDir
from modelship_lab.server.storage.database import Database
from modelship_lab.server.storage.workspace import Workspace
from modelship_lab.server.tables.tables import Tables
from modelship_lab.server.tracking.artifacts import Artifacts
from modelship_lab.server.tracking.experiments import Experiments
from modelship_lab.server.tracking.heartbeats import Heartbeats
from modelship_lab.server.tracking.metrics import RunMetrics
from modelship_lab.server.tracking.mlflow import Mlflow
from modelship_lab.server.tracking.run_table import RunTable
from modelship_lab.server.tracking.runs import Runs
from modelship_lab.server.tracking.series import MetricSeries
from modelship_lab.server.tracking.trainings import ModelExports, Trainings
from modelship_lab.version import __version__

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ServerAlone(ServerApp):
    """The Jupyter server of `mlship serve`, without kernels and files: the lab's token is no key to a shell."""

    default_services = ("api", "auth", "security", "shutdown")  # type: ignore[assignment]


class ModelShipLab(ExtensionApp):
    """ModelShip Lab inside a Jupyter server, or alone as `mlship serve`.

    Its name is that of its section in Jupyter's configuration; `LabApp` is JupyterLab's.
    """

    name = "modelship_lab"
    app_name = "ModelShip Lab"
    extension_url = "/mlship/docs"
    load_other_extensions = False
    open_browser = False

    data_dir = Unicode(
        help="Folder of the database, blobs and bundles. Default: MLSHIP_HOME, else below Jupyter's."
    ).tag(config=True)
    lab_token = Unicode(
        help="Bearer credential with all permissions. Default: one that is kept in the data directory."
    ).tag(config=True)
    open_registration = Bool(False, help="Let anybody who reaches the server register an account.").tag(
        config=True
    )
    access_token_minutes = Integer(60, min=1, help="How long the access token of a login is valid.").tag(
        config=True
    )
    session_days = Integer(30, min=1, help="How long a login lasts, if its tokens are refreshed.").tag(
        config=True
    )
    hub_owner = Unicode(help="The user of the JupyterHub who owns this lab. Default: JUPYTERHUB_USER.").tag(
        config=True
    )

    workspace = Unicode(
        help="The folder in which clients may name files. Default: Jupyter's root folder, or the current one."
    ).tag(config=True)

    max_jobs = Integer(
        2, min=1, help="Background jobs that help with labeling at once, each a process with one thread."
    ).tag(config=True)
    max_trainings = Integer(
        1, min=1, help="Trainings in the background at once, and as many exports; others wait."
    ).tag(config=True)

    max_training_memory_gb = Float(
        0.0, min=0.0, help="Main memory for each training in the background; 0: as much as there is."
    ).tag(config=True)

    ray_address = Unicode(
        help="Of the Ray cluster that trains in the background, e.g. 10.0.0.1:6379. Default: this machine does."
    ).tag(config=True)

    rate_limits = Bool(True, help="Whether the APIs' limits of requests hold.").tag(config=True)
    limits = Dict(
        help="Limits instead of an API's own, e.g. {'ai-manager': {'default': ['100/minute']}}; [] lifts one."
    ).tag(config=True)
    credits = Bool(False, help="Whether requests cost credits; administrators give them to accounts.").tag(
        config=True
    )
    credit_costs = Dict({"predict": 1}, help="For each class of cost the price of a request in credits.").tag(
        config=True
    )
    upgrade_url = Unicode(help="Where somebody who has too few credits is sent.").tag(config=True)

    request_timeout_s = Float(
        30.0, help="Seconds that nothing of a request may come before it is ended with the connection."
    ).tag(config=True)

    webhook_targets = List(
        Unicode(),
        help="Hosts and networks that everybody's webhooks may call although they are not public, "
        "e.g. hooks.internal or 10.1.0.0/16.",
    ).tag(config=True)

    alone = Bool(False, help="Whether the lab server runs without JupyterLab.").tag(config=True)

    services: Services | None = None
    unavailable: LabError | None = None

    def initialize_settings(self) -> None:
        folder = (
            self.data_dir or os.environ.get("MLSHIP_HOME") or str(Path(jupyter_data_dir()) / "modelship_lab")
        )
        try:
            self.services = self._build_services(Path(folder))
        except (AlreadyOpen, StorageFailed, InvalidInput) as error:
            # Inside JupyterLab the rest of Jupyter must still start, and every request of ours says why.
            self.unavailable = error
            self.log.error("ModelShip Lab is not available: %s", error.message)
            return
        self.settings[REQUEST_TIMEOUT] = self.request_timeout_s
        assert self.serverapp is not None
        if self.open_registration and self.serverapp.ip not in LOOPBACK:
            self.log.warning("Registration is open: anybody who can reach this server gets an account.")
        if self.alone:
            # One credential is enough; Jupyter's own would be a second one, printed to the log.
            identity = self.serverapp.identity_provider
            identity.token, identity.token_generated = self.services.token, False

    def _build_services(self, folder: Path) -> Services:
        limits = self._build_limits()
        costs = checked_costs(
            self.credit_costs,
            {one.cost for api in (NATIVE, *dialects.DIALECTS) for one in api.endpoints if one.cost},
        )
        data_dir = DataDir(folder)
        try:
            database = Database(data_dir.database)
        except BaseException:
            data_dir.release()
            raise
        lab_id = database.read_now(lambda cursor: cursor.value("SELECT lab_id FROM lab"))
        events = EventLog(database)
        hub = Hub()
        events.listen(hub.publish_event)
        token = self.lab_token or os.environ.get("MLSHIP_TOKEN") or data_dir.token()
        passwords = Passwords()
        accounts = Accounts(database, events, passwords, self.open_registration)
        sessions = Sessions(
            database,
            events,
            accounts,
            passwords,
            key=data_dir.signing_key(),
            lab_id=lab_id,
            access_minutes=self.access_token_minutes,
            days=self.session_days,
        )
        keys = ApiKeys(database, events, accounts)
        hub_owner = self.hub_owner or os.environ.get("JUPYTERHUB_USER", "")
        job_tokens = JobTokens(database, accounts)
        credentials = Credentials(
            events, accounts, sessions, keys, job_tokens, lab_token=token, hub_owner=hub_owner
        )
        workspace = self._build_workspace()
        blobs = Blobs(data_dir.blobs)
        counts = ProgressCounts(database)
        request_rows = RequestRows(database)
        queue = LabelQueue(database, counts, request_rows)
        jobs = Jobs(
            database,
            events,
            data_dir.jobs,
            job_tokens,
            self.max_jobs,
            self.max_trainings,
            self.max_training_memory_gb,
        )
        projects = Projects(
            database, events, (counts.forget, queue.forget, jobs.forget_project), (queue.refresh,)
        )
        follow_ups = FollowUps(request_rows)
        labels = Labels(database, events, counts, queue, follow_ups)
        suggestions = Suggestions(database, events, counts, queue, labels)
        sample_lists = SampleLists(events)
        samples = Samples(database, projects, sample_lists, data_dir.uploads)
        snapshots = Snapshots(database, events, blobs, data_dir.uploads, projects)
        runs = Runs(database, events)
        heartbeats = Heartbeats(database, events, runs)
        artifacts = Artifacts(database, events, blobs, runs)
        blob_access = BlobAccess(blobs, (samples.holds, snapshots.holds, artifacts.holds))
        events.listen(blob_access.forget)
        bundles = BundleStore(data_dir.bundles, data_dir.uploads)
        models = Models(database, events, bundles, runs.get)
        imports = Imports(database, events, blobs, data_dir.uploads, projects, counts, queue, labels)
        mlflow = Mlflow(lab_id)
        trainings = Trainings(jobs, runs, snapshots, workspace, mlflow, self.ray_address)
        data_files = DataFiles(workspace, data_dir.uploads)
        deployment_metrics = ServingMetrics(
            database, lambda one, window: hub.publish_deployment(one, supervisor.owner_of(one), window)
        )
        deployment_store = DeploymentStore(database, events)
        supervisor = Supervisor(
            deployment_store, LocalEngine(data_dir.workers), bundles.folder, deployment_metrics.take_last
        )
        return Services(
            info=LabInfo(
                lab_id=lab_id,
                account_id=OWNER_ID,
                version=__version__,
                url="",
                pid=os.getpid(),
                data_dir=str(data_dir.folder),
                database_version=database.version,
                started_at=utc_now(),
            ),
            token=token,
            data_dir=data_dir,
            database=database,
            workspace=workspace,
            blobs=blobs,
            blob_access=blob_access,
            events=events,
            hub=hub,
            sockets=Sockets(credentials, events),
            limits=limits,
            credits=Ledger(database, events, enabled=self.credits, costs=costs, upgrade_url=self.upgrade_url),
            webhooks=Webhooks(
                database,
                events,
                Targets(self.webhook_targets),
                accounts,
                [one.webhooks for one in (NATIVE, *dialects.DIALECTS) if one.webhooks is not None],
                lab_id,
            ),
            passwords=passwords,
            accounts=accounts,
            sessions=sessions,
            keys=keys,
            credentials=credentials,
            audit=Audit(database),
            counts=counts,
            queue=queue,
            requests=Requests(database, events, request_rows),
            projects=projects,
            imports=imports,
            partial_uploads=PartialUploads(data_dir.partial_uploads),
            exports=Exports(database, blobs, data_dir.uploads, projects),
            samples=samples,
            selections=Selections(database, events),
            groups=Groups(database, events),
            labels=labels,
            undoing=Undoing(database, events, counts, queue, follow_ups, labels),
            quality=LabelQuality(database),
            suggestions=suggestions,
            jobs=jobs,
            light_model=LightModel(database, events, blobs, projects, suggestions, jobs),
            automatic=AutomaticLabels(database),
            embeddings=Embeddings(database, blobs, queue, jobs, data_dir.uploads),
            label_errors=LabelErrors(database, blobs, jobs),
            snapshots=snapshots,
            runs=runs,
            heartbeats=heartbeats,
            metrics=RunMetrics(database, heartbeats, hub.publish_metrics),
            series=MetricSeries(database, runs),
            artifacts=artifacts,
            trainings=trainings,
            model_exports=ModelExports(jobs, runs, workspace),
            data_files=data_files,
            experiments=Experiments(data_files, projects, imports, snapshots, trainings),
            machine=Machine(data_dir.folder),
            run_table=RunTable(database),
            bundles=bundles,
            models=models,
            model_mirror=ModelMirror(mlflow, models, runs, bundles, events),
            deployments=Deployments(deployment_store, supervisor, models.version),
            deployment_metrics=deployment_metrics,
            tables=Tables(database, data_dir.uploads),
        )

    def _build_workspace(self) -> Workspace:
        assert self.serverapp is not None
        # Alone it has no files of Jupyter's.
        root = self.workspace or (os.getcwd() if self.alone else self.serverapp.root_dir)
        return Workspace(Path(root))

    def _build_limits(self) -> Limits:
        if not self.rate_limits:
            return Limits({})
        apis = (NATIVE, *dialects.DIALECTS)
        return Limits(
            configured_limits(
                {api.name: api.limits for api in apis}, {api.name: api.classes for api in apis}, self.limits
            )
        )

    def initialize_handlers(self) -> None:
        if self.services is not None:
            self.handlers.extend(routes.all_routes(self.services, dialects.DIALECTS))
        else:
            assert self.unavailable is not None
            self.handlers.extend(routes.unavailable_routes(self.unavailable))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        await super()._start_jupyter_server_extension(serverapp)  # type: ignore[no-untyped-call]
        if self.services is None:
            return
        if self.alone:
            # Also how long a connection may be idle between two requests, so for JupyterLab it stays.
            serverapp.http_server.conn_params.header_timeout = self.request_timeout_s
        url = _local_address(serverapp)
        self.services.info = self.services.info.model_copy(update={"url": url})
        await self.services.start()
        self.services.data_dir.announce(url, self.services.token, self.services.info.lab_id)
        self.log.info("ModelShip Lab at %smlship/docs, data in %s", url, self.services.info.data_dir)

    async def stop_extension(self) -> None:
        if self.services is not None:
            await self.services.stop()


def _local_address(serverapp: Any) -> str:
    """Where programs on this machine reach the server, with its base URL and a slash at the end."""
    scheme = "https" if serverapp.certfile else "http"
    host = serverapp.ip if serverapp.ip not in ("", "*", "0.0.0.0", "::") else "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{serverapp.port}{serverapp.base_url}"
