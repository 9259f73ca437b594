"""Texts as the ids of a tokenizer's tokens, by the library `tokenizers` alone."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from modelship_lab.records.bundle import TextTokens
from modelship_lab.records.errors import InvalidData, InvalidInput, MissingDependency

__all__ = ["readable_text", "token_ids", "tokenizer_of", "word_tokens"]

MOST_CHARACTERS = 100
"""For each token that is read; what comes later is not looked at: nobody waits for a megabyte to be cut to tokens
of which the model takes the first few."""


@lru_cache(maxsize=8)
def tokenizer_of(content: str, max_length: int) -> Any:
    """The tokenizer of a tokenizer file's content, which cuts texts after `max_length` tokens.

    Raises:
        MissingDependency: the library is not installed.
        InvalidData: not a tokenizer file.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingDependency(
            "Models on text encoders need an optional package: `pip install tokenizers`."
        ) from None
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # the library raises plain exceptions
        raise InvalidData("the tokenizer file cannot be read by the library tokenizers") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def token_ids(spec: TextTokens, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each readable text as the model takes them: those of the tokenizer plus 1."""
    encodings = _tokenizer(spec).encode_batch_fast(texts)
    return [[token + 1 for token in encoding.ids] for encoding in encodings]


def word_tokens(spec: TextTokens, text: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The words of a text, the ids of its tokens, and to which word each belongs; -1 for the tokenizer's own.

    Raises:
        InvalidInput: the text is not valid Unicode.
    """
    readable = readable_text(spec, text)
    encoding = _tokenizer(spec).encode(readable)
    spans: list[list[int]] = []
    owners: list[int] = []
    last = None
    for word, (start, end), is_special in zip(
        encoding.word_ids, encoding.offsets, encoding.special_tokens_mask, strict=True
    ):
        if is_special:
            owners.append(-1)
            continue
        if word is None or word != last:
            spans.append([start, end])
        spans[-1][1] = end
        owners.append(len(spans) - 1)
        last = word
    words = tuple(readable[start:end].strip() for start, end in spans)
    return words, np.array(encoding.ids, np.int64) + 1, np.array(owners, np.int64)


def _tokenizer(spec: TextTokens) -> Any:
    return tokenizer_of(spec.tokenizer, spec.max_length)


def readable_text(spec: TextTokens, text: str) -> str:
    """As much of a text as the tokenizer is given.

    Raises:
        InvalidInput: the text is not valid Unicode.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("the text is not valid Unicode: it has half of a surrogate pair") from None
    return text[: spec.max_length * MOST_CHARACTERS]
