"""A screen of the lab alone on a page of a lab server, as the widgets show it."""

from typing import Any

from playwright.sync_api import Error, Page

SHOW = """async ([url, token, view]) => {
    document.body.replaceChildren(document.createElement("div"));
    document.body.style.cssText = "margin: 0; padding: 12px; background: Canvas";
    document.documentElement.style.colorScheme = "light dark";
    const { HttpConnection, mount } = await import(`${url}mlship/static/widgets.js`);
    performance.mark("asked");
    mount(document.body.firstChild, new HttpConnection(url, token), "screen", view);
}"""


def show(page: Page, url: str, token: str, view: dict[str, Any]) -> None:
    """Show one view on a page that comes from a lab server; the mark `asked` says when it was asked for.

    Args:
        url: the server's base address with a slash at its end.
        view: what the widgets' `mount` takes, e.g. `{"view": "run_chart", "run_ids": [1]}`.
    """
    page.goto(f"{url}mlship/static/widgets.json")
    page.evaluate(SHOW, [url, token, view])


def uncaught_errors(page: Page) -> list[str]:
    """What no script of the page catches from now on, but JupyterLab's own of a kernel that went before it answered."""
    errors: list[str] = []

    def note(error: Error) -> None:
        if not error.message.startswith("Canceled future for "):
            errors.append(str(error))

    page.on("pageerror", note)
    return errors
