"""`python -m modelship_lab.server`: the lab server alone, without JupyterLab."""

import os
import sys

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8890, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--base-url", default="/", show_default=True, help="Path under which everything is served.")
@click.option(
    "--data-dir", default="", help="Folder of the lab's data. Default: MLSHIP_HOME, else below Jupyter's."
)
@click.option(
    "--token", default="", help="Bearer credential with all permissions. Default: kept in the data folder."
)
@click.option(
    "--workspace", default="", help="Folder in which clients may name files. Default: the current one."
)
@click.option("--ray-address", default="", help="Of the Ray cluster that trains in the background.")
@click.option(
    "--open-registration",
    is_flag=True,
    help="Let anybody who can reach the server register an account.",
)
@click.option(
    "--rate-limits/--no-rate-limits", default=True, help="Whether the APIs' limits of requests hold."
)
@click.option(
    "--webhook-target",
    multiple=True,
    metavar="HOST|NETWORK",
    help="May be called by everybody's webhooks although it is not public. Can be given several times.",
)
def main(
    host: str,
    port: int,
    base_url: str,
    data_dir: str,
    token: str,
    workspace: str,
    ray_address: str,
    open_registration: bool,
    rate_limits: bool,
    webhook_target: tuple[str, ...],
) -> None:
    """Run the lab server until it is interrupted."""
    if token:
        # Once more without the token on the command line: other users of the machine can read that.
        os.environ["MLSHIP_TOKEN"] = token
        words = [sys.executable, "-m", "modelship_lab.server", *_without_token(sys.argv[1:])]
        os.execv(sys.executable, words)  # noqa: S606
    # The database, too, is for this user alone, also in a folder that others may look into.
    os.umask(0o077)
    # At its import, this checker of international addresses builds a grammar, for as long as all other imports
    # together take. jsonschema does without it, and Jupyter's event schemas have no such address.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    # Not at the top: `--help` need not wait for it.
    from modelship_lab.server.extension import ModelShipLab, ServerAlone

    arguments = [
        f"--ServerApp.ip={host}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.base_url={base_url}",
        f"--ModelShipLab.data_dir={data_dir}",
        f"--ModelShipLab.workspace={workspace}",
        f"--ModelShipLab.ray_address={ray_address}",
        "--ModelShipLab.alone=True",
        f"--ModelShipLab.open_registration={open_registration}",
        f"--ModelShipLab.rate_limits={rate_limits}",
        *(f"--ModelShipLab.webhook_targets={target}" for target in webhook_target),
        "--ServerApp.open_browser=False",
        "--ContentsManager.files_handler_class=None",
        # Root is usual in containers, and this server has neither kernels nor files.
        "--ServerApp.allow_root=True",
    ]
    if host not in ("127.0.0.1", "localhost", "::1"):
        arguments.append("--ServerApp.allow_remote_access=True")
    ModelShipLab.serverapp_class = ServerAlone
    server = ModelShipLab.initialize_server(argv=arguments)  # type: ignore[no-untyped-call]
    app = server.extension_manager.extension_apps["modelship_lab"].copy().pop()
    if app.unavailable is not None:
        click.echo(f"mlship serve: {app.unavailable.message}", err=True)
        sys.exit(1)
    server.start()


def _without_token(words: list[str]) -> list[str]:
    """The command line without `--token VALUE` and `--token=VALUE`."""
    kept, previous = [], ""
    for word in words:
        if "--token" not in (word, previous) and not word.startswith("--token="):
            kept.append(word)
        previous = word
    return kept


if __name__ == "__main__":
    main(prog_name="mlship serve")
