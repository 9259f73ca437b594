"""scikit-learn: every outermost `fit` of a model is a run.

scikit-learn's own callbacks are set on one estimator at a time, and only a few classes call them. So `fit` itself
is known here: of every class that there is and of every class that comes. What is fitted inside of another
fit, as the steps of a pipeline or the candidates of a search, belongs to the outermost one. Estimators that
only transform are no models, and make no runs.
"""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from modelship_lab.learning.autolog.tracking import Tracked, Tracking, inside, is_called_by

SCORED_ROWS = 10_000
"""Most training rows that a model is scored on: some models predict slower than they learn."""
MOST_CLASSES = 30
MOST_FEATURES = 10_000
_FITS = ("fit", "fit_predict")
_CURVES = {"loss_curve_": "loss", "train_score_": "loss", "validation_scores_": "validation_score"}
"""What some models have kept of every iteration."""

_is_inside: ContextVar[bool] = ContextVar("mlship_sklearn_fit", default=False)


class SklearnHooks:
    """Know of `fit`, and put everything back afterwards."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._originals: dict[tuple[type, str], FunctionType] = {}
        self._going_on = 0

    def on(self) -> None:
        for kind in _kinds(BaseEstimator):
            self._wrap(kind)
        hooks = self

        def wrap_new(cls: Any, /, **kwargs: Any) -> None:
            super(BaseEstimator, cls).__init_subclass__(**kwargs)
            hooks._wrap(cls)

        BaseEstimator.__init_subclass__ = classmethod(wrap_new)

    def off(self) -> None:
        del BaseEstimator.__init_subclass__
        for (kind, name), original in self._originals.items():
            setattr(kind, name, original)
        self._originals.clear()

    def _wrap(self, kind: type) -> None:
        for owner in kind.__mro__:
            for name in _FITS:
                original = vars(owner).get(name)
                # What else stands there, as a method that exists only sometimes, is left alone.
                if isinstance(original, FunctionType) and (owner, name) not in self._originals:
                    self._originals[owner, name] = original
                    setattr(owner, name, self._wrapped(original))

    def _wrapped(self, original: FunctionType) -> Callable[..., Any]:
        @functools.wraps(original)
        def fit(estimator: Any, *args: Any, **kwargs: Any) -> Any:
            return self(original, estimator, args, kwargs)

        return fit

    def __call__(self, original: FunctionType, estimator: Any, args: Any, kwargs: Any) -> Any:
        # A thread that joblib works with knows nothing of the context of the fit that has called joblib.
        is_inside = _is_inside.get() or (self._going_on and is_called_by("joblib."))
        if is_inside or not _is_model(estimator):
            return original(estimator, *args, **kwargs)
        return self._fit(original, estimator, args, kwargs)

    def __reduce__(self) -> Any:
        """A notebook's classes go to processes by value, and this with their `fit`: nobody knows of it there."""
        return _unhooked, ()

    def _fit(self, original: FunctionType, estimator: Any, args: Any, kwargs: Any) -> Any:
        name = self._tracking.attempt(lambda: _name(estimator)) or type(estimator).__name__
        tracked = self._tracking.begin(name)
        if tracked is not None:
            # Not every estimator knows its own parameters, and most work without.
            tracked.attempt(lambda: tracked.log_params(_params(estimator)))
        started_s = time.perf_counter()
        try:
            with self._outermost(), inside(tracked):
                result = original(estimator, *args, **kwargs)
        except BaseException as error:
            if tracked is not None:
                tracked.end(error)
            raise
        if tracked is not None:
            seconds = time.perf_counter() - started_s
            with self._outermost():
                tracked.set_summary({"fit_s": seconds})
                tracked.attempt(lambda: _log_fitted(tracked, estimator, *_data(args, kwargs)))
            tracked.end()
        return result

    @contextmanager
    def _outermost(self) -> Iterator[None]:
        before = _is_inside.get()
        _is_inside.set(True)
        self._going_on += 1
        try:
            yield
        finally:
            self._going_on -= 1
            _is_inside.set(before)


def _unhooked() -> Callable[..., Any]:
    return _just_fit


def _just_fit(original: FunctionType, estimator: Any, args: Any, kwargs: Any) -> Any:
    return original(estimator, *args, **kwargs)


def _kinds(base: type) -> Iterable[type]:
    """All classes that are derived from one."""
    seen: set[type] = set()
    waiting = [base]
    while waiting:
        kind = waiting.pop()
        if kind not in seen:
            seen.add(kind)
            waiting += kind.__subclasses__()
    return seen


def _is_model(estimator: Any) -> bool:
    try:
        return any(hasattr(estimator, name) for name in ("predict", "fit_predict"))
    except Exception:
        # Whether a pipeline predicts is asked of its last step, which can be anything.
        return False


def _name(estimator: Any) -> str:
    name = type(estimator).__name__
    if steps := getattr(estimator, "steps", None):
        return f"{name}({', '.join(type(step).__name__ for _, step in steps)})"
    inner = estimator.get_params(deep=False).get("estimator")
    return name if inner is None else f"{name}({_name(inner)})"


def _params(estimator: Any) -> dict[str, Any]:
    return {"model": type(estimator).__name__, **estimator.get_params(deep=True)}


def _data(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The first rows of what the model was fitted on."""
    x = args[0] if args else kwargs.get("X")
    y = args[1] if len(args) > 1 else kwargs.get("y")
    return _first(x), _first(y)


def _first(values: Any) -> Any:
    if hasattr(values, "tocsr"):
        # Some sparse matrices cannot be cut.
        values = values.tocsr()
    return None if values is None else values[:SCORED_ROWS]


def _log_fitted(tracked: Tracked, estimator: Any, x: Any, y: Any) -> None:
    shape = getattr(x, "shape", None)
    if shape is not None and len(shape) == 2:
        tracked.log_params({"features": shape[1]})
    for work in (_log_score, _log_confusion, _log_weights, _log_search, _log_curves):
        tracked.attempt(functools.partial(work, tracked, estimator, x, y))


def _log_score(tracked: Tracked, estimator: Any, x: Any, y: Any) -> None:
    if y is not None and hasattr(estimator, "score"):
        tracked.set_summary({"training_score": estimator.score(x, y)})


def _log_confusion(tracked: Tracked, estimator: Any, x: Any, y: Any) -> None:
    if y is None or not is_classifier(estimator) or len(estimator.classes_) > MOST_CLASSES:
        return
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    counts = confusion_matrix(y, estimator.predict(x), labels=estimator.classes_)
    figure = Figure(figsize=(1.5 + 0.5 * len(counts), 1.2 + 0.5 * len(counts)), layout="constrained")
    shown = ConfusionMatrixDisplay(counts, display_labels=estimator.classes_)
    shown.plot(ax=figure.subplots(), colorbar=False, cmap="Blues")
    tracked.log_figure("training_confusion", figure)


def _log_weights(tracked: Tracked, estimator: Any, x: Any, y: Any) -> None:
    """Importances or coefficients by feature, the strongest first."""
    model = getattr(estimator, "best_estimator_", estimator)
    names = None
    if steps := getattr(model, "steps", None):
        if len(steps) > 1:
            names = model[:-1].get_feature_names_out()
        model = model[-1]
    values = getattr(model, "feature_importances_", None)
    kind = "importance"
    if values is None:
        values, kind = getattr(model, "coef_", None), "coefficient"
    if values is None or not hasattr(values, "shape"):
        return
    table = np.atleast_2d(np.asarray(values, dtype=float))
    if names is None:
        names = getattr(model, "feature_names_in_", [f"x{place}" for place in range(table.shape[1])])
    order = np.argsort(-np.abs(table).max(axis=0))[:MOST_FEATURES]
    columns = [kind] if len(table) == 1 else [f"{kind} {place}" for place in range(len(table))]
    by_feature = {"feature": [str(names[place]) for place in order]}
    tracked.log_table("features", by_feature | dict(zip(columns, table[:, order], strict=True)))


def _log_search(tracked: Tracked, estimator: Any, x: Any, y: Any) -> None:
    """Of a search: its candidates, and the best of them."""
    results = getattr(estimator, "cv_results_", None)
    if results is None:
        return
    # A masked array has no value where a candidate does not have the parameter.
    columns = {name: np.ma.asarray(values).tolist() for name, values in results.items() if name != "params"}
    tracked.log_table("candidates", columns)
    for place, score in enumerate(results.get("mean_test_score", ())):
        tracked.log({"mean_test_score": score}, place)
    if hasattr(estimator, "best_params_"):
        tracked.log_params({f"best.{name}": value for name, value in estimator.best_params_.items()})
    if isinstance(best := getattr(estimator, "best_score_", None), float):
        tracked.set_summary({"best_score": best})


def _log_curves(tracked: Tracked, estimator: Any, x: Any, y: Any) -> None:
    for attribute, name in _CURVES.items():
        for step, value in enumerate(_series(getattr(estimator, attribute, None))):
            tracked.log({name: value}, step)


def _series(values: Any) -> Iterable[float]:
    return () if values is None else [float(value) for value in values]
