"""The worker's process: options, start, readiness, orderly end."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from time import perf_counter
from types import FrameType

import orjson
import uvicorn

from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.errors import LabError
from modelship_lab.worker.app import WorkerApp
from modelship_lab.worker.dispatcher import Dispatcher
from modelship_lab.worker.explainer import Explainer

__all__ = ["main"]

log = logging.getLogger(__name__)

KEY_VARIABLE = "MLSHIP_WORKER_KEY"


def main(started: float | None = None) -> None:
    """Serve a bundle until SIGTERM or SIGINT.

    Exits with 1 when the bundle cannot be loaded and with 2 when the options are wrong.

    Args:
        started: `perf_counter()` before this module was imported.
    """
    imported = perf_counter()
    options = _options()
    # Out of the environment at once, so that nothing which this process starts inherits it.
    key = os.environ.pop(KEY_VARIABLE, "")
    if not key or not key.isascii() or not key.isprintable():
        sys.exit(f"{KEY_VARIABLE} must hold the key that callers send; it is missing or not plain ASCII")
    _log_to(options.log)
    # uvicorn raises the signal again when it has ended in order; without a handler that would kill.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _already_handled)
    # An explanation computes in Python; by default it would hold the event loop up for 5 ms at a time.
    sys.setswitchinterval(0.001)
    import_ms = (imported - (imported if started is None else started)) * 1000
    try:
        _run(options, key, import_ms)
    except (LabError, OSError) as error:
        log.error("the model worker cannot start: %s", error)
        sys.exit(f"the model worker cannot start: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m modelship_lab.worker",
        description=f"Serve one model bundle over HTTP. Callers send the key in {KEY_VARIABLE} as bearer.",
    )
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--name", required=True, help="name of the deployment")
    parser.add_argument("--model-version", default="v1", help="what answers name as their model version")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_within(0, 65535), default=0, help="0: any free one (default)")
    parser.add_argument("--ready-file", type=Path, help="written as JSON when predictions are answered")
    parser.add_argument(
        "--threads", type=_within(1, 1024), help="of one prediction (default: as many as CPUs)"
    )
    parser.add_argument("--max-batch", type=_within(1, 4096), default=64, help="rows put together at most")
    parser.add_argument(
        "--max-queue", type=_within(1, 100_000), default=1024, help="requests waiting at most"
    )
    parser.add_argument(
        "--timeout-s", type=_seconds, default=30, help="of one request (default: %(default)s)"
    )
    parser.add_argument("--log", type=Path, help="log to this file instead of standard error")
    return parser.parse_args()


def _within(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not within {least} and {most}")
        return value

    return number


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not within 0 and 3600")
    return value


def _run(options: argparse.Namespace, key: str, import_ms: float) -> None:
    listener = socket.create_server((options.host, options.port), backlog=2048)
    app = WorkerApp(options.name, options.model_version, key)
    # uvicorn with uvloop and httptools, measured against RSGI on Granian with this dispatcher on two
    # cores: 24,500 against 33,000 requests/s at 64 connections but 4,000 against 2,900 at one, and it
    # runs inside this process, which can so tell its port and end in order.
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(options.timeout_s) + 1,
        )
    )
    uvicorn_loop = server.config.get_loop_factory()
    with asyncio.Runner(loop_factory=uvicorn_loop) as runner:
        runner.run(_serve(server, app, listener, options, import_ms))


async def _serve(
    server: uvicorn.Server,
    app: WorkerApp,
    listener: socket.socket,
    options: argparse.Namespace,
    import_ms: float,
) -> None:
    """Listen at once, load meanwhile, and tell when predictions are answered."""
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    dispatcher: Dispatcher | None = None
    explainer: Explainer | None = None
    try:
        model, times = await asyncio.to_thread(_load, options.bundle, options.threads)
        dispatcher = Dispatcher(model, options.max_batch, options.max_queue, options.timeout_s)
        explainer = Explainer(model, options.timeout_s)
        app.serve(model, dispatcher, explainer)
        # What is here stays until the end: leave it out of every later garbage collection.
        gc.collect()
        gc.freeze()
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        if options.ready_file is not None and not server.should_exit:
            _write_ready(options.ready_file, address, {"import": round(import_ms, 1), **times})
        log.info("%s %s answers at %s", options.name, options.model_version, address)
    except BaseException:
        server.should_exit = True
        raise
    finally:
        await serving
        if explainer is not None:
            explainer.stop()
        if dispatcher is not None:
            dispatcher.stop()
        log.info("%s %s has stopped", options.name, options.model_version)


def _load(bundle: Path, threads: int | None) -> tuple[BundleModel, dict[str, float]]:
    start = perf_counter()
    model = BundleModel(bundle, threads)
    loaded = perf_counter()
    model.warm_up()
    warm = perf_counter()
    return model, {"load": round((loaded - start) * 1000, 1), "warm_up": round((warm - loaded) * 1000, 1)}


def _write_ready(file: Path, address: str, cold_start_ms: dict[str, float]) -> None:
    """All at once, so that whoever polls for the file never reads half of it."""
    content = orjson.dumps({"pid": os.getpid(), "address": address, "cold_start_ms": cold_start_ms})
    descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    with os.fdopen(descriptor, "wb") as target:
        target.write(content)
    os.replace(draft, file)


def _log_to(file: Path | None) -> None:
    handler: logging.Handler = logging.StreamHandler()
    if file is not None:
        handler = RotatingFileHandler(file, maxBytes=5_000_000, backupCount=2, encoding="utf-8")
    logging.basicConfig(
        level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )


def _already_handled(number: int, frame: FrameType | None) -> None:
    """Do nothing: uvicorn has handled it."""
