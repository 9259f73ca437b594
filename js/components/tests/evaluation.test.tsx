import type { Evaluation } from "@modelship-lab/core";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { FakeLab } from "../../core/tests/fake_lab";
import { EvaluationView } from "../src/runs/EvaluationView";

const evaluation: Evaluation = {
  task: "text_classification",
  classes: ["ham", "spam"],
  rows: 100,
  accuracy: 0.9,
  macro_f1: 0.89,
  log_loss: 0.3,
  baseline_accuracy: 0.6,
  confusion: [
    [50, 7],
    [3, 40],
  ],
  per_class: [],
  roc: [],
  precision_recall: [],
  worst: [{ sample_id: 4, actual: "ham", predicted: "spam", confidence: 0.99, preview: "free lunch" }],
};
const show = (change: Partial<Evaluation>): HTMLElement =>
  render(<EvaluationView connection={new FakeLab(0)} evaluation={{ ...evaluation, ...change }} />).container;

describe("an evaluation", () => {
  it("draws how sure the model may be, without the bins that no row is in", () => {
    show({ calibration: { error: 0.042, confidence: [0.55, 0.7, 0.95], accuracy: [0.5, 0, 0.99], rows: [10, 0, 90] } });
    const curve = screen.getByRole("img", { name: "Calibration: 50.0% right where 55.0% sure, 99.0% right where 95.0% sure" });
    expect(curve.querySelectorAll("circle")).toHaveLength(2);
    const [x, y] = curve.querySelector("polyline")!.getAttribute("points")!.split(" ")[1]!.split(",").map(Number) as [number, number];
    expect([x / 150, 1 - y / 150].map((share) => Number(share.toFixed(2)))).toEqual([0.95, 0.99]);
    const [rare, frequent] = [...curve.querySelectorAll("circle")].map((circle) => Number(circle.getAttribute("r"))) as [number, number];
    expect(frequent).toBeGreaterThan(rare);
    expect(screen.getByText("4.2%", { selector: "strong" })).toBeTruthy();
  });

  it("says whether there are no errors or nobody knows which samples they are", () => {
    show({ worst: [] });
    expect(screen.getByText("It is not known which samples these rows were.")).toBeTruthy();
    show({ worst: [], confusion: [[57, 0], [0, 43]] });
    expect(screen.getByText("There are none.")).toBeTruthy();
  });

  it("says what simpler models reach, and in which rows it is worst", () => {
    const baseline = { name: "words and logistic regression", accuracy: 0.88, macro_f1: 0.87, mae: null, train_rows: 400, seconds: 0.2 };
    show({ baselines: [baseline], slices: [{ name: "length over 400", rows: 31, score: 0.71, low: 0.5, high: 0.8 }] });
    expect(screen.getByText(baseline.name).parentElement!.textContent).toBe("88.0%words and logistic regression");
    expect(screen.getByText("length over 400").parentElement!.textContent).toBe("71.0%length over 400 31");
    expect(screen.queryByText("Calibration")).toBeNull();
  });

  it("of a number tells errors instead of shares, and has no matrix", () => {
    const baseline = { name: "median", accuracy: null, macro_f1: null, mae: 12.5, train_rows: 400, seconds: 0 };
    const errors: Partial<Evaluation> = {
      task: "tabular_regression",
      kind: "number",
      classes: [],
      confusion: [],
      mae: 3.25,
      median_absolute_error: 2.5,
      rmse: 4.75,
      baseline_mae: 12.5,
      r2: 0.81,
      baselines: [baseline],
      slices: [{ name: "district is north", rows: 9, score: 8.5, low: 6, high: 11 }],
    };
    expect(show({ ...errors, unit: "USD" }).textContent).toContain("mean absolute error 3.25 USD (always the median");
    cleanup();
    const container = show(errors);
    expect(within(container).getByText(/mean absolute error/).textContent).toBe("mean absolute error 3.25 (always the median: 12.5) · median 2.5 · RMSE 4.75 · R² 0.81");
    expect(container.querySelector("table")).toBeNull();
    expect(screen.getByText("median").parentElement!.textContent).toBe("12.5median");
    expect(screen.getByText("district is north").parentElement!.textContent).toContain("8.5");
  });

  it("lists the errors of a cell of the matrix that is chosen", () => {
    show({});
    fireEvent.click(screen.getByRole("button", { name: "3" }));
    expect(screen.getByText("None of the worst errors is of this kind.")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "7" }));
    expect(screen.getByText("free lunch")).toBeTruthy();
  });
});
