"""What the documents name is there: verbs and options, methods, files, filters."""

import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

from modelship_lab import client
from modelship_lab.client.projects import ProjectHandle
from modelship_lab.client.runs import RunHandle
from modelship_lab.commands.main import mlship
from modelship_lab.server.tracking.run_filter import read

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
LINES = sorted(set(re.findall(r"^(?:    |%)?mlship ([a-z].*)$", README, re.MULTILINE)))
ROW = re.compile(r"^\| (?:a run's own|parameters, final figures|metrics|several).*$", re.MULTILINE)


def test_every_verb_is_in_the_readme() -> None:
    named = set(re.findall(r"(?:mlship |`)([a-z][a-z-]*)", README))
    assert not mlship.commands.keys() - named


@pytest.mark.parametrize("line", LINES)
def test_every_line_of_the_readme_names_verbs_and_options_that_there_are(line: str) -> None:
    words = shlex.split(line, comments=True)
    command: click.Command = mlship
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if isinstance(command, click.Group):
        assert command is not mlship, f"there is no verb '{words[0]}'"
        command = command.commands["list"]
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    named = {word.split("=")[0] for word in words if re.match("--?[a-z]", word)}
    named -= {word for before, word in itertools.pairwise(words) if before in ("--sort", "--columns")}
    assert named <= options or command is mlship.commands["serve"], "`serve` hands its options on"


def test_every_method_of_the_readme_is_there() -> None:
    faces = {"lab": client.Lab, "run": RunHandle}
    named = set(re.findall(r"\b(lab|run)\.([a-z_]+)\(", README))
    assert len(named) > 10
    assert not [f"{face}.{name}" for face, name in named if not hasattr(faces[face], name)]
    assert hasattr(ProjectHandle, "import_file")


def test_every_filter_of_the_readme_is_understood() -> None:
    rows = ROW.findall(README)
    filters = [
        text for row in rows for text in re.findall("`([^`]*)`", row) if re.search("[=<>()]| in | is ", text)
    ]
    filters += re.findall(r"--filter '([^']*)'", README)
    assert len(filters) > 10
    for text in filters:
        read(text)


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_file_that_is_named_is_there(text: str) -> None:
    named = {
        path
        for path in re.findall(r"`((?:[a-z_]+/)+[\w.]*)`", text)
        if ("<" not in path and "." in path) or path.endswith("/")
    }
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text))
    missing = [
        path
        for path in named | linked
        if not any((base / path).exists() for base in (ROOT, ROOT / "modelship_lab"))
    ]
    assert not missing
