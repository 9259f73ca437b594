import type { Deployment, ModelVersion, Prediction, TableEncoding } from "@modelship-lab/core";
import { act, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LabError } from "@modelship-lab/core";
import { FakeLab } from "../../core/tests/fake_lab";
import { DeploymentView } from "../src/index";

vi.mock("../src/chart/Plot", () => ({
  Plot: (props: { data: unknown; label: string }) => (
    <div data-testid={props.label.split(" ")[0]} data-points={JSON.stringify(props.data)} />
  ),
}));

const table: TableEncoding = {
  kind: "table_encoding",
  features: ["age", "city", "income"],
  numeric: ["age", "income"],
  categories: { city: ["Bern", "Oslo"] },
  typical: { age: 40, city: "Oslo", income: null },
};

const deployment = (change: Partial<Deployment> = {}): Deployment => ({
  id: 4,
  name: "spam-api",
  owner_id: 1,
  is_public: false,
  status: "ready",
  model: "spam filter/1",
  version: 1,
  task: "text_classification",
  classes: ["ham", "spam"],
  address: "http://127.0.0.1:41233",
  key: "secret",
  restarts: 2,
  error: "",
  cold_start_ms: { spawn: 100, load: 200, total: 300 },
  versions: [],
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
  ...change,
});

const window = (second: number, requests: number): object => ({
  time: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(),
  requests,
  errors: 1,
  rows: requests,
  p50_ms: 1.5,
  p95_ms: 3,
  p99_ms: 9,
});

const answer: Prediction = {
  prediction: "spam",
  probabilities: [0.1, 0.9],
  confidence: 0.9,
  explanation: {
    label: "spam",
    method: "exact Shapley values",
    base: 0.4,
    probability: 0.9,
    parts: ["free", "lunch"],
    values: [0.6, -0.1],
  },
  model_version: "v1",
  response_time_ms: 2,
};

function lab(record: Deployment): FakeLab {
  const fake = new FakeLab(0);
  fake.answers.set("GET deployments/4", record);
  fake.answers.set("GET deployments/4/metrics", {
    deployment_id: 4,
    window_s: 300,
    total: window(2, 30),
    series: [window(1, 10), window(2, 20)],
  });
  const version = { model: "spam filter", version: 1, manifest: { preprocessing: table } } as unknown as ModelVersion;
  fake.answers.set("GET models/spam%20filter/versions/1", version);
  fake.answers.set("POST deployments/4/predict", answer);
  return fake;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(Date.UTC(2026, 0, 1, 0, 0, 3));
});
afterEach(() => vi.useRealTimers());
const wait = (ms: number): Promise<void> => act(async () => void (await vi.advanceTimersByTimeAsync(ms)));
const rate = (): (number | null)[][] => JSON.parse(screen.getByTestId("Requests").dataset.points!) as number[][];

describe("DeploymentView", () => {
  it("shows what the deployment does and adds every second to it", async () => {
    const fake = lab(deployment());
    render(<DeploymentView connection={fake} deploymentId={4} />);
    await wait(0);
    expect(screen.getByText("http://127.0.0.1:41233")).toBeTruthy();
    expect(screen.getByText("2 restarts")).toBeTruthy();
    expect(document.body.textContent).not.toContain("secret");
    expect(rate()[1]!.slice(-2)).toEqual([10, 20]);
    act(() => fake.tell("deployment:4", { type: "deployment", topic: "deployment:4", window: window(3, 77) as never }));
    expect(rate()[1]!.slice(-3)).toEqual([10, 20, 77]);
    // A second that was told twice counts once.
    act(() => fake.tell("deployment:4", { type: "deployment", topic: "deployment:4", window: window(3, 77) as never }));
    expect(rate()[1]!.slice(-3)).toEqual([10, 20, 77]);
  });

  it("predicts a text and shows what speaks for the answer", async () => {
    const fake = lab(deployment());
    render(<DeploymentView connection={fake} deploymentId={4} />);
    await wait(0);
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Predict" }).disabled).toBe(true);
    fireEvent.change(screen.getByRole("textbox"), { target: { value: "free lunch" } });
    fireEvent.click(screen.getByRole("button", { name: "Predict" }));
    await wait(0);
    expect(fake.calls.at(-1)!.body).toEqual({ data: "free lunch", explain: true });
    expect(screen.getAllByText("90.0%").length).toBeGreaterThan(0);
    expect(screen.getByTitle("+0.6").textContent).toBe("free");
    expect(screen.getByTitle("−0.1").textContent).toBe("lunch");
  });

  it("asks about a row with numbers as numbers and empty fields as missing", async () => {
    const fake = lab(deployment({ task: "tabular_classification" }));
    render(<DeploymentView connection={fake} deploymentId={4} />);
    await wait(0);
    fireEvent.change(screen.getByLabelText("age"), { target: { value: "51.5" } });
    fireEvent.change(screen.getByLabelText("city"), { target: { value: "Bern" } });
    fireEvent.click(screen.getByRole("button", { name: "Predict" }));
    await wait(0);
    expect(fake.calls.at(-1)!.body).toEqual({ data: { age: 51.5, city: "Bern", income: null }, explain: true });
  });

  it("says what the model refused", async () => {
    const fake = lab(deployment());
    fake.answers.set("POST deployments/4/predict", new LabError(422, "INVALID_INPUT", "The text is too long."));
    render(<DeploymentView connection={fake} deploymentId={4} />);
    await wait(0);
    fireEvent.change(screen.getByRole("textbox"), { target: { value: "x" } });
    fireEvent.click(screen.getByRole("button", { name: "Predict" }));
    await wait(0);
    expect(screen.getByRole("alert").textContent).toBe("The text is too long.");
  });

  it("says why a deployment failed and offers no box to try it", async () => {
    render(<DeploymentView connection={lab(deployment({ status: "failed", error: "No such file." }))} deploymentId={4} />);
    await wait(0);
    expect(screen.getByRole("alert").textContent).toContain("No such file.");
    expect(screen.queryByRole("button", { name: "Predict" })).toBeNull();
  });
});
