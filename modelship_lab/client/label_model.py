"""What labeling functions say, put together: a label model."""

import numpy as np

ABSTAINS = -1

_ITERATIONS = 100
_CHANGE = 1e-6
_START = 0.7
"""Accuracy that every function is thought to have at first."""
_PRIOR = (7.0, 3.0)
"""As if each had been seen to be right and wrong so often: one that speaks seldom is not believed blindly."""


class LabelModel:
    """Estimates how often each of several sources is right, and from that what is true.

    Expectation maximization after Dawid and Skene, "Maximum Likelihood Estimation of Observer Error-Rates
    Using the EM Algorithm" (1979), with one accuracy for each source: a wrong one says each of the other
    classes equally often, and says nothing for reasons that have nothing to do with the class.

    Args:
        votes: (samples, sources), the number of a class, or `ABSTAINS`.
        classes: how many there are.
        known: (samples,) the true class where it is known, else `ABSTAINS`.
    """

    def __init__(self, votes: np.ndarray, classes: int, known: np.ndarray | None = None) -> None:
        if known is None:
            known = np.full(len(votes), ABSTAINS)
        self._classes = classes
        # Many samples are voted on alike: each pattern is computed once.
        patterns, self._pattern = np.unique(np.column_stack([votes, known]), axis=0, return_inverse=True)
        self._votes, self._known = patterns[:, :-1], patterns[:, -1]
        counts = np.bincount(self._pattern.reshape(-1), minlength=len(patterns)).astype(np.float64)
        # What nobody speaks about and nobody knows tells nothing of classes or sources.
        counts[(self._votes == ABSTAINS).all(1) & (self._known == ABSTAINS)] = 0
        self.accuracies = np.full(votes.shape[1], _START)
        self.priors = np.full(classes, 1 / classes)
        self._fit(counts)

    def probabilities(self) -> np.ndarray:
        """(samples, classes): how likely each class is by what the sources say, whatever is known."""
        return self._posterior(use_known=False)[self._pattern.reshape(-1)]

    def _fit(self, counts: np.ndarray) -> None:
        said = self._votes != ABSTAINS
        for _ in range(_ITERATIONS):
            posterior = self._posterior(use_known=True)
            weighted = posterior * counts[:, None]
            believed = np.zeros(self._votes.shape)
            for name in range(self._classes):
                believed += np.where(self._votes == name, weighted[:, [name]], 0)
            right = believed.sum(0)
            total = (said * counts[:, None]).sum(0)
            accuracies = (right + _PRIOR[0]) / (total + sum(_PRIOR))
            self.priors = (weighted.sum(0) + 1) / (counts.sum() + self._classes)
            change = np.abs(accuracies - self.accuracies).max(initial=0)
            self.accuracies = accuracies
            if change < _CHANGE:
                return

    def _posterior(self, *, use_known: bool) -> np.ndarray:
        likelihood = np.tile(np.log(self.priors), (len(self._votes), 1))
        right = np.log(self.accuracies)
        wrong = np.log((1 - self.accuracies) / (self._classes - 1))
        for source in range(self._votes.shape[1]):
            said = self._votes[:, source]
            spoke = np.flatnonzero(said != ABSTAINS)
            likelihood[spoke] += wrong[source]
            likelihood[spoke, said[spoke]] += right[source] - wrong[source]
        posterior: np.ndarray = np.exp(likelihood - likelihood.max(1, keepdims=True))
        posterior /= posterior.sum(1, keepdims=True)
        if use_known:
            known = np.flatnonzero(self._known != ABSTAINS)
            posterior[known] = 0
            posterior[known, self._known[known]] = 1
        return posterior
