"""Statistics of agreement between people who label the same samples.

An opinion is what one rater says about one unit. The functions take opinions as parallel arrays of unit, rater and
category numbers, each from 0; a rater has one opinion about a unit at most, and none about some.
"""

from itertools import combinations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

MISSING = -1


def krippendorff_alpha(units: Numbers, categories: Numbers) -> float | None:
    """Krippendorff's alpha for nominal data (Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011).

    Units with one opinion say nothing. None where all opinions are the same, so that chance has nothing to do.
    """
    opinions = _per_unit(units)[units]
    units, categories = units[opinions > 1], categories[opinions > 1]
    total = len(units)
    if total == 0:
        return None
    cell_units, cells = _cells(units, categories)
    per_unit = _per_unit(units).astype(np.float64)
    squares = np.bincount(cell_units, np.bincount(cells) ** 2.0, minlength=len(per_unit))
    used = per_unit > 1
    observed = float(np.sum((per_unit[used] ** 2 - squares[used]) / (per_unit[used] - 1))) / total
    of_category = np.bincount(categories).astype(np.float64)
    expected = float(total**2 - np.sum(of_category**2)) / (total * (total - 1))
    return None if expected == 0 else 1 - observed / expected


def krippendorff_alpha_of_numbers(units: Numbers, values: npt.NDArray[np.float64]) -> float | None:
    """Krippendorff's alpha for interval data: how far apart opinions are, squared, against what chance would give.

    Args:
        values: what each opinion says. None as in `krippendorff_alpha`.
    """
    opinions = _per_unit(units)[units]
    units, values = units[opinions > 1], values[opinions > 1]
    if len(units) == 0:
        return None
    # The mean squared distance of all pairs is twice the variance with one degree of freedom less.
    expected = float(values.var(ddof=1))
    per_unit = _per_unit(units)
    used = per_unit > 1
    means = np.bincount(units, values) / np.maximum(per_unit, 1)
    within = np.bincount(units, (values - means[units]) ** 2)
    observed = float(np.sum(within[used] / (per_unit[used] - 1) * per_unit[used])) / len(units)
    return None if expected == 0 else 1 - observed / expected


def fleiss_kappa(units: Numbers, categories: Numbers) -> tuple[float | None, int]:
    """Fleiss' kappa (Fleiss, "Measuring nominal scale agreement among many raters", 1971) and the units it rests on.

    It needs the same number of opinions about each unit: the most frequent number from two on is taken.
    """
    per_unit = _per_unit(units)
    several = per_unit[per_unit > 1]
    if len(several) == 0:
        return None, 0
    raters = int(np.bincount(several).argmax())
    kept = per_unit[units] == raters
    units, categories = units[kept], categories[kept]
    count = int(np.sum(per_unit == raters))
    _, cells = _cells(units, categories)
    squares = float(np.sum(np.bincount(cells).astype(np.float64) ** 2))
    observed = (squares - count * raters) / (count * raters * (raters - 1))
    shares = np.bincount(categories) / len(categories)
    chance = float(np.sum(shares**2))
    return (None if chance == 1 else (observed - chance) / (1 - chance)), count


def cohen_kappa(first: Numbers, second: Numbers) -> float | None:
    """Cohen's kappa of two raters' categories of the same units (Cohen, "A coefficient of agreement", 1960)."""
    size = int(max(first.max(), second.max())) + 1
    chance = (
        float(np.sum(np.bincount(first, minlength=size) * np.bincount(second, minlength=size)))
        / len(first) ** 2
    )
    observed = float(np.mean(first == second))
    return None if chance == 1 else (observed - chance) / (1 - chance)


def pairs_of_raters(
    units: Numbers, raters: Numbers, categories: Numbers
) -> list[tuple[int, int, Numbers, Numbers]]:
    """Two raters and their categories of the units that both have judged, for all such pairs."""
    table = np.full((units.max(initial=-1) + 1, raters.max(initial=-1) + 1), MISSING, np.int64)
    table[units, raters] = categories
    found = []
    for first, second in combinations(range(table.shape[1]), 2):
        both = (table[:, first] != MISSING) & (table[:, second] != MISSING)
        if both.any():
            found.append((first, second, table[both, first], table[both, second]))
    return found


def specific_agreement(found: npt.NDArray[np.float64], opinions: npt.NDArray[np.float64]) -> float | None:
    """How often another rater finds what one rater finds (Cicchetti & Feinstein, 1990, for many raters).

    Args:
        found: by how many raters each thing was found.
        opinions: how many raters looked at the unit that it is in.
    """
    could = float(np.sum(found * (opinions - 1)))
    return None if could == 0 else float(np.sum(found * (found - 1))) / could


def _per_unit(units: Numbers) -> Numbers:
    return np.bincount(units)


def _cells(units: Numbers, categories: Numbers) -> tuple[Numbers, Numbers]:
    """The units of the distinct pairs of unit and category, and the pair of each opinion."""
    size = int(categories.max()) + 1
    distinct, cells = np.unique(units * size + categories, return_inverse=True)
    return distinct // size, cells
