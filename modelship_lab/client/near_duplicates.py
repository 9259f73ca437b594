"""Samples that are nearly the same: texts by MinHash of their word shingles, images by a perceptual hash.

Texts: A. Broder, On the resemblance and containment of documents, 1997, with banding as in J. Leskovec, A. Rajaraman and
J. Ullman, Mining of Massive Datasets, chapter 3. Images: the signs of the lowest frequencies of a cosine transform.
"""

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import polars as pl

Bits = npt.NDArray[np.uint64]
Pairs = npt.NDArray[np.int64]

PERMUTATIONS = 128
"""The estimate of a similarity has a standard error of 0.044 at most."""

SHINGLE = 3
"""Words that stand one after the other."""

_SIDE = 32
_LOWEST = 8
_BLOCK = 512
_BESIDE = 32
_COMPARING = 0.02
"""How long a comparison takes, beside to sort one of a hundred thousand hashes."""
_SEED = 20_260_101
_TEXTS = 5000
_FACTORS = np.random.default_rng(_SEED).integers(0, 1 << 63, PERMUTATIONS, dtype=np.uint64) * np.uint64(
    2
) + np.uint64(1)
_MIXER = np.uint64(0x9E3779B97F4A7C15)


def near_texts(texts: "pl.Series", threshold: float) -> tuple[Pairs, npt.NDArray[np.float64]]:
    """Pairs of texts that share about this part of their word shingles or more, and how much each pair shares.

    Args:
        threshold: between 0 and 1: the Jaccard similarity.

    Returns:
        Positions in two columns, enough of them to connect all that are alike; and estimated similarities.
    """
    signatures = _signatures(texts)
    rows = _rows_of_band(threshold)
    # A pair is one number, so that thousands of times the same text do not fill the memory.
    found = np.empty(0, np.int64)
    for start in range(0, PERMUTATIONS - rows + 1, rows):
        keys = np.zeros(len(signatures), np.uint64)
        for column in range(start, start + rows):
            keys = _mixed(keys ^ signatures[:, column])
        order = np.argsort(keys, kind="stable")
        same = keys[order][1:] == keys[order][:-1]
        # The order is stable: of two equal keys the first one stands first.
        found = np.union1d(found, order[:-1][same] * len(signatures) + order[1:][same])
    pairs = np.column_stack(np.divmod(found, max(len(signatures), 1)))
    shares = np.empty(len(pairs))
    for start in range(0, len(pairs), 100_000):
        part = pairs[start : start + 100_000]
        shares[start : start + len(part)] = np.mean(signatures[part[:, 0]] == signatures[part[:, 1]], axis=1)
    alike = shares >= threshold
    return pairs[alike], shares[alike]


def near_images(hashes: Bits, threshold: float) -> tuple[Pairs, npt.NDArray[np.float64]]:
    """Pairs of images of whose 64 bits at least this part is the same, and which part that is.

    Of many images, not every one is compared with every other: pairs at the threshold are found with a probability of
    0.99, closer ones almost certainly.

    Returns:
        Positions in two columns, enough of them to connect all that are alike; and the parts.
    """
    most = math.floor((1 - threshold) * 64 + 1e-9)
    distinct, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    leaders = first[place]
    again = np.flatnonzero(leaders != np.arange(len(hashes)))
    bits, tables = _plan(len(distinct), most)
    near = _sampled(distinct, most, bits, tables) if tables else _compared(distinct, most)
    pairs = np.concatenate((np.column_stack((leaders[again], again)), np.sort(first[near], axis=1)))
    return pairs, 1 - np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) / 64


def _compared(hashes: Bits, most: int) -> Pairs:
    """All pairs that differ in so many bits at most."""
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        left, right = np.nonzero(np.bitwise_count(block[:, None] ^ hashes[None, start:]) <= most)
        later = left < right
        pairs.append(np.column_stack((left[later], right[later])) + start)
    return np.concatenate(pairs)


def _sampled(hashes: Bits, most: int, bits: int, tables: int) -> Pairs:
    """Pairs that differ in so many bits at most and connect all that do, found where they agree in some of their bits.

    P. Indyk and R. Motwani, Approximate Nearest Neighbors, 1998.
    """
    random = np.random.default_rng(_SEED)
    pairs = np.empty((0, 2), np.int64)
    groups = np.arange(len(hashes))
    for _ in range(tables):
        mask = np.bitwise_or.reduce(np.uint64(1) << random.choice(64, bits, replace=False).astype(np.uint64))
        keys = hashes & mask
        order = np.argsort(keys)
        keys = keys[order]
        found = []
        # Whoever has so many beside them is connected by way of these.
        for distance in range(1, _BESIDE):
            same = np.flatnonzero(keys[distance:] == keys[:-distance])
            if not len(same):
                break
            left, right = order[same], order[same + distance]
            near = np.bitwise_count(hashes[left] ^ hashes[right]) <= most
            found.append(np.column_stack((left, right))[near & (groups[left] != groups[right])])
        if found and any(map(len, found)):
            pairs = np.concatenate((pairs, *found))
            groups = groups_of(len(hashes), pairs)
    return pairs


def _plan(count: int, most: int) -> tuple[int, int]:
    """How many bits to sample how often, so that 99 of 100 pairs that differ in `most` bits agree once in all of them.

    (0, 0): to compare all with all takes no longer.
    """
    best, plan = count * count * _COMPARING, (0, 0)
    for bits in range(4, min(64 - most, 48) + 1):
        agreeing = math.comb(64 - most, bits) / math.comb(64, bits)
        tables = math.ceil(math.log(0.01) / math.log1p(-agreeing)) if agreeing < 0.99 else 1
        cost = tables * count * (1 + count / 2**bits * 2 * _COMPARING)
        if cost < best:
            best, plan = cost, (bits, tables)
    return plan


def image_hash(encoded: bytes) -> int:
    """The perceptual hash of an encoded image: 64 bits that scaling and compression hardly change."""
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        gray = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), np.float64)
    lowest = (_COSINES @ gray @ _COSINES.T).ravel()
    # The first is the brightness, which says nothing about what is seen.
    bits = lowest > np.median(lowest[1:])
    return int(np.packbits(bits).view(">u8")[0])


def as_bits(hashes: "list[int]") -> Bits:
    """Hashes as an array."""
    return np.array(hashes, np.uint64)


def groups_of(count: int, pairs: Pairs) -> npt.NDArray[np.int64]:
    """For each position the first one that it is connected with, itself if with none."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, parts = connected_components(links, directed=False)
    _, first = np.unique(parts, return_index=True)
    found: npt.NDArray[np.int64] = first[parts]
    return found


def _signatures(texts: "pl.Series") -> npt.NDArray[np.uint16]:
    """For each text, of the smallest hash of its shingles under each permutation, 16 bits.

    P. Li and A. C. König, b-Bit Minwise Hashing, 2010: of different hashes one pair in 65,536 looks the same.
    """
    signatures = np.empty((len(texts), PERMUTATIONS), np.uint16)
    # What is worked on at once stays in the processor's cache.
    for start in range(0, len(texts), _TEXTS):
        _sign(texts[start : start + _TEXTS], signatures[start : start + _TEXTS])
    return signatures


def _sign(texts: "pl.Series", signatures: npt.NDArray[np.uint16]) -> None:
    words = texts.str.to_lowercase().str.extract_all(r"\w+")
    lengths = words.list.len().to_numpy().astype(np.int64)
    # A text without words, or with few, is a shingle of its own.
    flat = (
        words.explode(empty_as_null=False).hash(_SEED).to_numpy() if lengths.sum() else np.empty(0, np.uint64)
    )
    row = np.repeat(np.arange(len(texts)), lengths)
    shingles, owners = _shingles(flat, row, lengths)
    order = np.argsort(owners, kind="stable")
    shingles, owners = shingles[order], owners[order]
    starts = np.searchsorted(owners, np.arange(len(texts)))
    permuted = np.empty_like(shingles)
    for column, factor in enumerate(_FACTORS):
        # The shingles are mixed well already, so that a product orders them anew.
        np.multiply(shingles, factor, out=permuted)
        signatures[:, column] = np.minimum.reduceat(permuted, starts) >> np.uint64(16) & np.uint64(0xFFFF)


def _shingles(words: Bits, row: Pairs, lengths: Pairs) -> tuple[Bits, Pairs]:
    """The hashes of all shingles and whose they are; of short texts the hash of all their words."""
    whole = np.maximum(len(words) - SHINGLE + 1, 0)
    within = row[:whole] == row[len(words) - whole :] if whole else np.empty(0, bool)
    hashes = np.zeros(whole, np.uint64)
    for place in range(SHINGLE):
        hashes = _mixed(hashes ^ words[place : place + whole])
    short = np.flatnonzero(lengths < SHINGLE)
    starts = np.concatenate(([0], np.cumsum(lengths)))[short]
    few = np.zeros(len(short), np.uint64)
    for place in range(SHINGLE - 1):
        there = lengths[short] > place
        few[there] = _mixed(few[there] ^ words[starts[there] + place])
    return np.concatenate((hashes[within], few)), np.concatenate((row[:whole][within], short))


def _mixed(values: Bits) -> Bits:
    """A permutation of all 64-bit numbers that leaves no trace of their order (the finalizer of splitmix64)."""
    values = values + _MIXER
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Bits = values ^ (values >> np.uint64(31))
    return found


def _rows_of_band(threshold: float) -> int:
    """As many as still find nearly all pairs at the threshold: 99 of 100 or more."""
    for rows in range(16, 1, -1):
        missed = (1 - threshold**rows) ** (PERMUTATIONS // rows)
        if missed <= 0.01:
            return rows
    return 1


def _cosines() -> Any:
    frequency, place = np.arange(_LOWEST)[:, None], np.arange(_SIDE)[None, :]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * _SIDE))


_COSINES = _cosines()
