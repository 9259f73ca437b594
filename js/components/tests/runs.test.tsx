import type { Artifact, Evaluation, Metrics, MetricSummary, Page, Query, Run } from "@modelship-lab/core";
import { act, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeLab } from "../../core/tests/fake_lab";
import { extentOf } from "../src/chart/drawing";
import type { PlotProps } from "../src/chart/props";
import { RunChart, RunList } from "../src/index";

const drawn = vi.hoisted(() => ({ count: 0 }));
// jsdom has no canvas; what a plot is given is looked at instead.
vi.mock("../src/chart/Plot", async () => {
  const { useEffect, useRef } = await import("react");
  return {
    Plot: (props: PlotProps) => {
      const latest = useRef(props);
      const place = useRef<HTMLDivElement>(null);
      drawn.count++;
      useEffect(() => {
        latest.current = props;
      });
      useEffect(() => {
        const draw = (): void => {
          const drawing = props.source!.read();
          const { logX = false, logY = false, robust = false } = latest.current;
          const extent = extentOf(drawing, latest.current.range ?? null, { logX, logY, robust, fromZero: false });
          place.current!.dataset.curves = JSON.stringify(drawing.curves.map(({ x, y }) => [x, y]));
          latest.current.onDrawn?.(drawing, extent);
        };
        draw();
        return props.source!.subscribe(draw);
      }, [props.source]);
      return (
        <div ref={place} data-testid="plot" aria-label={props.label}>
          <button type="button" onClick={() => props.onRange?.({ start: 2, end: 3 })}>
            drag
          </button>
        </div>
      );
    },
  };
});

const run = (id: number, change: Partial<Run> = {}): Run => ({
  id,
  name: `run ${id}`,
  project_id: 3,
  project: "spam",
  recipe: "text-linear",
  status: "finished",
  params: {},
  tags: [],
  notes: "",
  snapshot_id: null,
  environment: {},
  summary: { test_accuracy: 0.915 },
  error: "",
  bundle: null,
  stop_requested: false,
  started_at: "2026-01-01T00:00:00Z",
  ended_at: "2026-01-01T00:01:05Z",
  heartbeats: true,
  owner_id: 1,
  is_public: false,
  heartbeat_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
  parent_id: null,
  group: "",
  children: 0,
  ...change,
});
const metrics: Metrics = {
  sequence: 1,
  series: [
    {
      name: "train_loss",
      context: {},
      steps: [1, 2],
      values: [0.9, 0.5],
      times: [1, 2],
      x: null,
      low: null,
      high: null,
      counts: null,
      nonfinite: [],
      nonfinite_count: 0,
      points: 2,
      reduced: false,
    },
  ],
};
const catalog = (...names: string[]): Page<MetricSummary> => ({
  items: names.map((name) => ({ name, context: {}, last: 0.5, last_step: 2, count: 2 })),
  total: names.length,
  limit: 1000,
  offset: 0,
});
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
  per_class: [
    { label: "ham", precision: 0.94, recall: 0.877, f1: 0.9, support: 57 },
    { label: "spam", precision: 0.85, recall: 0.93, f1: 0.89, support: 43 },
  ],
  roc: [],
  precision_recall: [],
  worst: [
    { sample_id: 4, actual: "ham", predicted: "spam", confidence: 0.99, preview: "free lunch in the kitchen" },
    { sample_id: 8, actual: "spam", predicted: "ham", confidence: 0.9, preview: "your invoice" },
  ],
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());
/** Lets time pass, with what the page does in it. */
const wait = async (ms: number): Promise<void> => {
  for (let passed = 0; passed < ms; passed += 50) {
    await act(async () => void (await vi.advanceTimersByTimeAsync(Math.min(50, ms - passed))));
  }
};

function lab(record: Run): FakeLab {
  const fake = new FakeLab(0);
  fake.answers.set("GET runs/12", record);
  fake.answers.set("GET runs/12/metrics", metrics);
  fake.answers.set("GET runs/12/metrics/summary", catalog("train_loss"));
  return fake;
}

describe("RunChart", () => {
  it("shows a running run with its newest values and stops it", async () => {
    const fake = lab(run(12, { status: "running", ended_at: null, summary: {} }));
    fake.answers.set("POST runs/12/stop", run(12, { status: "running", stop_requested: true, ended_at: null }));
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(300);
    expect(screen.getByText("running")).toBeTruthy();
    expect(screen.getByText("train_loss", { selector: "span" }).nextSibling?.textContent).toBe("0.5");
    fireEvent.click(screen.getByRole("button", { name: "Stop" }));
    await wait(300);
    expect(fake.calls.some((call) => call.method === "POST" && call.path === "runs/12/stop")).toBe(true);
    expect(screen.getByText("stopping")).toBeTruthy();
  });

  it("follows metrics without drawing the page for them", async () => {
    const fake = lab(run(12, { status: "running", ended_at: null }));
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(1000);
    const before = drawn.count;
    for (let batch = 1; batch <= 100; batch++) {
      const one = { name: "train_loss", context: {}, steps: [batch + 2], values: [1 / batch], times: [batch] };
      fake.tell("run:12", { type: "metrics", topic: "run:12", from: batch, sequence: batch + 1, series: [one] });
      await wait(10);
    }
    await wait(300);
    expect(drawn.count - before).toBeLessThanOrEqual(5);
    const [curve] = JSON.parse(screen.getByTestId("plot").dataset.curves!) as number[][][];
    expect(curve![0]).toHaveLength(102);
    expect(screen.getByText("train_loss", { selector: "span" }).nextSibling?.textContent).toBe("0.01");
  });

  it("says what a picture cannot show, until the points themselves are here", async () => {
    const fake = lab(run(12));
    const series = metrics.series[0]!;
    const many = {
      ...series,
      low: [0.1, 0.4],
      high: [7, 0.6],
      counts: [500, 500],
      nonfinite: [{ step: 2, time: 2, kind: "nan" as const }],
      nonfinite_count: 1,
      points: 1000,
      reduced: true,
    };
    fake.answers.set("GET runs/12/metrics", ({ query }: { query: Query }) =>
      query.start === undefined ? { sequence: 1, series: [many] } : metrics,
    );
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(600);
    expect(screen.getByText("1,000 points as 2 ranges; zoom for all of them")).toBeTruthy();
    expect(screen.getByText("1 NaN")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "drag" }));
    await wait(600);
    expect(fake.calls.at(-1)!.query).toMatchObject({ names: ["train_loss"], start: 2, end: 3 });
    expect(screen.queryByText(/zoom for all/)).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: "Show everything" }));
    await wait(600);
    expect(screen.getByText(/zoom for all/)).toBeTruthy();
  });

  it("makes a few of very many charts, folds the machine's away, and finds one by name", async () => {
    const fake = lab(run(12));
    const names = Array.from({ length: 1500 }, (_, index) => `layer/weight${index}`);
    fake.answers.set("GET runs/12/metrics/summary", catalog("train_loss", "system/cpu", ...names));
    render(<RunChart connection={fake} runIds={[12]} labId="filter" />);
    await wait(900);
    expect(screen.getAllByTestId("plot")).toHaveLength(25);
    expect(screen.getByRole("button", { name: /system\// }).getAttribute("aria-expanded")).toBe("false");
    fireEvent.change(screen.getByRole("searchbox"), { target: { value: "weight1499$|cpu" } });
    await wait(600);
    expect(screen.getAllByTestId("plot")).toHaveLength(1);
    fireEvent.click(screen.getByRole("button", { name: /system\// }));
    expect(screen.getAllByTestId("plot")).toHaveLength(2);
    fireEvent.change(screen.getByRole("searchbox"), { target: { value: "weight(" } });
    await wait(600);
    expect(screen.getByRole("alert").textContent).toContain("no regular expression");
    expect(screen.getByText("No metric has such a name.")).toBeTruthy();
  });

  it("remembers how the reader looked at it", async () => {
    const fake = lab(run(12));
    const { unmount } = render(<RunChart connection={fake} runIds={[12]} labId="memory" />);
    await wait(600);
    fireEvent.change(screen.getByRole("slider"), { target: { value: "0.9" } });
    fireEvent.click(screen.getByRole("checkbox", { name: "log y" }));
    fireEvent.click(screen.getByRole("button", { name: /^train_loss/ }));
    await wait(600);
    unmount();
    render(<RunChart connection={fake} runIds={[12]} labId="memory" />);
    await wait(600);
    expect(screen.getByText("smoothed 0.90")).toBeTruthy();
    expect(screen.getByRole<HTMLInputElement>("checkbox", { name: "log y" }).checked).toBe(true);
    expect(screen.getByRole("button", { name: /^train_loss/, pressed: false })).toBeTruthy();
    expect(JSON.parse(screen.getByTestId("plot").dataset.curves!)).toEqual([]);
  });

  it("lists the parts of a run, opens one, and comes back", async () => {
    const fake = lab(run(12, { children: 1 }));
    fake.answers.set("GET runs?parent_id=12&limit=20", { items: [run(15, { parent_id: 12 })], total: 1, limit: 20, offset: 0 });
    fake.answers.set("GET runs/15", run(15, { parent_id: 12 }));
    fake.answers.set("GET runs/15/metrics/summary", catalog());
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(600);
    fireEvent.click(screen.getByRole("button", { name: "run 15" }));
    await wait(600);
    expect(screen.getByRole("heading", { name: "run 15" })).toBeTruthy();
    expect(screen.getByText("Nothing was logged.")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: /back to run 12/ }));
    await wait(600);
    expect(screen.getByRole("heading", { name: "run 12" })).toBeTruthy();
  });

  it("shows parts as they come and as they end", async () => {
    const fake = lab(run(12, { status: "running" }));
    const parts = (status: Run["status"]): void => {
      fake.answers.set("GET runs?parent_id=12&limit=20", { items: [run(15, { parent_id: 12, status })], total: 1, limit: 20, offset: 0 });
    };
    const tell = (type: "run.created" | "run.changed", payload: Record<string, unknown>): void =>
      fake.tell("*", { type: "event", event: { id: 1, type, topic: "run:15", payload, author: "", owner_id: 1, created_at: "" } });
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(600);
    fake.answers.set("GET runs/12", run(12, { status: "running", children: 1 }));
    parts("running");
    tell("run.created", { parent_id: 12 });
    await wait(600);
    const row = screen.getByRole("button", { name: "run 15" }).parentElement!;
    expect(row.textContent).toContain("running");
    parts("failed");
    tell("run.changed", { changed: ["status"] });
    await wait(600);
    expect(row.textContent).toContain("failed");
  });

  it("shows pictures by their steps, tables by their rows, and texts as they are", async () => {
    const kept = (id: number, change: Partial<Artifact>): Artifact => ({
      id,
      run_id: 12,
      name: "images/sample",
      kind: "image",
      step: id,
      caption: "",
      size: 10,
      digest: `d${id}`,
      content_type: "image/png",
      created_at: "2026-01-01T00:00:00Z",
      ...change,
    });
    const fake = lab(run(12));
    fake.answers.set("GET runs/12/artifacts", {
      items: [kept(1, {}), kept(2, {}), kept(3, { name: "rows", kind: "table", step: null }), kept(4, { name: "model.bin", kind: "file" })],
      total: 4,
    });
    fake.answers.set("GET runs/12/artifact-rows/rows?limit=25&offset=0", {
      columns: ["word", "count"],
      rows: [["<b>bold</b>", 3]],
      total: 60,
    });
    fake.answers.set("GET runs/12/artifact-rows/rows?limit=25&offset=25", { columns: ["word", "count"], rows: [["next", 4]], total: 60 });
    render(<RunChart connection={fake} runIds={[12]} labId="media" />);
    await wait(600);
    fireEvent.click(screen.getByRole("tab", { name: "media" }));
    await wait(600);
    expect(screen.getByRole("img").getAttribute("src")).toBe("/runs/12/artifacts/images%2Fsample?step=2");
    fireEvent.change(screen.getByRole("slider", { name: "Step of images/sample" }), { target: { value: "0" } });
    await wait(100);
    expect(screen.getByRole("img").getAttribute("src")).toContain("step=1");
    expect(screen.getByText("<b>bold</b>")).toBeTruthy();
    expect(screen.queryByText("model.bin")).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: /after/ }));
    await wait(100);
    expect(screen.getByText("next")).toBeTruthy();
  });

  it("shows what ran", async () => {
    const environment = {
      command: ["python", "train.py", "--name", "a run"],
      git: { commit: "abc", branch: "main", dirty: true },
      packages: { torch: "2.1" },
      gpus: ["H200, 141 GB", "H200, 141 GB"],
      script: null,
      memory_gb: 23.4,
    };
    const fake = lab(run(12, { environment }));
    const file = { id: 1, run_id: 12, name: "source/cells.py", kind: "file", step: null, digest: "d1" };
    fake.answers.set("GET runs/12/artifacts?kind=file", { items: [file, { ...file, id: 2, name: "model.onnx" }], total: 2 });
    fake.answers.set("GET runs/12/artifacts/source%2Fcells.py", "# %% [1]\ntrain()");
    render(<RunChart connection={fake} runIds={[12]} labId="source" />);
    await wait(600);
    fireEvent.click(screen.getByRole("tab", { name: "source" }));
    await wait(100);
    expect(screen.getByText("python train.py --name 'a run'")).toBeTruthy();
    expect(screen.getByText("H200, 141 GB, H200, 141 GB")).toBeTruthy();
    expect(screen.getByText("23.4")).toBeTruthy();
    expect(screen.queryByText("script")).toBeNull();
    expect(screen.getByText(/train\(\)/)).toBeTruthy();
    expect(screen.queryByText("model.onnx")).toBeNull();
    expect(screen.getByText("abc · main · with changes")).toBeTruthy();
    expect(screen.getByText("torch==2.1")).toBeTruthy();
  });

  it("shows how a finished run ended, and the errors behind a cell of the confusion matrix", async () => {
    const fake = lab(run(12));
    fake.answers.set("GET runs/12/evaluation", evaluation);
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(500);
    expect(screen.getByText("1 min 5 s")).toBeTruthy();
    expect(screen.getByText("test accuracy").nextSibling?.textContent).toBe("91.5%");
    expect(screen.getByText("free lunch in the kitchen")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "3" }));
    expect(screen.queryByText("free lunch in the kitchen")).toBeNull();
    expect(screen.getByText("your invoice")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "show all" }));
    expect(screen.getByText("free lunch in the kitchen")).toBeTruthy();
  });

  it("says what somebody gave a run: tags, notes and parameters", async () => {
    const given = { tags: ["baseline"], notes: "# First\nof three", params: { lr: 0.1, layers: [8, 2] } };
    render(<RunChart connection={lab(run(12, given))} runIds={[12]} />);
    await wait(500);
    expect(screen.getByLabelText("Tags").textContent).toBe("baseline");
    expect(screen.getByLabelText("Notes").textContent).toBe("# First\nof three");
    expect(screen.getByText("lr = 0.1 · layers = 8, 2")).toBeTruthy();
    expect(screen.getByText("layers").nextSibling?.textContent).toBe("8, 2");
  });

  it("shows the pictures that were taken for others, not their addresses", async () => {
    const decode = vi.fn(() => Promise.resolve());
    Object.defineProperty(HTMLImageElement.prototype, "decode", { value: decode, configurable: true });
    const fake = lab(run(12));
    const worst = [{ sample_id: 4, actual: "ham", predicted: "spam", confidence: 0.99, preview: "a1b2" }];
    fake.answers.set("GET runs/12/evaluation", { ...evaluation, task: "image_classification", worst });
    render(<RunChart connection={fake} runIds={[12]} />);
    await wait(500);
    expect(screen.getByRole("img", { name: "Sample 4" }).getAttribute("src")).toBe("/blobs/a1b2");
    expect(screen.queryByText("a1b2")).toBeNull();
  });

  it("says why a run failed", async () => {
    render(<RunChart connection={lab(run(12, { status: "failed", error: "CUDA is out of memory." }))} runIds={[12]} />);
    await wait(300);
    expect(screen.getByRole("alert").textContent).toContain("CUDA is out of memory.");
  });

  it("overlays several runs, hides one, and says which line is whose", async () => {
    const fake = lab(run(12));
    fake.answers.set("GET runs/13", run(13));
    fake.answers.set("GET runs/13/metrics", metrics);
    fake.answers.set("GET runs/13/metrics/summary", catalog("train_loss"));
    render(<RunChart connection={fake} runIds={[12, 13]} labId="several" />);
    await wait(600);
    const lines = (): unknown[] => JSON.parse(screen.getByTestId("plot").dataset.curves!) as unknown[];
    expect(lines()).toHaveLength(2);
    const panel = within(screen.getByRole("region", { name: "train loss" }));
    expect(panel.getByRole("button", { name: /run 12/ })).toBeTruthy();
    fireEvent.click(screen.getAllByRole("button", { name: /Hide run 13|run 13/ })[0]!);
    await wait(600);
    expect(lines()).toHaveLength(1);
  });
});

describe("RunList", () => {
  const names = (): string[] => screen.getAllByRole("row").slice(1).map((row) => within(row).getAllByRole("button")[0]!.textContent ?? "");

  it("sorts by any column, opens a run, and compares those that are picked", () => {
    const open = vi.fn();
    const runs = [run(3, { summary: { test_accuracy: 0.7 } }), run(2, { summary: { test_accuracy: 0.9 } }), run(1, { summary: {} })];
    render(<RunList runs={runs} open={open} />);
    expect(names()).toEqual(["run 3", "run 2", "run 1"]);
    fireEvent.click(screen.getByRole("button", { name: /^Result/ }));
    expect(names()).toEqual(["run 2", "run 3", "run 1"]);
    fireEvent.click(screen.getByRole("button", { name: /^Result/ }));
    expect(names()).toEqual(["run 1", "run 3", "run 2"]);
    fireEvent.click(screen.getByRole("button", { name: "run 2" }));
    expect(open).toHaveBeenLastCalledWith([2]);
    fireEvent.click(screen.getByRole("checkbox", { name: "Compare run 1" }));
    fireEvent.click(screen.getByRole("checkbox", { name: "Compare run 3" }));
    fireEvent.click(screen.getByRole("button", { name: "Compare 2 runs" }));
    expect(open).toHaveBeenLastCalledWith([1, 3]);
  });
});
