"""Help from models, from a shell: the light model, thresholds, audits, revoking."""

from pathlib import Path

from tests.commands.conftest import Shell

REVIEWS = Path("notebooks/data/reviews.csv")


def test_suggestions_become_automatic_labels_and_are_revoked(mlship: Shell, tmp_path) -> None:
    def run(*words: str) -> str:
        done = mlship(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    lines = REVIEWS.read_text(encoding="utf-8").splitlines(keepends=True)
    known, unknown = tmp_path / "known.csv", tmp_path / "unknown.csv"
    known.write_text("".join(lines[:400]))
    unknown.write_text("text\n" + "".join(f"word{number} good movie\n" for number in range(50)))
    run("new", "talk", "--type", "text_classification", "--classes", "negative,positive")
    run("import", "talk", str(known), "--label", "label")
    run("import", "talk", str(unknown))
    assert "light:1" in run("retrain", "talk")
    assert "light_model" in run("jobs", "talk")
    assert "all" in run("threshold", "talk", "--precision", "0.7")
    assert "50 of the stored suggestions became automatic labels" in run("threshold", "talk", "0.5")
    again = " ".join(run("threshold", "talk", "1").split())
    assert "50 automatic labels would not pass any more" in again and "mlship revoke talk --outgrown" in again
    assert "light:1" in run("spotcheck", "talk")
    assert "10 automatic labels are sent" in run("spotcheck", "talk", "-n", "10")
    assert "50 automatic labels of light:1 are taken back" in run("revoke", "talk", "light:1")
    assert "word1 good movie" in run("review", "talk")
    assert "give --outgrown" in mlship("revoke", "talk").stderr
    assert "no confidence" in mlship("threshold", "talk", "high").stderr
    assert "by itself any more" in run("threshold", "talk", "off")
