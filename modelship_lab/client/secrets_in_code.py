"""Code as it is saved with a run: what looks like a secret in its texts is hidden."""

import re

from modelship_lab.client.command_line import HIDDEN, NAME

_ISSUED = re.compile(
    r"\b(?:sk-[\w-]{20,}|gh[opsu]_\w{30,}|github_pat_\w{40,}|glpat-[\w-]{20,}|hf_\w{30,}|xox[abeoprs]-[\w-]{10,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}|mlship_[\w-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)"
)
"""As well-known services, and this lab, issue them."""

_TEXT = re.compile(
    # token = "…", token: str = "…", {"token": "…"}, environ["TOKEN"] = "…", setenv("TOKEN", "…")
    rf"""(?P<name>(?<![\w.-]){NAME})(?P<between>["']?[ ]{{0,9}}\]?[ ]{{0,9}}"""
    r"""(?::[\w.|\[\] ]{1,60}=|[=:,])[ ]{0,9}[bru]{0,2})"""
    r"""(?P<quote>"{3}|'{3}|["'])(?P<text>(?:\\.|(?!(?P=quote))[^\\\n])+)(?P=quote)""",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"pass|pwd|secret", re.IGNORECASE)
_RANDOM = re.compile(r"(?=.*\d)(?=.*[a-z])\S{16,}", re.IGNORECASE)
"""Of what is called a token or a key: `pad_token="<pad>"` and `key="val_loss"` are none."""


def without_secret_texts(code: str) -> str:
    """Python code, or what is nearly that, in which passwords, tokens and keys are hidden."""
    return _ISSUED.sub(HIDDEN, _TEXT.sub(_hidden, code))


def _hidden(found: re.Match[str]) -> str:
    if _PASSWORD.search(found["name"]) or _RANDOM.fullmatch(found["text"]):
        return f"{found['name']}{found['between']}{found['quote']}{HIDDEN}{found['quote']}"
    return found[0]
