import { describe, expect, it } from "vitest";
import { sectionsOf } from "../src/index";

const shape = (names: string[]): unknown =>
  sectionsOf(names).map(({ name, panels }) => [name, panels.map((panel) => [panel.name, panel.metrics.join(" ")])]);

describe("sectionsOf", () => {
  it("draws what is read together together", () => {
    const names = ["learning_rate", "val_accuracy", "grad_norm", "val_loss", "val_f1", "train_loss", "samples/s"];
    expect(shape(names)).toEqual([
      [
        "",
        [
          ["loss", "train_loss val_loss"],
          ["accuracy and F1", "val_accuracy val_f1"],
          ["grad_norm", "grad_norm"],
          ["learning_rate", "learning_rate"],
          ["samples/s", "samples/s"],
        ],
      ],
    ]);
  });

  it("has a section for each prefix, the machine's at the end, but keeps stages of one thing together", () => {
    const names = ["system/cpu", "train/loss", "val/loss", "train/grad", "optim/lr", "optim/beta"];
    expect(shape(names)).toEqual([
      ["", [["loss", "train/loss val/loss"]]],
      [
        "optim",
        [
          ["optim/beta", "optim/beta"],
          ["optim/lr", "optim/lr"],
        ],
      ],
      ["train", [["train/grad", "train/grad"]]],
      ["system", [["system/cpu", "system/cpu"]]],
    ]);
  });
});
