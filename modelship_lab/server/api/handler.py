"""What all addresses of the lab have in common: who is let in, and how errors are answered."""

import logging
import os
from collections.abc import Collection
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from jupyter_server import CallContext
from jupyter_server.auth.identity import (
    IdentityProvider,
    LegacyIdentityProvider,
    PasswordIdentityProvider,
    User,
)
from jupyter_server.auth.login import LegacyLoginHandler
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.prometheus.log_functions import prometheus_log_method
from jupyter_server.utils import origin_matches_pat
from pydantic_core import to_json
from tornado import web
from tornado.httputil import HTTPServerRequest

from modelship_lab.records.errors import (
    InvalidInput,
    LabError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    TooManyRequests,
    Unauthenticated,
)
from modelship_lab.records.identity import Permission
from modelship_lab.server.api.dialect import NATIVE, Dialect
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.limits import DEFAULT, LimitReached, Window, address_owner
from modelship_lab.server.identity.policy import Caller, Scope
from modelship_lab.server.storage.data_dir import as_storage_failed

PREFLIGHT_MAX_AGE_S = 600

MAX_HOSTS = 1000
"""Of so many names of this server it is kept whether it may be called so."""

_EXPOSED = "X-Request-ID, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"


class LabHandler(JupyterHandler):
    """Lets in who may, and answers every error in the API's one shape, with the id that the log has too."""

    permission: Permission | None = "read"
    """What a caller must be allowed to do; None lets everybody in."""
    limit = DEFAULT
    """The class whose limits a request counts for."""
    caller: Caller | None = None
    _window: Window | None = None

    def initialize(self, services: Services, dialect: Dialect = NATIVE, **_: Any) -> None:
        self.services = services
        self.dialect = dialect

    @cached_property
    def request_id(self) -> str:
        return os.urandom(8).hex()

    def set_default_headers(self) -> None:
        # Without Jupyter's content security policy report and its HTML content type.
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Request-ID", self.request_id)
        self.set_cors_headers()

    async def prepare(self, **settings: Any) -> None:
        """The one place where a request's credential is asked for, and where the request is counted.

        Raises:
            Unauthenticated: there is no valid credential.
            LimitReached: too many requests.
            PermissionDenied: it may not do this.
        """
        caller = await self._authenticate()
        if caller is not None:
            self.caller = caller = caller.at(self.request.remote_ip or "", self.request_id)
        elif self.permission is not None:
            raise Unauthenticated(
                "No valid credential: send 'Authorization: Bearer <token>', or log in to Jupyter."
            )
        self._count(caller)
        if caller is not None and caller.scope is not None and not self.is_in(caller.scope):
            raise PermissionDenied("This credential of a background job is good for its own run alone.")
        if caller is not None and self.permission is not None:
            caller.require(self.permission)

    def is_in(self, scope: Scope) -> bool:
        """Whether a request is the business of a background job."""
        return False

    async def _authenticate(self) -> Caller | None:
        """Who calls: by a credential of ours in the header or in `?token=`, else as Jupyter knows them."""
        if not self._is_host_allowed():
            raise PermissionDenied(
                "This server is not open under the name in the Host header: "
                "`ServerApp.allow_remote_access` opens it to other names than this machine's."
            )
        offered = _offered_token(self.request)
        caller = self.services.credentials.caller(offered) if offered else None
        if caller is None:
            return await self._ask_jupyter(bool(offered))
        # Jupyter's own identity is not asked at all: a JupyterHub would be, over the network, for a token
        # that is none of its own. The request carries its credential itself, so no other site can have
        # forged it and XSRF does not apply.
        CallContext.set(CallContext.JUPYTER_HANDLER, self)
        self.current_user = self._jupyter_current_user = User(username=caller.name)
        self._token_authenticated = True
        return caller

    async def _ask_jupyter(self, has_token: bool) -> Caller | None:
        """Who Jupyter says it is (cookie, its own token, JupyterHub); checks XSRF for cookies."""
        try:
            await super().prepare()
            user = self.current_user
            # A token that nobody knows is not made good by a cookie beside it.
            if user is not None and (self.token_authenticated or not has_token):
                anonymous = _has_one_secret(self.identity_provider)
                return await self.services.credentials.jupyter(user, anonymous)
        except (web.HTTPError, PermissionDenied) as refusal:
            # Without the XSRF header another site may have sent it: it counts as nobody's, and that is
            # enough where no credential is needed. Who has no credential is told that, not of XSRF.
            is_known = getattr(self, "_jupyter_current_user", None) is not None and not has_token
            is_fault = isinstance(refusal, web.HTTPError) and refusal.status_code >= 500
            if self.permission is not None and (is_known or is_fault):
                raise
        self.current_user = None
        return None

    def caller_now(self) -> Caller | None:
        """Who the request's credential belongs to by now, for what stays open; None: it is not valid any more."""
        offered = _offered_token(self.request)
        caller = self.services.credentials.caller(offered) if offered else None
        if caller is None and self.caller is not None:
            return self.services.credentials.jupyter_now(self.caller)
        return caller

    def _is_host_allowed(self) -> bool:
        """`check_host` with its answers kept: reading addresses is slow, and clients have few names for us."""
        allowed: dict[str, bool] = self.settings.setdefault("mlship_hosts", {})
        host = self.request.host
        if host not in allowed:
            if len(allowed) >= MAX_HOSTS:
                allowed.clear()
            allowed[host] = self.check_host()
        return allowed[host]

    def _count(self, caller: Caller | None) -> None:
        """Take a token for the request: from the account or, where none is needed, from the address.

        There, too, for who has one: with many accounts somebody could have many passwords checked.
        """
        address = address_owner(self.request.remote_ip or "")
        owner = address if caller is None or self.permission is None else caller.account_id
        try:
            self._show_window(self.services.limits.take(self.dialect.name, self.limit, owner))
        except LimitReached as reached:
            self._window = reached.window
            raise

    def _show_window(self, window: Window | None) -> None:
        if window is not None:
            self._window = window
            for name, value in self.dialect.limit_headers(window).items():
                self.set_header(name, value)

    def set_cors_headers(self) -> None:
        """What Jupyter's `allow_origin` settings allow to other sites; by default nothing, with any credential."""
        origin = self._allowed_origin()
        if origin:
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Access-Control-Expose-Headers", _EXPOSED)
            if origin != "*":
                self.set_header("Vary", "Origin")
            if self.allow_credentials:
                self.set_header("Access-Control-Allow-Credentials", "true")

    def _allowed_origin(self) -> str:
        if self.allow_origin:
            return self.allow_origin
        origin: str = self.request.headers.get("Origin", "")
        if origin and self.allow_origin_pat and origin_matches_pat(self.allow_origin_pat, origin):
            return origin
        return ""

    def answer_preflight(self, methods: Collection[str]) -> bool:
        """Answer a browser that asks what another site may send; returns whether this was such a question."""
        headers = self.request.headers
        if (
            self.request.method != "OPTIONS"
            or "Access-Control-Request-Method" not in headers
            or not self._allowed_origin()
        ):
            return False
        self.set_status(204)
        self.clear_header("Content-Type")
        self.set_header("Access-Control-Allow-Methods", ", ".join(sorted(methods)))
        self.set_header("Access-Control-Allow-Headers", "Authorization, Content-Type, X-XSRFToken")
        self.set_header("Access-Control-Max-Age", str(PREFLIGHT_MAX_AGE_S))
        self.finish()
        return True

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        raised = kwargs.get("exc_info", (None, None, None))[1]
        error = as_lab_error(raised, status_code)
        if error.status >= 500 and not (isinstance(raised, LabError) and raised.__cause__ is None):
            # Not for what the lab says on purpose, e.g. that a deployment is still starting.
            self.log.error("Request %s failed", self.request_id, exc_info=kwargs.get("exc_info"))
        status, body, headers = self.dialect.error(error, self.request_id)
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        if isinstance(error, Unauthenticated):
            self.set_header("WWW-Authenticate", "Bearer")
        if isinstance(error, TooManyRequests) and error.details and "retry_after" in error.details[0]:
            self.set_header("Retry-After", str(error.details[0]["retry_after"]))
        self._show_window(self._window)
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish(to_json(body))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Nothing here: `write_error` logs what is the server's fault, with the request's id."""

    def _log(self) -> None:
        """Log as Jupyter does, but never a credential: its own rule knows `token=`, not `%74oken=`."""
        if "token" in self.request.query_arguments:
            shown = [
                (name, value)
                for name, values in self.request.query_arguments.items()
                if name != "token"
                for value in values
            ]
            self.request.uri = f"{self.request.path}?{urlencode([*shown, ('token', '[secret]')])}"
        if self.get_status() < 300 and not self._logs_everything:
            # Putting a line together that no handler writes costs a tenth of a small request.
            prometheus_log_method(self)  # type: ignore[no-untyped-call]
        else:
            super()._log()

    @property
    def _logs_everything(self) -> bool:
        return any(handler.level <= logging.DEBUG for handler in self.log.handlers) or self.log.propagate


def _offered_token(request: HTTPServerRequest) -> str:
    """The token that a request carries: `?token=`, as browsers' sockets need it, or `Authorization`."""
    if in_query := request.query_arguments.get("token"):
        return in_query[-1].decode("utf-8", "replace")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else ""


def _has_one_secret(provider: IdentityProvider) -> bool:
    """Whether Jupyter has one token or password, so that everybody who knows it is the same to it.

    The names of such users are made up anew for each browser. A class that somebody derived may name
    real people.
    """
    if type(provider) is LegacyIdentityProvider:
        login: Any = provider.login_handler_class
        return issubclass(login, LegacyLoginHandler)
    return type(provider) in (IdentityProvider, PasswordIdentityProvider)


def as_lab_error(error: BaseException | None, status: int) -> LabError:
    """Any error as one of the tree; what is not meant for the caller becomes a plain sentence."""
    if isinstance(error, LabError):
        return error
    if isinstance(error, OSError) and (full := as_storage_failed(error)) is not None:
        return full
    if isinstance(error, web.HTTPError):
        status = error.status_code
    if status == 404:
        return NotFound("There is nothing at this address.")
    if status == 405:
        return MethodNotAllowed("This address does not take such requests.")
    if status == 403:
        return PermissionDenied(
            "The request was refused: reload the page to get a new XSRF cookie, or send a bearer token."
        )
    if status == 413:
        return PayloadTooLarge("The request is larger than this endpoint takes.")
    if 400 <= status < 500:
        return InvalidInput("The request is not understood.")
    return LabError("The lab server met an error of its own; its log names this request's id.")
