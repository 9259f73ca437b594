import { LabError, type EventType, type Job } from "@modelship-lab/core";
import { act, configure, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeLab } from "../../core/tests/fake_lab";
import { LabPanel } from "../src/index";

// Whether an element is hidden is computed from the styles of all around it, which takes jsdom seconds.
configure({ defaultHidden: true });

const NOW = "2026-01-01T00:10:00Z";
const job = (id: number, change: Partial<Job> = {}): Job => ({
  id,
  kind: "training",
  project_id: 3,
  project: "mails",
  author: "owner",
  status: "running",
  position: null,
  cancel_requested: false,
  progress: 0.25,
  message: "epoch 2 of 8",
  run_id: 40 + id,
  estimated_end_at: "2026-01-01T00:13:20Z",
  error: "",
  created_at: "2026-01-01T00:00:00Z",
  started_at: "2026-01-01T00:01:00Z",
  ended_at: null,
  ...change,
});
const ended = { status: "finished", progress: 1, ended_at: "2026-01-01T00:08:00Z", message: "" } as const;
const page = (items: unknown[]): unknown => ({ items, total: items.length, limit: 50, offset: 0 });

describe("the jobs of the lab", () => {
  let lab: FakeLab;
  let jobs: Job[];
  const runs = vi.fn();
  const settle = (ms = 0): Promise<unknown> => act(() => vi.advanceTimersByTimeAsync(ms));
  const tell = (type: EventType): void =>
    lab.tell("*", { type: "event", event: { id: 1, type, topic: "project:3", payload: {}, author: "", owner_id: 1, created_at: NOW } });
  const show = async (): Promise<void> => {
    const opener = { runs, comparison: vi.fn(), labeler: vi.fn(), samples: vi.fn(), runTable: vi.fn(), deployment: vi.fn() };
    render(<LabPanel connection={lab} opener={opener} />);
    await settle();
    fireEvent.click(screen.getByRole("tab", { name: /^jobs/ }));
  };
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.parse(NOW) });
    lab = new FakeLab(0);
    for (const kind of ["projects", "runs", "deployments"]) lab.answers.set(`GET ${kind}`, page([]));
    lab.answers.set("GET jobs", () => page(jobs));
  });
  afterEach(() => vi.useRealTimers());

  it("are listed by what is under way and what has ended, and follow the lab's events", async () => {
    jobs = [job(3, { status: "waiting", position: 2, message: "" }), job(2), job(1, { ...ended, status: "failed", error: "CUDA is out of memory." })];
    await show();
    expect(screen.getByRole("tab", { name: "jobs 2" })).toBeTruthy();
    const under = within(screen.getByRole("region", { name: "Under way" }));
    expect(under.getAllByRole("article").map((one) => one.getAttribute("aria-label"))).toEqual(["Training 2", "Training 3"]);
    expect(under.getByRole("progressbar").getAttribute("aria-valuenow")).toBe("25");
    expect(under.getByText("epoch 2 of 8 · 25.0%, about 3 min 20 s left")).toBeTruthy();
    expect(under.getByText("2 before it")).toBeTruthy();
    expect(within(screen.getByRole("region", { name: "Ended" })).getByText("CUDA is out of memory. · 2 min ago in 7 min")).toBeTruthy();
    fireEvent.click(under.getByRole("button", { name: "Run 42" }));
    expect(runs).toHaveBeenCalledWith([42]);

    jobs = [job(2, ended)];
    tell("job.finished");
    await settle(900);
    expect(screen.queryByRole("region", { name: "Under way" })).toBeNull();
    expect(screen.getByRole("tab", { name: "jobs 0" })).toBeTruthy();
  });

  it("show the end of their log, which grows, and are cancelled", async () => {
    jobs = [job(2)];
    let lines = Array.from({ length: 700 }, (_, line) => ({ time: "2026-01-01T00:02:03Z", level: "INFO", message: `step ${line}` }));
    const logFrom = (limit: number, offset: number) => (): unknown => ({
      items: lines.slice(offset, offset + limit),
      total: lines.length,
      limit,
      offset,
    });
    lab.answers.set("GET jobs/2/logs?limit=1", logFrom(1, 0));
    for (const offset of [0, 200, 201]) lab.answers.set(`GET jobs/2/logs?limit=500&offset=${offset}`, logFrom(500, offset));
    await show();
    fireEvent.click(screen.getByRole("button", { name: "Log of Training 2" }));
    await settle();
    await settle();
    const log = screen.getByLabelText("Log of job 2");
    expect(log.textContent).toMatch(/^… 200 lines before\n00:02:03 step 200\n/);
    expect(log.textContent.endsWith("00:02:03 step 699\n")).toBe(true);

    lab.answers.set("DELETE jobs/2", () => {
      jobs = [job(2, { cancel_requested: true })];
      lines = [...lines, { time: "2026-01-01T00:10:00Z", level: "WARNING", message: "asked to end" }];
      return jobs[0];
    });
    fireEvent.click(screen.getByRole("button", { name: "Cancel Training 2" }));
    await settle();
    await settle(100);
    expect(screen.getByRole("button", { name: "Cancelling… Training 2" })).toHaveProperty("disabled", true);
    expect(screen.getByText("stopping")).toBeTruthy();
    expect(log.textContent.endsWith("00:10:00 WARNING asked to end\n")).toBe(true);
  });

  it("say why they could not be cancelled, and how to begin one where there is none", async () => {
    jobs = [job(2)];
    lab.answers.set("DELETE jobs/2", () => {
      throw new LabError(403, "FORBIDDEN", "This needs the permission train.");
    });
    await show();
    fireEvent.click(screen.getByRole("button", { name: "Cancel Training 2" }));
    await settle();
    expect(screen.getByRole("alert").textContent).toContain("This needs the permission train.");
    jobs = [];
    tell("job.cancelled");
    await settle(900);
    expect(screen.getByText("No jobs yet")).toBeTruthy();
  });
});
