"""A Ray cluster: one worker of Ray Train, on whichever node has room, does the work.

The job's process is the driver: it stays on the lab server's machine, tells the server how far the worker is, and
with its end the cluster ends the worker, too. The worker logs to the run by itself, through the lab's API.
"""

import logging
import signal
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelship_lab.learning.jobs.engines import Work
from modelship_lab.records.errors import (
    InvalidInput,
    LabError,
    MissingDependency,
    Unavailable,
    error_from_code,
)
from modelship_lab.records.jobs import JobProgress

if TYPE_CHECKING:
    from modelship_lab.learning.jobs.lab_job import LabJob

_LOOK_EVERY_S = 0.5

log = logging.getLogger(__name__)


@dataclass
class RayEngine:
    """Does the work on a cluster.

    Args:
        address: of its head, e.g. `10.0.0.1:6379`, `ray://10.0.0.1:10001` or `auto`.
    """

    address: str

    def do(self, work: Work, job: "LabJob") -> dict[str, Any]:
        try:
            import ray as ray_module
            from ray.train import RunConfig, ScalingConfig
            from ray.train.torch import TorchTrainer
        except ImportError:
            raise MissingDependency(
                'Training on Ray needs Ray: pip install "modelship-lab[ray]" where the lab server runs.'
            ) from None
        # Its types are there only where it is installed.
        ray: Any = ray_module
        if isinstance(job.order["resume"], str):
            raise InvalidInput("On Ray a training goes on with a run, not from a folder: name the run.")
        if job.order["output"]:
            log.warning("On Ray no checkpoint-* folders are written; the model is, at the end.")
        cancels = signal.getsignal(signal.SIGTERM)
        # A program of the user's may be another driver of the same cluster.
        try:
            ray.init(address=self.address, namespace="modelship-lab", log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise Unavailable(f"There is no Ray cluster at {self.address}: {error!s:.200}") from None
        # Ray has put a handler of its own there, which ends the driver at once, and the worker with it.
        signal.signal(signal.SIGTERM, cancels)
        board = ray.remote(num_cpus=0)(Board).remote()
        has_gpu = bool(ray.cluster_resources().get("GPU"))
        url = _for_other_machines(job.lab.connection.url, ray.util.get_node_ip_address())
        trainer = TorchTrainer(
            _work_there,
            train_loop_config={
                "work": work,
                "order": {**job.order, "output": None, "ray_address": None},
                "url": url,
                "token": job.token,
                "board": board,
            },
            # One worker: the loop of the recipes computes in one process.
            scaling_config=ScalingConfig(num_workers=1, use_gpu=has_gpu),
            run_config=RunConfig(
                name=f"mlship-run-{job.order['run_id']}", storage_path=str(job.folder / "ray")
            ),
        )
        log.info(
            "On Ray at %s: %s, which reports to %s", self.address, "one GPU" if has_gpu else "one CPU", url
        )
        with ThreadPoolExecutor(1, "mlship-ray") as pool:
            training = pool.submit(trainer.fit)
            is_asked = False
            while not training.done():
                _pass_on(_read(board), job)
                if job.stop.is_set() and not is_asked:
                    is_asked = True
                    # The worker hears it from the lab.
                    job.lab.run(job.order["run_id"]).stop()
                time.sleep(_LOOK_EVERY_S)
        said = _read(board)
        _pass_on(said, job)
        if said.error is not None:
            raise error_from_code(*said.error)
        if (died := training.exception()) is not None:
            raise LabError(f"The worker on Ray died: {type(died).__name__}: {str(died).strip():.500}")
        assert said.result is not None
        return said.result


@dataclass
class Said:
    """What a worker has said since it was last asked."""

    progress: dict[str, Any] | None = None
    lines: list[tuple[int, str]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: tuple[str, str] | None = None


class Board:
    """Lives on the cluster, between worker and driver."""

    def __init__(self) -> None:
        self._said = Said()

    def write(self, **said: Any) -> None:
        for name, value in said.items():
            setattr(self._said, name, value)

    def log(self, level: int, message: str) -> None:
        self._said.lines.append((level, message))

    def read(self) -> Said:
        said, self._said = self._said, Said(result=self._said.result, error=self._said.error)
        return said


def _for_other_machines(url: str, node_address: str) -> str:
    """The lab server's address as other machines have it, if it listens to them."""
    address = urlsplit(url)
    if address.hostname not in ("127.0.0.1", "::1", "localhost"):
        return url
    try:
        socket.create_connection((node_address, address.port or 80), timeout=5).close()
    except OSError:
        log.info(
            "The lab server listens to this machine alone: nodes elsewhere need `mlship serve --host 0.0.0.0`."
        )
        return url
    return address._replace(netloc=f"{node_address}:{address.port}").geturl()


def _read(board: Any) -> Said:
    import ray

    said: Any = ray.get(board.read.remote())
    assert isinstance(said, Said)
    return said


def _pass_on(said: Said, job: "LabJob") -> None:
    if said.progress is not None:
        job.tell(JobProgress(**said.progress), now=True)
    for level, message in said.lines:
        log.log(level, "%s", message)


def _work_there(config: dict[str, Any]) -> None:
    """In the worker, on any node."""
    from modelship_lab.learning.jobs.lab_job import connected

    board = config["board"]
    logging.getLogger("modelship_lab").addHandler(_ToBoard(board))
    logging.getLogger("modelship_lab").setLevel(config["order"].get("log_level", "INFO"))
    with tempfile.TemporaryDirectory(prefix="mlship-ray-") as folder:
        lab = connected(config["token"], Path(folder), config["url"])
        job = _there(Path(folder), config, lab)
        try:
            board.write.remote(result=config["work"](job))
        except LabError as error:
            board.write.remote(error=(error.code, error.message))
        finally:
            lab.close()


def _there(folder: Path, config: dict[str, Any], lab: Any) -> "LabJob":
    from modelship_lab.learning.jobs.lab_job import LabJob

    class RemoteJob(LabJob):
        def tell(self, progress: JobProgress, *, now: bool = False) -> None:
            if self.is_due(now):
                config["board"].write.remote(progress=progress.model_dump())

    return RemoteJob(folder, config["order"], lab, config["token"], threading.Event())


class _ToBoard(logging.Handler):
    """What the worker logs goes into the job's log."""

    def __init__(self, board: Any) -> None:
        super().__init__()
        self._board = board

    def emit(self, record: logging.LogRecord) -> None:
        self._board.log.remote(record.levelno, record.getMessage())
