"""Types of the verbs' parameters: how they are read, and how the Tab key completes them."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import click
from click.shell_completion import CompletionItem

from modelship_lab.commands.naming import closest
from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import LabError
from modelship_lab.records.events import EventType
from modelship_lab.records.identity import Permission

if TYPE_CHECKING:
    from modelship_lab.client.discovery import Address

_TIMEOUT_S = 0.5
_KEEP_S = 2.0

_cache: dict[str, tuple[float, list[dict[str, Any]]]] = {}


def known(path: str, ctx: click.Context) -> list[dict[str, Any]]:
    """Items of a list of the API for completion: quickly, and none at all when the lab is away.

    Never starts a server and never renews a login: pressing Tab must have no effect.
    """
    session = ctx.find_root().obj
    url = session.url if session is not None else None
    place = f"{url or ''} {path}"
    asked_at, items = _cache.get(place, (-_KEEP_S, []))
    if time.monotonic() - asked_at < _KEEP_S:
        return items
    items = _ask(path, url, in_shell=session is None)
    _cache[place] = (time.monotonic(), items)
    return items


def _ask(path: str, url: str | None, *, in_shell: bool) -> list[dict[str, Any]]:
    import httpx

    from modelship_lab.client import discovery

    try:
        address = _address(url, in_shell=in_shell)
    except LabError:
        return []
    if address is None:
        return []
    try:
        answer = httpx.get(
            f"{address.url}mlship/api/{path}",
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=_TIMEOUT_S,
            trust_env=not discovery.is_local(address.url),
        )
        items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    except (httpx.HTTPError, ValueError, KeyError):
        return []
    return items


def _address(url: str | None, *, in_shell: bool) -> "Address | None":
    """The lab that a verb would go to: the chosen one, the environment's, the shell's login, one's own."""
    import os

    from modelship_lab.client import discovery
    from modelship_lab.client.logins import Logins

    folder = discovery.default_data_dir()
    logins = Logins(folder)
    if url is None and (named := os.environ.get("MLSHIP_URL")):
        url = discovery.with_slash(named)
        if token := os.environ.get("MLSHIP_TOKEN"):
            return discovery.Address(url, token)
    login = logins.get(url) if url else logins.current if in_shell else None
    if login is not None:
        return discovery.Address(login.url, login.access_token)
    return discovery.announcement(folder) if url is None else None


def _starting_with(incomplete: str, values: list[tuple[str, str]]) -> list[CompletionItem]:
    return [CompletionItem(value, help=text) for value, text in values if value.startswith(incomplete)]


class Named(click.ParamType[str]):
    """The name of something that the lab knows.

    Args:
        what: the word for it.
        path: the list of the API where it is found.
        describe: an item of that list as its name and a short help.
        is_meant: whether an item can be named here.
    """

    def __init__(
        self,
        what: str,
        path: str,
        describe: Callable[[dict[str, Any]], tuple[str, str]],
        is_meant: Callable[[dict[str, Any]], bool] = lambda item: True,
    ) -> None:
        self.name = what
        self._path = path
        self._describe = describe
        self._is_meant = is_meant

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _starting_with(
            incomplete, [self._describe(item) for item in known(self._path, ctx) if self._is_meant(item)]
        )


class OneOf(click.ParamType[str]):
    """One of some names that are looked up when they are needed, because that costs an import.

    Args:
        name: what it is the name of, e.g. `recipe`.
        offered: gives each name with what it means.
    """

    def __init__(self, name: str, offered: Callable[[], Mapping[str, str]]) -> None:
        self.name = name
        self._offered = offered

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(click.Choice(list(self._offered())).convert(value, param, ctx))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=meaning)
            for name, meaning in self._offered().items()
            if name.startswith(incomplete)
        ]


class NumberRange(click.ParamType[tuple[float | None, float | None]]):
    """Numbers from one to another, either end open: `0..`, `1..5`."""

    name = "range"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float | None, float | None]:
        lowest, dots, highest = str(value).partition("..")
        try:
            limits = (float(lowest) if lowest.strip() else None, float(highest) if highest.strip() else None)
        except ValueError:
            dots = ""
        if not dots:
            self.fail(f"'{value}' is no range: write 0.. or 1..5 or ..100.", param, ctx)
        return limits


PROJECT = Named("project", "projects?limit=500", lambda item: (item["name"], item["task"]))
MODEL = Named("model", "models", lambda item: (item["name"], f"version {item['latest']}"))
DEPLOYMENT = Named("deployment", "deployments", lambda item: (item["name"], item["status"]))


class RunNumber(click.ParamType[int]):
    """The number of a run: `12` or `run:12`."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).removeprefix("run:")
        if not text.isdecimal():
            self.fail(f"'{value}' is not the number of a run; `mlship runs` lists them.", param, ctx)
        return int(text)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        runs = [
            (str(item["id"]), f"{item['name']} · {item['status']}") for item in known("runs?limit=100", ctx)
        ]
        return _starting_with(incomplete, runs)


class RunOrProject(click.ParamType[str]):
    """The number of a run, or a project."""

    name = "run or project"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [
            *RUN.shell_complete(ctx, param, incomplete),
            *PROJECT.shell_complete(ctx, param, incomplete),
        ]


class ModelVersion(click.ParamType[tuple[str, int | None]]):
    """A version of a model: `spam-filter/1`, or `spam-filter` for its newest."""

    name = "model/version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | None]:
        name, slash, version = str(value).rpartition("/")
        if not slash:
            return str(value), None
        if not name or not version.isdecimal():
            self.fail(f"'{value}' is not a model and version, e.g. spam-filter/1.", param, ctx)
        return name, int(version)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        versions = [
            (f"{item['name']}/{version}", "")
            for item in known("models", ctx)
            for version in range(int(item["latest"]), 0, -1)
        ]
        return _starting_with(incomplete, versions)


class ModelOrRun(click.ParamType[int | str]):
    """What predicts: a run's number, or a version of a registered model."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        return int(value) if str(value).isdecimal() else str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        versions = ModelVersion().shell_complete(ctx, param, incomplete)
        own = _starting_with(incomplete, [("zero-shot", ""), ("lexicon", "")])
        return [*RunNumber().shell_complete(ctx, param, incomplete), *versions, *own]


class KeyValue(click.ParamType[tuple[str, Any]]):
    """`name=value`; the value is JSON, or text when it is not."""

    name = "name=value"

    form = "name=value"
    """What a message says that it should be."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"'{value}' is not of the form {self.form}.", param, ctx)
        return name.strip(), self.read(text, value)

    def read(self, text: str, value: Any) -> Any:
        """What stands behind the sign; `value` is all of it, for messages."""
        try:
            return json.loads(text)
        except ValueError:
            return text


class WebhookNumber(click.ParamType[int]):
    """The id of a webhook."""

    name = "webhook"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not str(value).isdecimal():
            self.fail(f"'{value}' is not the id of a webhook; `mlship webhooks` lists them.", param, ctx)
        return int(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _starting_with(incomplete, [(str(one["id"]), one["url"]) for one in known("webhooks", ctx)])


class Several(click.ParamType[tuple[str, ...]]):
    """Words of a known set, separated by commas; the one at the cursor is completed.

    Args:
        what: the word for one of them.
        words: the set.
    """

    def __init__(self, what: str, words: Sequence[str]) -> None:
        self.name = f"{what},…"
        self._what = what
        self._words = tuple(words)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word.strip() for word in str(value).split(",") if word.strip()))
        for word in words:
            if word not in self._words:
                meant = closest(word, self._words)
                advice = f"Did you mean '{meant}'?" if meant else f"There are: {', '.join(self._words)}."
                self.fail(f"There is no {self._what} '{word}'. {advice}", param, ctx)
        if not words:
            self.fail(f"Name at least one {self._what}.", param, ctx)
        return words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        before, comma, begun = incomplete.rpartition(",")
        taken = before.split(",")
        return [
            CompletionItem(f"{before}{comma}{word}")
            for word in self._words
            if word.startswith(begun) and word not in taken
        ]


class Moment(click.ParamType[Callable[[], datetime | None]]):
    """A time from now (`30d`, `12h`, `4w`), a date or time in UTC, or `never`; read when it is called."""

    name = "time"

    _SPANS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Callable[[], datetime | None]:
        if callable(value):
            return value  # type: ignore[no-any-return]
        text = str(value).strip()
        if text == "never":
            return lambda: None
        try:
            if text[:-1].isdecimal() and text[-1] in self._SPANS:
                ends = utc_now() + int(text[:-1]) * self._SPANS[text[-1]]
            else:
                ends = datetime.fromisoformat(text)
                ends = ends.replace(tzinfo=UTC) if ends.tzinfo is None else ends.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"'{value}' is no time: write 30d, 12h, 2027-01-31 or never.", param, ctx)
        if ends <= utc_now():
            self.fail(f"'{value}' is in the past.", param, ctx)
        return lambda: ends

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _starting_with(incomplete, [(text, "") for text in ("30d", "90d", "365d", "never")])


class EventName(click.ParamType[str]):
    """The type of an event."""

    name = "event"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in get_args(EventType):
            meant = closest(str(value), get_args(EventType))
            advice = f" Did you mean '{meant}'?" if meant else ""
            self.fail(f"There is no event '{value}'.{advice}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _starting_with(incomplete, [(name, "") for name in get_args(EventType)])


USER = Named("user", "accounts?limit=500", lambda item: (item["username"], item["full_name"]))
KEY = Named(
    "key",
    "auth/keys",
    lambda item: (item["name"], item["prefix"]),
    lambda item: item["revoked_at"] is None,
)
WEBHOOK = WebhookNumber()
PERMISSIONS = Several("permission", get_args(Permission))
EVENTS = Several("event", ("*", *get_args(EventType)))
EVENT = EventName()
MOMENT = Moment()


class JobNumber(click.ParamType[int]):
    """The number of a background job."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).removeprefix("job:")
        if not text.isdecimal():
            self.fail(f"'{value}' is not the number of a job; `mlship jobs` lists them.", param, ctx)
        return int(text)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        jobs = [(str(job["id"]), f"{job['kind']} · {job['status']}") for job in known("jobs?limit=100", ctx)]
        return _starting_with(incomplete, jobs)


JOB = JobNumber()
NUMBER_RANGE = NumberRange()
RUN = RunNumber()
RUN_OR_PROJECT = RunOrProject()
MODEL_OR_RUN = ModelOrRun()
MODEL_VERSION = ModelVersion()
KEY_VALUE = KeyValue()
