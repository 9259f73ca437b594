"""What each kind of credential costs a request, next to a plain HMAC of the same token.

Run as `python -m tests.benchmarks.bench_credentials [--rounds 20000]`; prints one JSON line with
microseconds for each check, and the seconds that one password takes on purpose. The lab has 1,000
accounts, 1,000 sessions and 1,000 API keys meanwhile.
"""

import argparse
import asyncio
import hmac
import json
import logging
import secrets
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

from modelship_lab.records.base import utc_now
from modelship_lab.records.identity import Login, NewAccount, NewApiKey
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.accounts import Accounts
from modelship_lab.server.identity.credentials import Credentials
from modelship_lab.server.identity.keys import ApiKeys
from modelship_lab.server.identity.passwords import Passwords
from modelship_lab.server.identity.policy import ALL, OWNER, Caller
from modelship_lab.server.identity.sessions import Sessions
from modelship_lab.server.storage.database import Database

MANY = 1000


def microseconds(check: Callable[[], object], rounds: int) -> float:
    """The median of ten repetitions, for one call."""
    took = []
    for _ in range(10):
        started = perf_counter()
        for _ in range(rounds // 10):
            check()
        took.append((perf_counter() - started) / (rounds // 10))
    return round(median(took) * 1e6, 2)


async def fill(database: Database, accounts: Accounts, keys: ApiKeys) -> None:
    """Accounts, sessions and keys of others."""
    for start in range(0, MANY, 100):
        await asyncio.gather(
            *(
                accounts.create(NewAccount(username=f"user-{number}"), OWNER)
                for number in range(start, start + 100)
            )
        )
    others = [Caller(2 + number, f"user-{number}", ALL, "jupyter") for number in range(MANY)]
    await asyncio.gather(*(keys.create(NewApiKey(name="k"), other) for other in others))
    moment = utc_now().replace(tzinfo=None)
    for other in others:
        row = (
            secrets.token_hex(12),
            other.account_id,
            secrets.token_hex(16),
            moment,
            moment + timedelta(days=1),
        )
        await database.write(
            lambda transaction, row=row: transaction.execute(
                "INSERT INTO sessions (id, account_id, refresh_id, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
                *row,
            )
        )


async def measure(folder: Path, rounds: int) -> dict[str, object]:
    database = Database(folder / "lab.duckdb")
    events = EventLog(database)
    passwords = Passwords()
    accounts = Accounts(database, events, passwords)
    keys = ApiKeys(database, events, accounts)
    await fill(database, accounts, keys)
    signing_key = secrets.token_bytes(32)
    sessions = Sessions(database, events, accounts, passwords, key=signing_key, lab_id="bench")
    lab_token = secrets.token_hex(24)
    credentials = Credentials(events, accounts, sessions, keys, lab_token=lab_token)
    await accounts.create(NewAccount(username="ada", password="correct horse battery"), OWNER)
    started = perf_counter()
    login = Login(username="ada", password="correct horse battery")
    tokens = await sessions.login(login, address="127.0.0.1", request_id="")
    password_s = perf_counter() - started
    api_key = (await keys.create(NewApiKey(name="k"), OWNER)).key
    offered = {
        "lab_token": lab_token,
        "api_key": api_key,
        "access_token": tokens.access_token,
        "wrong_key": f"mlship_{secrets.token_urlsafe(32)}",
        "wrong_access_token": tokens.access_token[:-2] + "AA",
        "nonsense": "nonsense",
    }
    found = {}
    for name, token in offered.items():
        assert (credentials.caller(token) is None) == (name.startswith("wrong") or name == "nonsense")
        data = token.encode()
        found[name] = {
            "us": microseconds(lambda token=token: credentials.caller(token), rounds),
            "hmac_us": microseconds(lambda data=data: hmac.digest(signing_key, data, "sha256"), rounds),
        }
    passwords.close()
    database.close()
    return {"benchmark": "credentials", "checks": found, "login_s": round(password_s, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20_000)
    rounds = parser.parse_args().rounds
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(Path(folder), rounds))))


if __name__ == "__main__":
    main()
