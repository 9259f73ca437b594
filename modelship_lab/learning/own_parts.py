"""What somebody gives to train a module of their own: the module, its data, or functions that make them."""

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn

from modelship_lab.records.errors import InvalidInput

if TYPE_CHECKING:
    from modelship_lab.client import SnapshotData

__all__ = ["has_loader", "held_out_batches", "made_of", "pairs"]


def made_of(
    module: Any, datamodule: Any, snapshot: "SnapshotData"
) -> tuple[LightningModule, LightningDataModule | None]:
    """The module and its data, of what the user has given.

    Raises:
        InvalidInput: it is neither a module nor a function that makes one, or there is nothing to train on.
    """
    made = _called(module, snapshot)
    if isinstance(made, tuple) and len(made) == 2 and datamodule is None:
        made, datamodule = made
    loaders = _called(datamodule, snapshot)
    if not isinstance(made, LightningModule):
        hint = (
            " It is one of the package pytorch_lightning; take `from lightning.pytorch import LightningModule`."
            if any(base.__module__.startswith("pytorch_lightning") for base in type(made).__mro__)
            else ""
        )
        raise InvalidInput(
            f"A LightningModule is needed, or a function that returns one, not {type(made).__name__}.{hint}"
        )
    if loaders is not None and not isinstance(loaders, LightningDataModule):
        raise InvalidInput(f"The data are a LightningDataModule, not {type(loaders).__name__}.")
    if loaders is None and not is_overridden("train_dataloader", made):
        raise InvalidInput(
            f"{type(made).__name__} has nothing to train on: give a datamodule, or let it have `train_dataloader`."
        )
    return made, loaders


def _called(given: Any, snapshot: "SnapshotData") -> Any:
    """What a function returns; other things as they are."""
    if not callable(given) or isinstance(given, nn.Module | LightningDataModule):
        return given
    needed = [
        parameter
        for parameter in inspect.signature(given).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > 1 or (needed and inspect.isclass(given)):
        names = ", ".join(parameter.name for parameter in needed)
        raise InvalidInput(
            f"{given.__name__} needs {names}: give an object that is made already, or a function that takes the "
            "snapshot alone."
        )
    return given(snapshot) if needed else given()


def has_loader(module: LightningModule, datamodule: LightningDataModule | None, stage: str) -> bool:
    name = f"{stage}_dataloader"
    return is_overridden(name, datamodule, LightningDataModule) if datamodule else is_overridden(name, module)


def held_out_batches(module: LightningModule, datamodule: LightningDataModule | None) -> Any:
    """Batches of rows that were not trained on: those of the test, else of the validation."""
    for stage, word in (("test", "test"), ("val", "validate")):
        if has_loader(module, datamodule, stage):
            if datamodule is not None:
                datamodule.setup(word)
            return getattr(datamodule or module, f"{stage}_dataloader")()
    return ()


def pairs(module: LightningModule, loader: Any) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    """The inputs and the labels of batches that have both."""
    for batch in loader:
        if not isinstance(batch, list | tuple) or len(batch) < 2:
            return
        *inputs, labels = batch
        given = (
            tuple(inputs[0]) if len(inputs) == 1 and isinstance(inputs[0], list | tuple) else tuple(inputs)
        )
        if not all(isinstance(one, Tensor) for one in (*given, labels)):
            return
        yield tuple(one.to(module.device) for one in given), labels
