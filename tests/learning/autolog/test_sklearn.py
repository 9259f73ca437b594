"""What scikit-learn fits becomes runs."""

import io
import logging
import pickle
from typing import Any

import cloudpickle
import numpy as np
import pytest
from PIL import Image
from scipy.sparse import coo_matrix
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelship_lab import client
from modelship_lab.learning.autolog import autolog
from modelship_lab.records.errors import Unavailable

X, Y = load_iris(return_X_y=True, as_frame=True)


def test_a_fit_is_a_run_with_parameters_score_coefficients_and_confusion(autologged: Any) -> None:
    runs = autologged("sklearn")
    model = LogisticRegression(C=0.5, max_iter=500).fit(X, Y)
    (run,) = runs
    record = run.refresh()
    assert (record.name, record.status) == ("LogisticRegression", "finished")
    assert record.tags == ("autolog", "sklearn")
    assert (record.params["C"], record.params["max_iter"], record.params["features"]) == (0.5, 500, 4)
    assert record.summary["training_score"] == pytest.approx(model.score(X, Y))
    assert record.summary["fit_s"] > 0
    weights = run.table("features").sort("feature")
    assert weights["feature"].to_list() == sorted(X.columns)
    order = np.argsort(X.columns)
    assert weights["coefficient 2"].to_numpy() == pytest.approx(model.coef_[2][order])
    with Image.open(io.BytesIO(run.artifact("training_confusion"))) as picture:
        assert picture.width > 100


def test_a_pipeline_is_one_run_and_a_transformer_none(autologged: Any) -> None:
    runs = autologged("sklearn")
    StandardScaler().fit(X)
    make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    (run,) = runs
    assert run.refresh().name == "Pipeline(StandardScaler, LogisticRegression)"
    assert run.record.params["logisticregression__C"] == 1.0
    assert set(run.table("features")["feature"]) == set(X.columns)


def test_a_search_is_one_run_with_its_candidates(autologged: Any) -> None:
    runs = autologged("sklearn")
    search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.01, 0.1, 1]}, cv=2).fit(X, Y)
    (run,) = runs
    record = run.refresh()
    assert record.name == "GridSearchCV(LogisticRegression)"
    assert record.params["best.C"] == search.best_params_["C"]
    assert record.summary["best_score"] == pytest.approx(search.best_score_)
    assert run.table("candidates")["param_C"].to_list() == [0.01, 0.1, 1]
    scores = run.metrics_frame(["mean_test_score"])
    assert scores["value"].to_list() == pytest.approx(search.cv_results_["mean_test_score"])


def test_what_threads_fit_inside_of_a_fit_is_part_of_it(autologged: Any) -> None:
    runs = autologged("sklearn")
    RandomForestClassifier(8, n_jobs=2).fit(X, Y)
    KMeans(2, n_init=1).fit_predict(X)
    assert [run.refresh().name for run in runs] == ["RandomForestClassifier", "KMeans"]
    assert {run.record.status for run in runs} == {"finished"}


def test_what_fails_is_a_failed_run_and_raises_as_before(autologged: Any) -> None:
    runs = autologged("sklearn")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LinearRegression().fit(X, Y[:5])
    (run,) = runs
    assert run.refresh().status == "failed"
    assert run.record.error.startswith("ValueError: Found input variables with inconsistent")
    assert b"in fit" in run.artifact("traceback.txt")


def test_classes_that_come_later_are_known(autologged: Any) -> None:
    runs = autologged("sklearn")

    class Constant(ClassifierMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> "Constant":
            self.classes_ = np.unique(y)
            return self

        def predict(self, X: Any) -> Any:
            return np.full(len(X), self.classes_[0])

    Constant().fit(X, Y)
    assert runs[0].refresh().summary["training_score"] == pytest.approx(1 / 3)


class Unknowing(BaseEstimator):
    """Takes anything, and does not know its own parameters."""

    def __init__(self, *alphas: float) -> None:
        self.seen: Any = None

    def fit(self, x: Any, y: Any = None) -> "Unknowing":
        self.seen = list(x)
        return self

    def predict(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize("data", [{"a": 1}, (row for row in "ab"), {1, 2}])
def test_what_cannot_be_looked_at_is_fitted_all_the_same(autologged: Any, data: Any) -> None:
    runs = autologged("sklearn")
    assert len(Unknowing(1.0).fit(data).seen) >= 1
    record = runs[0].refresh()
    assert (record.name, record.status) == ("Unknowing", "finished")


def test_a_sparse_matrix_of_coordinates_is_scored(autologged: Any) -> None:
    runs = autologged("sklearn")
    LogisticRegression(max_iter=500).fit(coo_matrix(X), Y)
    assert runs[0].refresh().summary["training_score"] > 0.9


def test_classes_of_a_notebook_go_to_other_processes(autologged: Any) -> None:
    runs = autologged("sklearn")

    class Rule(ClassifierMixin, BaseEstimator):
        def __init__(self, word: int = 0) -> None:
            self.word = word

        def fit(self, x: Any, y: Any) -> "Rule":
            self.classes_ = np.unique(y)
            return self

        def predict(self, x: Any) -> Any:
            return np.full(len(x), self.word)

    copied = pickle.loads(cloudpickle.dumps(Rule))
    assert copied(1).fit(X, Y).predict(X)[0] == 1
    assert not runs


def test_the_active_run_gets_what_is_fitted_in_it(lab: client.Lab, autologged: Any) -> None:
    runs = autologged("sklearn")
    with lab.start_run("mine") as run:
        LinearRegression().fit(X, Y)
        assert run.is_running
    assert not runs
    assert run.refresh().params["model"] == "LinearRegression"


def test_switched_off_nothing_is_left(lab: client.Lab) -> None:
    def methods() -> dict[Any, Any]:
        kinds, waiting = set(), [BaseEstimator]
        while waiting:
            kind = waiting.pop()
            kinds.add(kind)
            waiting += [one for one in kind.__subclasses__() if one not in kinds]
        owners = {owner for kind in kinds for owner in kind.__mro__}
        names = ("fit", "fit_predict", "__init_subclass__")
        return {(owner, name): vars(owner).get(name) for owner in owners for name in names}

    before = methods()
    autolog(lab, "sklearn")
    assert methods() != before
    autolog(lab, "sklearn", disable=True)
    assert methods() == before


def test_a_lab_that_is_away_is_told_once_and_models_are_fitted(caplog: pytest.LogCaptureFixture) -> None:
    class Away:
        asked = 0

        def start_run(self, *_: Any, **__: Any) -> None:
            self.asked += 1
            raise Unavailable("The lab server does not answer.")

    away: Any = Away()
    autolog(away, "sklearn")
    try:
        with caplog.at_level(logging.WARNING):
            models = [LinearRegression().fit(X, Y) for _ in range(3)]
    finally:
        autolog(away, "sklearn", disable=True)
    assert all(hasattr(model, "coef_") for model in models)
    assert away.asked == 1
    (told,) = [one.getMessage() for one in caplog.records if "Autologging" in one.getMessage()]
    assert "sklearn" in told
    assert "does not answer" in told
