"""A Jupyter server's identity provider that plays a JupyterHub: a cookie or a token names a user."""

from jupyter_server.auth.identity import IdentityProvider, User


class HubUser(User):
    """What JupyterHub's provider hands out: with the hub's own record of the user."""

    hub_user: dict


class Hub(IdentityProvider):
    """Takes anybody's word for who they are."""

    async def get_user(self, handler):
        kind, _, name = (handler.get_cookie("hub-user") or "").partition(":")
        token = self.get_token(handler) or ""
        if token.startswith("hub-token-of-"):
            kind, name = "user", token.removeprefix("hub-token-of-")
            handler._token_authenticated = True
        if not name:
            return None
        user = HubUser(name)
        user.hub_user = {"kind": kind, "name": name}
        return user
