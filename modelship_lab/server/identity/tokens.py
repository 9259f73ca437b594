"""The tokens of logins: JSON Web Tokens that say which session they belong to, and until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import jwt

from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import Unauthenticated
from modelship_lab.records.identity import Tokens

_ALGORITHM = "HS256"
_CLAIMS = ["exp", "iat", "sub", "sid", "typ", "iss"]

MAX_CHECKED = 4096
"""Access tokens whose signature is remembered as right."""


@dataclass(frozen=True)
class Claims:
    """What a token of ours says."""

    session_id: str
    account_id: int
    expires_at: float
    """Seconds since 1970."""
    refresh_id: str
    """Of a refresh token; an access token has none."""


class TokenSigner:
    """Makes the tokens of sessions and reads them. Whether a session goes on is not looked at here.

    Args:
        key: signs the tokens.
        lab_id: which lab gives them; the tokens of another one are not valid here.
    """

    def __init__(self, key: bytes, lab_id: str) -> None:
        self._key = key
        self._lab_id = lab_id
        # A signature stays right, so only the end is for the caller to look at again. What is wrong is not kept.
        self._checked = lru_cache(MAX_CHECKED)(self._claims)

    def tokens(
        self, account_id: int, session_id: str, refresh_id: str, span: timedelta, expires_at: datetime
    ) -> Tokens:
        """Both tokens of a session.

        Args:
            refresh_id: of the refresh token.
            span: how long the access token is valid, at most until the session ends.
            expires_at: when the session ends.
        """
        moment = utc_now()
        ends = min(moment + span, expires_at)
        common = {"iss": self._lab_id, "sub": str(account_id), "sid": session_id, "iat": moment}
        return Tokens(
            access_token=jwt.encode({**common, "typ": "access", "exp": ends}, self._key, _ALGORITHM),
            refresh_token=jwt.encode(
                {**common, "typ": "refresh", "exp": expires_at, "jti": refresh_id}, self._key, _ALGORITHM
            ),
            expires_in=max(round((ends - moment).total_seconds()), 0),
        )

    def access(self, token: str) -> Claims:
        """What an access token says. It may have ended since it was looked at first.

        Raises:
            Unauthenticated: it is not one of ours.
        """
        return self._checked(token, "access")

    def refresh(self, token: str) -> Claims:
        """What a refresh token says.

        Raises:
            Unauthenticated: it is not one of ours, or no longer valid.
        """
        return self._claims(token, "refresh")

    def _claims(self, token: str, typ: Literal["access", "refresh"]) -> Claims:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=self._lab_id,
                options={"require": _CLAIMS},
            )
        except jwt.PyJWTError:
            raise Unauthenticated("The token is not valid, or no longer: log in again.") from None
        if claims["typ"] != typ:
            raise Unauthenticated(f"This needs the {typ} token.")
        return Claims(claims["sid"], int(claims["sub"]), claims["exp"], claims.get("jti", ""))
