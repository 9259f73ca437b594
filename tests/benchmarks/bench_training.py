"""What Lightning, logging and checkpointing cost, against a bare torch loop on the same model and data.

Run as `python -m tests.benchmarks.bench_training`; prints one JSON line. Both sides train the same
network from the same weights on the same batches with the same optimizer and schedule for the same
number of epochs on one core, in turns; the figure is the ratio of the processor seconds of the least of each, because
whatever else the machine does only makes them more.
"""

import json
import time

import numpy as np
import torch
from torch.nn import functional

from modelship_lab.learning import fit as fitting
from modelship_lab.learning import loop, recipes
from modelship_lab.learning.fit import automatic_batch_size, fit
from modelship_lab.learning.rows import Batches
from modelship_lab.learning.samples import Samples, encode_samples
from modelship_lab.learning.schedules import rate_factor
from modelship_lab.learning.split import split_rows
from modelship_lab.records.recipes import recipe_named
from tests.learning.snapshots import LocalSnapshot, Recorder, digits, reviews, table

PAIRS = 10
CASES = {
    "text-linear": (reviews, 6),
    "image-cnn": (digits, 2),
    "tabular-mlp": (lambda: table("breast_cancer"), 15),
}


class Bare:
    """The loop that one would write by hand: steps, and a validation loss after every epoch."""

    def __init__(self, snapshot: LocalSnapshot, recipe: str, epochs: int) -> None:
        chosen = recipe_named(recipe)
        self.options = chosen.checked({"epochs": epochs})
        samples = Samples.of_snapshot(snapshot)
        labels = np.asarray(samples.table.column("label").to_numpy(), np.int64)
        split = split_rows(labels, samples.ids, snapshot.info.classes, self.options.held_out, 0)
        preprocessing = recipes.preprocessing(chosen, self.options, samples, split.train)
        rows = encode_samples(preprocessing, samples)
        size = automatic_batch_size(len(split.train), chosen.most_at_once)
        targets = torch.from_numpy(labels)
        torch.manual_seed(0)
        self.network = recipes.network(chosen, self.options, preprocessing, len(snapshot.info.classes))
        rows = self.network.prepared(rows, lambda: None)
        self.network.adapt(rows, torch.from_numpy(split.train))
        self.training = Batches(rows, targets, split.train, size, seed=0)
        self.validation = Batches(rows, targets, split.validation, max(size, 64))

    def train(self) -> float:
        """Processor seconds."""
        network, options = self.network, self.options
        groups = network.parameter_groups(options.weight_decay)
        for group in groups:
            group["lr"] = options.learning_rate * group.pop("learning_rate_factor", 1.0)
        start_s = time.thread_time()
        optimizer = torch.optim.AdamW(groups, fused=True)
        steps = len(self.training) * options.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, steps))
        for _ in range(options.epochs):
            network.train()
            for inputs, labels in self.training:
                optimizer.zero_grad()
                network.loss(inputs, labels, functional.cross_entropy).backward()
                optimizer.step()
                schedule.step()
            network.eval()
            with torch.inference_mode():
                for inputs, labels in self.validation:
                    functional.cross_entropy(network(**inputs), labels).item()
        return time.thread_time() - start_s


class Timed(loop.Loop):
    """The loop of a fit that tells what it took."""

    seconds = 0.0

    def run_to_end(self) -> None:
        start_s = time.thread_time()
        super().run_to_end()
        Timed.seconds = time.thread_time() - start_s


def pair(snapshot: LocalSnapshot, recipe: str, epochs: int) -> tuple[float, float, int]:
    """Processor seconds of the bare loop and of the fit's, and the steps of either."""
    bare = Bare(snapshot, recipe, epochs)
    seconds = bare.train()
    fit(Recorder(), snapshot, recipe, {"epochs": epochs, "patience": 0})
    return seconds, Timed.seconds, len(bare.training) * epochs


def main() -> None:
    torch.set_num_threads(1)
    fitting.Loop = Timed
    figures: dict[str, float] = {}
    for recipe, (load, epochs) in CASES.items():
        snapshot = load()
        pair(snapshot, recipe, 1)  # imports and first-time work of either side
        pairs = [pair(snapshot, recipe, epochs) for _ in range(PAIRS)]
        of_each = {
            "bare_s": [bare for bare, _, _ in pairs],
            "fit_s": [ours for _, ours, _ in pairs],
        }
        best = {name: min(each) for name, each in of_each.items()}
        steps = pairs[0][2]
        best["slowdown"] = best["fit_s"] / best["bare_s"]
        best["overhead_us_per_step"] = (best["fit_s"] - best["bare_s"]) / steps * 1e6
        figures |= {f"{recipe}_{name}": round(value, 3) for name, value in best.items()}
    print(json.dumps({"benchmark": "training", "threads": 1, **figures}))


if __name__ == "__main__":
    main()
