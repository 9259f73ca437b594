"""The verbs of what labelers are asked, in a shell."""

import httpx

from tests.commands.conftest import Shell
from tests.conftest import LabServer


def test_samples_are_asked_for_listed_and_withdrawn(mlship: Shell, lab_server: LabServer) -> None:
    def done(*words: str) -> str:
        result = mlship(*words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    client: httpx.Client = lab_server.client
    body = {"name": "asked", "task": "text_classification", "classes": ["ham", "spam"]}
    client.post("projects", json=body).raise_for_status()
    begun = client.post(
        "projects/asked/imports",
        params={"format": "csv", "text": "text"},
        content=b"text\nwin money\nhello\n",
    ).json()
    client.get(f"imports/{begun['id']}", params={"wait_s": 30})
    sample = client.get("projects/asked/queue").json()["samples"][0]["id"]
    said = done("request", "asked", "--search", "MONEY", "--detail", "look twice")
    assert "1 sample is asked for in asked (request)." in said
    batch = said.split("`withdraw asked ")[1].split("`")[0]
    listed = done("requests", "asked")
    assert batch in listed and "look twice" in listed
    assert "1 samples that still waited" in done("withdraw", "asked", batch)
    run = client.post("runs", json={"name": "wrong", "project": "asked"}).json()["id"]
    worst = [{"sample_id": sample, "actual": "ham", "predicted": "spam", "confidence": 0.9}]
    nothing = dict.fromkeys(("confusion", "per_class", "roc", "precision_recall"), ())
    figures = dict.fromkeys(("accuracy", "macro_f1", "log_loss", "baseline_accuracy"), 0.5)
    about = {"task": "text_classification", "classes": ["ham", "spam"], "rows": 2, "worst": worst}
    evaluation = {**nothing, **figures, **about}
    client.put(f"runs/{run}/artifacts/evaluation.json", json=evaluation).raise_for_status()
    assert "1 sample is asked for in asked (error)." in done("request", "asked", "--errors-of", str(run))
    assert "1 known answer is saved" in done("gold", "asked", f"{sample}=spam")
    wrong = mlship("gold", "asked", "spam")
    assert (wrong.returncode, "12=spam" in wrong.stderr) == (2, True)
