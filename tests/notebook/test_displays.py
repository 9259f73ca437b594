"""What comes from data is shown as text, whatever it contains."""

import base64
import io
import re
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from modelship_lab.commands.description import describe
from modelship_lab.commands.results import Imported, Predicted, Predictions, RunReport
from modelship_lab.notebook import displays, pictures
from modelship_lab.notebook.markup import progress_html
from modelship_lab.notebook.rendering import as_html, as_text
from modelship_lab.notebook.table import Table
from modelship_lab.records.base import Record, utc_now
from modelship_lab.records.errors import NotFound
from modelship_lab.records.evaluation import ClassReport, Curve, Evaluation, WorstError
from modelship_lab.records.labeling import (
    ClassAgreement,
    Import,
    Progress,
    RowProblem,
    SampleFilter,
    SampleSelection,
    SavedBulk,
)
from modelship_lab.records.metrics import NonFinite, Series
from modelship_lab.records.serving import Attribution, Prediction
from modelship_lab.records.tracking import Run

EVIL = "<script>alert(1)</script>"


def prediction(input, parts: tuple[str, ...], values: tuple[float, ...], label: str = "a") -> Predicted:
    explanation = Attribution(
        label=label, method="exact", base=0.2, probability=0.2 + sum(values), parts=parts, values=values
    )
    said = Prediction(prediction=label, probabilities=(0.9, 0.1), confidence=0.9, explanation=explanation)
    return Predicted(said, (label, "b"), input, "api")


def evaluation(classes: int = 2) -> Evaluation:
    names = tuple(f"{EVIL}{number}" for number in range(classes))
    curve = [Curve(label=name, x=(0, 0.5, 1), y=(0, 0.8, 1), area=0.7) for name in names]
    return Evaluation(
        task="text_classification",
        classes=names,
        rows=10,
        accuracy=0.8,
        macro_f1=0.8,
        log_loss=0.4,
        baseline_accuracy=0.5,
        confusion=tuple(
            tuple(3 if row == column else 1 for column in range(classes)) for row in range(classes)
        ),
        per_class=tuple(
            ClassReport(label=name, precision=1, recall=0.5, f1=0.6, support=4) for name in names
        ),
        roc=tuple(curve),
        precision_recall=tuple(curve),
        worst=(WorstError(sample_id=1, actual=names[0], predicted=names[1], confidence=0.9, preview=EVIL),),
    )


def a_run() -> Run:
    return Run(
        id=1,
        name=EVIL,
        parent_id=None,
        group=EVIL,
        children=0,
        project_id=1,
        project=EVIL,
        recipe="text-linear",
        status="failed",
        params={EVIL: EVIL},
        tags=(EVIL,),
        notes="",
        snapshot_id=None,
        environment={},
        summary={EVIL: 1.0},
        error=EVIL,
        bundle=None,
        stop_requested=False,
        started_at=utc_now(),
        ended_at=utc_now(),
        heartbeats=True,
        owner_id=1,
        is_public=False,
        heartbeat_at=utc_now(),
        updated_at=utc_now(),
    )


def test_text_is_highlighted_where_its_tokens_stand_and_escaped() -> None:
    text = "Win <b>BIG</b>  money"
    tokens = ("win", "<", "b", ">", "big", "money")
    html = as_html(prediction(text, tokens, (0.1, 0.0, 0.0, 0.0, 0.2, -0.1)))
    assert "<b>" not in html
    assert ">Win</span>" in html
    assert ">BIG</span>" in html
    assert "27,127,92,0.75" in html
    assert "192,57,43" in html
    plain = html.replace("</span>", "")
    assert "&lt;/b&gt;  " in plain or "  <span" in html


@pytest.mark.parametrize("text", ["İstanbul'a git", "no token of it", ""])
def test_tokens_that_cannot_be_placed_are_still_shown(text: str) -> None:
    html = as_html(prediction(text, ("zzz", "qqq"), (0.1, -0.1)))
    assert "zzz" in html
    assert "qqq" in html


def test_nothing_from_data_becomes_markup() -> None:
    problem = RowProblem(row=3, reason=EVIL)
    result = Import(
        id=1,
        project_id=1,
        filename=EVIL,
        status="finished",
        rows_read=1,
        samples_added=0,
        labels_added=0,
        duplicates=0,
        bad_rows=1,
        problems=(problem,),
        error="",
        bytes_total=1,
        created_at=utc_now(),
        finished_at=utc_now(),
    )
    run = a_run()
    several = Predictions((prediction(EVIL, (EVIL,), (0.1,), EVIL), prediction({EVIL: 1}, (EVIL,), (0.1,))))
    selection = SampleSelection(name=EVIL, project_id=1, count=3, samples=SampleFilter(search=EVIL))
    shown = [
        Imported(EVIL, result),
        result,
        selection,
        run,
        RunReport(run, evaluation(), (), None),
        several[0],
        several,
    ]
    for value in shown:
        html = as_html(value)
        assert "<script" not in html
        assert "&lt;script&gt;" in html
    assert "<script" not in progress_html(EVIL, 2.0, EVIL)


class Listing(Record):
    """As the lab's records are that list things."""

    classes: tuple[ClassAgreement, ...]
    counts: dict[str, int]


def test_a_record_that_nobody_wrote_words_for_is_shown_by_its_fields(shell: InteractiveShell) -> None:
    progress = Progress(
        total=5,
        labeled=3,
        auto=0,
        skipped=0,
        flagged=0,
        unlabeled=2,
        by_class={"ham": 2, "spam": 1},
        auto_by_class={},
        seconds_per_label=None,
        remaining_s=None,
    )
    looks, _ = shell.display_formatter.format(SavedBulk(saved=3, batch="b7", progress=progress))
    assert "Saved bulk" in looks["text/html"] and "class ham 2, spam 1" in looks["text/html"]
    assert looks["text/plain"].startswith("Saved bulk (saved: 3, batch: b7, progress: total 5, labeled 3")
    assert as_text(progress).startswith("3 of 5 samples done (60%)")
    agreed = tuple(ClassAgreement(name=f"{EVIL}{one}", samples=one, agreement=None) for one in range(25))
    listed = describe(Listing(classes=agreed, counts={f"class {one}": one for one in range(21)}))
    assert [(grid.title, grid.columns, len(grid.rows)) for grid in listed.grids] == [
        ("classes", ("name", "samples"), 20),
        ("counts", ("", ""), 20),
    ]
    assert (listed.title, listed.note) == ("Listing", "and 6 more")


def encoded(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(file, format="png")
    return file.getvalue()


def test_the_worst_errors_of_an_image_run_are_small_pictures() -> None:
    """Of a picture that is gone nothing is shown, and of many only the first."""
    lost = "f" * 64
    errors = [
        WorstError(sample_id=one, actual=EVIL, predicted="b", confidence=0.9, preview=f"{one:064}")
        for one in range(30)
    ]
    errors[1] = errors[1].model_copy(update={"preview": lost})
    asked = []

    def image(digest: str) -> bytes:
        asked.append(digest)
        if digest == lost:
            raise NotFound("There is no such image.")
        return encoded((800, 400))

    judged = evaluation().model_copy(update={"task": "image_classification", "worst": tuple(errors)})
    html = as_html(RunReport(a_run(), judged, (), None, image))
    assert len(asked) == 12
    thumbnails = re.findall(r"alt='Sample (\d+)' src='data:image/png;base64,([^']+)'", html)
    assert [int(number) for number, _ in thumbnails] == [0, *range(2, 12)]
    with Image.open(io.BytesIO(base64.b64decode(thumbnails[0][1]))) as small:
        assert small.size == (96, 48)
    assert lost not in html
    assert errors[0].preview not in html
    assert html.count("Worst errors") == 1
    assert ">confidence<" not in html
    assert "<script" not in html
    words = describe(RunReport(a_run(), judged, (), None))
    assert words.grids[-1].columns == ("sample", "actual", "predicted", "confidence")


def test_a_table_reads_well_and_is_a_frame() -> None:
    started = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    table = Table(
        pl.DataFrame(
            {"id": [7], "name": [EVIL], "loss": [0.123456789], "empty": [None], "started_at": [started]}
        )
    )
    assert table["loss"].item() == 0.123456789
    assert isinstance(table.filter(pl.col("id") == 7), pl.DataFrame)
    for shown in (table._repr_html_(), repr(table)):
        assert "2026-01-02 03:04:05 UTC" in shown
        assert "0.1235" in shown
        for noise in ("0.12345", "678", "f64", "quot;", "shape", "empty", "null"):
            assert noise not in shown
    assert "<script" not in table._repr_html_()
    many = Table(pl.DataFrame({"id": range(130)}))
    assert "and 30 more" in many._repr_html_()
    assert "and 30 more" in repr(many)
    assert "nothing yet" in repr(Table(pl.DataFrame({"id": []})))


def colors(figure) -> int:
    with Image.open(io.BytesIO(pictures.png(figure))) as image:
        return len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))


@pytest.mark.parametrize("classes", [2, 12, 40])
def test_evaluations_of_few_and_many_classes_are_drawn(classes: int) -> None:
    assert colors(pictures.evaluation(evaluation(classes))) > 5


def test_regions_are_drawn_over_the_image_at_its_own_size() -> None:
    file = io.BytesIO()
    Image.new("L", (64, 32), 200).save(file, format="png")
    # The model saw it at 8 x 4.
    attribution = Attribution(
        label="a", method="exact", base=0.1, probability=0.4, parts=("0,0,4,4", "4,0,8,4"), values=(0.5, -0.2)
    )
    figure = pictures.regions(attribution, file.getvalue())
    left, right = figure.axes[1].patches
    assert (left.get_x(), left.get_width(), left.get_height()) == (-0.5, 32, 32)
    assert right.get_x() == 31.5
    assert left.get_alpha() > right.get_alpha()
    assert colors(figure) > 5


def test_bars_gather_what_is_too_much_and_curves_bridge_nothing() -> None:
    many = Attribution(
        label="a",
        method="sampled",
        base=0.1,
        probability=0.4,
        parts=tuple(f"feature {number}" for number in range(40)),
        values=tuple(number / 100 for number in range(40)),
    )
    labels = [label.get_text() for label in pictures.bars(many).axes[0].get_yticklabels()]
    assert labels[0] == "feature 39"
    assert labels[-1] == "25 others"
    loss, accuracy, epoch = (
        Series(name=name, steps=(0, 1, 2), values=(1.0, None, 0.5), times=(0.0, 1.0, 2.0), points=3)
        for name in ("val_loss", "val_accuracy", "epoch")
    )
    figure = pictures.training((loss, accuracy, epoch))
    assert [axes.get_title() for axes in figure.axes] == ["Loss", "Score"]
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[1])
    assert pictures.training((epoch,)) is None


def test_curves_mark_what_is_no_number_and_say_what_they_stand_for() -> None:
    nan = NonFinite(step=4, time=4.0, kind="nan")
    reduced = Series(
        name="train_loss",
        steps=(0, 5),
        values=(1.0, 0.5),
        times=(0.0, 5.0),
        low=(0.1, 0.2),
        high=(9.0, 0.6),
        counts=(5, 5),
        nonfinite=(nan,),
        nonfinite_count=1,
        points=10,
        reduced=True,
    )
    others = [
        Series(name=f"other_{number}", steps=(0,), values=(1.0,), times=(0.0,), points=1)
        for number in range(8)
    ]
    names, left_out = pictures.drawn(["epoch", "system/cpu", "train_loss", *(one.name for one in others)])
    assert (len(names), left_out) == (6, 3)
    figure = pictures.training([one for one in (reduced, *others) if one.name in names], left_out)
    assert figure is not None
    loss, *rest = figure.axes
    assert loss.get_xlabel() == "step (10 points as 2 ranges)"
    assert len(loss.collections) == 1
    curve, mark = loss.lines
    assert mark.get_xdata()[0] == 4
    assert mark.get_color() == curve.get_color()
    assert [axes.get_title() for axes in rest] == [f"other_{number}" for number in range(5)]
    assert figure.get_supxlabel() == "3 other metrics are in the lab"


def test_whatever_a_verb_returns_is_shown_as_a_page() -> None:
    described = {
        (one.__module__, one.__name__)
        for one in describe.registry
        if one is Record or (not issubclass(one, Record) and one is not object)
    }
    assert described - set(displays._SHOWN) == {("modelship_lab.client.runs", "RunHandle")}, (
        "a handle shows a live view"
    )
