"""ModelShip Lab: label, train, ship and watch models from a notebook.

Only the entry points for IPython, Jupyter Server and JupyterLab are here, and none of them
imports anything before it is called: a kernel must not load the server, nor the server torch.
"""

from typing import TYPE_CHECKING, Any

from modelship_lab.version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from modelship_lab.client import Lab

__all__ = ["__version__", "connect"]


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    api_key: str | None = None,
    username: str | None = None,
    password: str | None = None,
) -> "Lab":
    """Connect to the lab server of this user, or to the one at `url`.

    Args:
        url: its address; default: this user's own lab, which is started if need be.
        token: the credential. Default: that of one's own lab, `MLSHIP_TOKEN`, or the login that
            `mlship login` has kept.
        api_key: an API key of the lab.
        username: of an account, with `password`.
    """
    from modelship_lab import client
    from modelship_lab.notebook.session import NotebookVerbs

    return client.connect(
        url, token, api_key=api_key, username=username, password=password, verbs=NotebookVerbs()
    )


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """`%load_ext modelship_lab`: adds `%mlship` and `%%mlship`."""
    from modelship_lab.notebook import magics

    magics.load(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from modelship_lab.server.extension import ModelShipLab

    return [{"module": "modelship_lab", "app": ModelShipLab}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "modelship-lab"}]
