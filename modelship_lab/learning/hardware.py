"""Where training computes, and how precisely."""

import logging
from dataclasses import dataclass

import torch

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.recipe_options import Accelerator, Precision

__all__ = ["Hardware", "choose"]

log = logging.getLogger(__name__)

MEMORY_SHARE = 0.25
"""Share of a device's free memory that the data set may take."""


@dataclass(frozen=True)
class Hardware:
    """What was chosen, in Lightning's words."""

    accelerator: str
    precision: str
    device: torch.device

    def has_room_for(self, nbytes: int) -> bool:
        """Whether a data set of so many bytes should lie on the device all the time."""
        if self.device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return nbytes < free * MEMORY_SHARE


def choose(accelerator: Accelerator = "auto", precision: Precision = "auto") -> Hardware:
    """The best hardware that is there, or what is asked for.

    Raises:
        InvalidInput: what is asked for is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        accelerator = "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    elif not there[accelerator]:
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise InvalidInput(f"There is no {accelerator} device for torch here; there is {found}.")
    # From compute capability 8 on bf16 is done in hardware; older GPUs emulate it slowly.
    is_made_for_bf16 = accelerator == "cuda" and torch.cuda.get_device_capability() >= (8, 0)
    if precision == "16" and accelerator == "cpu":
        log.warning("Arithmetic of 16 bits is for GPUs: training computes in 32 bits here.")
        precision = "32"
    if precision == "auto" or (precision == "16" and is_made_for_bf16):
        # As fast as fp16, with the range of 32 bits.
        precision = "bf16" if is_made_for_bf16 else "32"
    device = (
        torch.device("cuda", torch.cuda.current_device())
        if accelerator == "cuda"
        else torch.device(accelerator)
    )
    names = {"bf16": "bf16-mixed", "16": "16-mixed"}
    return Hardware(accelerator=accelerator, precision=names.get(precision, "32-true"), device=device)
