import { inspect } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  AIManager,
  AIManagerError,
  type Account,
  type AIManagerOptions,
  type Metric,
  type MetricHistory,
  type MetricSummary,
  type Project,
  type RunRecord,
} from "../src/index";
import { Lab, LAB_TOKEN } from "./lab";

type Fields<Kind> = Record<keyof Kind, true>;

/** The fields of the records: the compiler holds them to the types, a test to the server's own description. */
const FIELDS: {
  UserOut: Fields<Account>;
  ProjectOut: Fields<Project>;
  RunOut: Fields<RunRecord>;
  MetricOut: Fields<Metric>;
  HistoryOut: Fields<MetricHistory>;
  SummaryOut: Fields<MetricSummary>;
} = {
  UserOut: {
    id: true,
    email: true,
    username: true,
    is_active: true,
    is_superuser: true,
    created_at: true,
    updated_at: true,
  },
  ProjectOut: {
    id: true,
    name: true,
    description: true,
    owner_id: true,
    is_public: true,
    created_at: true,
    updated_at: true,
  },
  RunOut: {
    id: true,
    name: true,
    project_id: true,
    status: true,
    config: true,
    tags: true,
    started_at: true,
    ended_at: true,
    created_at: true,
    updated_at: true,
  },
  MetricOut: { id: true, run_id: true, name: true, value: true, step: true, timestamp: true },
  HistoryOut: { name: true, values: true, steps: true, timestamps: true },
  SummaryOut: {
    name: true,
    current_value: true,
    min_value: true,
    max_value: true,
    mean_value: true,
    total_points: true,
  },
};

let lab: Lab;
let account: { username: string; password: string };
let accounts = 0;

beforeAll(async () => {
  lab = await Lab.start();
}, 60_000);
// The lab's limits of requests hold, for each account.
beforeEach(async () => {
  account = await lab.register(`ada-${++accounts}`);
});
afterAll(() => lab.remove());

function manage(projectName: string, options: Partial<AIManagerOptions> = {}): AIManager {
  return new AIManager({ projectName, apiUrl: lab.apiUrl, ...account, ...options });
}

describe("a run", () => {
  it("of the README's example is the lab's own run, with every point in its order", async () => {
    const manager = manage("readme");
    const run = await manager.run({ name: "training_run", config: { learning_rate: 0.001 }, tags: ["demo"] });
    for (let epoch = 0; epoch < 150; epoch++) await run.log({ loss: 1 / (epoch + 1), accuracy: 0.85 }, { step: epoch });
    const record = await run.finish();

    expect(record).toMatchObject({ id: run.id, name: "training_run", status: "completed", tags: ["demo"] });
    expect(record.config).toEqual({ learning_rate: 0.001 });
    const native = await lab.native<Record<string, unknown>>(`runs/${run.id}`);
    expect(native).toMatchObject({ status: "finished", project: "readme", params: { learning_rate: 0.001 } });
    const loss = await manager.metrics.history(run.id, "loss");
    expect(loss.steps).toEqual(Array.from({ length: 150 }, (_, epoch) => epoch));
    expect(loss.values[149]).toBeCloseTo(1 / 150);
  });

  it("counts steps by itself, keeps NaN as a gap, and takes names with slashes", async () => {
    const manager = manage("steps");
    const run = await manager.run();
    await run.log({ "train/loss": 1 });
    await run.log({ "train/loss": Number.NaN });
    await run.log({ "train/loss": 3 }, { step: 10 });
    await run.log({ "train/loss": 4 });
    await run.finish();
    const history = await manager.metrics.history(run.id, "train/loss");
    expect(history.steps).toEqual([0, 1, 10, 11]);
    expect(history.values).toEqual([1, null, 3, 4]);
  });

  it("refuses what is no metric, and anything after its end", async () => {
    const run = await manage("strict").run();
    await expect(run.log({ loss: "0.5" as unknown as number })).rejects.toThrow(/'loss' is no number/);
    await expect(run.log({ loss: 1 }, { step: 0.5 })).rejects.toThrow(/whole number/);
    await run.finish();
    await expect(run.log({ loss: 1 })).rejects.toThrow(/finished/);
    await expect(run.finish()).rejects.toThrow(/finished already/);
  });

  it("that fails says why", async () => {
    const run = await manage("failing").run();
    await run.log({ loss: 1 });
    expect((await run.fail(new RangeError("no more data"))).status).toBe("failed");
    const native = await lab.native<Record<string, unknown>>(`runs/${run.id}`);
    expect(native).toMatchObject({ status: "failed", error: "RangeError: no more data" });
  });

  it("loses nothing and doubles nothing when the server is killed meanwhile", async () => {
    const manager = manage("crash");
    const run = await manager.run();
    for (let step = 0; step < 400; step++) {
      await run.log({ loss: step }, { step });
      if (step === 100) await lab.kill();
      if (step % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await lab.start();
    await run.finish();
    const { steps } = await manager.metrics.history(run.id, "loss");
    expect(steps).toEqual(Array.from({ length: 400 }, (_, step) => step));
  }, 60_000);

  it("tells at its end of what could not be stored", async () => {
    const manager = manage("gone");
    const run = await manager.run();
    await manager.runs.delete(run.id);
    await run.log({ loss: 1, accuracy: 2 });
    await expect(run.finish()).rejects.toMatchObject({ status: 404 });
  });

  it("goes into the account's own project, not into a public one of the same name", async () => {
    const other = await lab.register("shared-owner");
    await manage("shared", other).projects.create({ name: "shared", is_public: true });
    const manager = manage("shared");
    const run = await manager.run();
    expect((await manager.project()).owner_id).toBe((await manager.me()).id);
    expect(run.record.project_id).toBe((await manager.project()).id);
  });
});

describe("the resources", () => {
  it("create, change, list and delete projects and runs", async () => {
    const manager = manage("resources");
    const project = await manager.projects.create({ name: "resources", description: "first" });
    expect(project).toMatchObject({ name: "resources", description: "first", is_public: false });
    const changed = await manager.projects.update(project.id, { description: "second" });
    expect(changed).toMatchObject({ name: "resources", description: "second", is_public: false });
    expect(await manager.projects.get(project.id)).toEqual(changed);

    const runs = [];
    for (const name of ["a", "b", "c"]) runs.push(await manager.runs.create(project.id, { name }));
    const listed = await manager.runs.list({ projectId: project.id });
    expect(listed.map((run) => run.name).sort()).toEqual(["a", "b", "c"]);
    const pages = [
      ...(await manager.runs.list({ projectId: project.id, limit: 2 })),
      ...(await manager.runs.list({ projectId: project.id, skip: 2, limit: 2 })),
    ];
    expect(pages).toEqual(listed);
    const stopped = await manager.runs.update(runs[0]!.id, { status: "stopped", tags: ["old"] });
    expect(stopped).toMatchObject({ name: "a", status: "stopped", tags: ["old"] });
    expect(stopped.ended_at).not.toBeNull();
    await manager.runs.delete(runs[1]!.id);
    await expect(manager.runs.get(runs[1]!.id)).rejects.toMatchObject({ name: "AIManagerError", status: 404 });

    await manager.projects.delete(project.id);
    await expect(manager.runs.get(runs[0]!.id)).rejects.toMatchObject({ status: 404 });
  });

  it("store metrics one by one and by steps, and give them back by page, name and figure", async () => {
    const manager = manage("figures");
    const { id } = await manager.runs.create((await manager.project()).id, { name: "figures" });
    const first = await manager.metrics.log(id, { name: "loss", value: 0.5, step: 1 });
    expect(first).toMatchObject({ run_id: id, name: "loss", value: 0.5, step: 1 });
    await manager.metrics.logBatch(id, { metrics: { loss: 0.3, accuracy: 0.9 }, step: 2 });
    expect((await manager.metrics.list(id)).map((metric) => [metric.name, metric.step])).toEqual([
      ["loss", 1],
      ["loss", 2],
      ["accuracy", 2],
    ]);
    expect(await manager.metrics.list(id, { metricName: "loss", skip: 1 })).toMatchObject([{ value: 0.3 }]);
    expect(await manager.metrics.list(id, { limit: 1 })).toEqual([first]);
    const summary = await manager.metrics.summary(id);
    expect(summary.find((one) => one.name === "loss")).toEqual({
      name: "loss",
      current_value: 0.3,
      min_value: 0.3,
      max_value: 0.5,
      mean_value: 0.4,
      total_points: 2,
    });
  });

  it("have the fields that the server describes", async () => {
    const response = await fetch(`${lab.apiUrl}/openapi.json`, { headers: { Authorization: `Bearer ${LAB_TOKEN}` } });
    const { components } = (await response.json()) as {
      components: { schemas: Record<string, { properties: Record<string, unknown> }> };
    };
    for (const [schema, fields] of Object.entries(FIELDS)) {
      expect(Object.keys(components.schemas[schema]!.properties).sort()).toEqual(Object.keys(fields).sort());
    }
  });

  it("say what was wrong", async () => {
    const nobody = manage("x", { password: "not the password" });
    const wrong = await nobody.me().catch((error: unknown) => error);
    expect(wrong).toBeInstanceOf(AIManagerError);
    expect(wrong).toMatchObject({ status: 401 });
    const other = manage("x", await lab.register("mallory"));
    const project = await manage("private").project();
    await expect(other.projects.get(project.id)).rejects.toMatchObject({ status: 404 });
    await expect(manage("x", { token: "no token of ours" }).me()).rejects.toMatchObject({ status: 401 });
    const away = manage("x", { apiUrl: "http://127.0.0.1:9/mlship/ai-manager" });
    await expect(away.me()).rejects.toMatchObject({ status: 0, temporary: true });
  });

  it("keep the password to themselves", () => {
    expect(inspect(manage("x"), { depth: 10, showHidden: true })).not.toContain(account.password);
    expect(JSON.stringify(manage("x"))).not.toContain(account.password);
    expect(() => new AIManager({ projectName: "x", apiUrl: lab.apiUrl })).toThrow(/password/);
  });
});
