"""Programs that talk to an API of another system with curl."""

import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.conftest import LabServer

PASSWORD = "password-of-the-tests"
MOUNT = "mlship/ai-manager"

Json = Any


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Json:
        return json.loads(self.text)


def curl(*arguments: str) -> Answer:
    """Run curl and read what it was answered."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--include", "--max-time", "60", *arguments],
        capture_output=True,
        check=True,
    )
    head, _, body = done.stdout.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


@dataclass
class Program:
    """Somebody's program with its credential."""

    base: str
    token: str

    def __call__(self, method: str, path: str, body: Json = None, *options: str) -> Answer:
        arguments = ["-X", method, f"{self.base}/{path}", *options]
        if self.token:
            arguments += ["-H", f"Authorization: Bearer {self.token}"]
        if body is not None:
            data = body if isinstance(body, str) else json.dumps(body)
            arguments += ["-H", "Content-Type: application/json", "-d", data]
        return curl(*arguments)

    def documented(self, command: str) -> Answer:
        """Run a command as the documentation has it, with this server's address and this token."""
        command = command.replace("http://localhost:8000", self.base).replace("<token>", self.token)
        name, *arguments = shlex.split(command.replace("\\\n", " "))
        assert name == "curl"
        return curl(*arguments)

    def project(self, name: str, **fields: Json) -> int:
        answer = self("POST", "projects/", {"name": name, **fields})
        assert answer.status in (200, 201), answer.text
        return answer.json["id"]

    def run(self, project: int, **fields: Json) -> int:
        answer = self("POST", f"runs/?project_id={project}", {"name": "a run", **fields})
        assert answer.status in (200, 201), answer.text
        return answer.json["id"]


def register(server: LabServer, username: str) -> Program:
    """A new account that is logged in."""
    base = server.url + MOUNT
    new = {"email": f"{username}@example.com", "username": username, "password": PASSWORD}
    assert Program(base, "")("POST", "auth/register", new).status in (200, 201)
    login = curl("-X", "POST", f"{base}/auth/login", "-d", f"username={username}&password={PASSWORD}")
    assert login.status == 200, login.text
    return Program(base, login.json["access_token"])


def is_time(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", text) is not None
