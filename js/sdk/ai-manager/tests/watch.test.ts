import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { AIManager, type RunMessage } from "../src/index";
import { Lab } from "./lab";

let lab: Lab;
let account: { username: string; password: string };

beforeAll(async () => {
  lab = await Lab.start();
  account = await lab.register("ada");
}, 60_000);
afterAll(() => lab.remove());

function manage(projectName: string): AIManager {
  return new AIManager({ projectName, apiUrl: lab.apiUrl, ...account, WebSocket });
}

it("hears metrics and the end of a run, also over a restart of the server", async () => {
  const manager = manage("watched");
  const run = await manager.run();
  const heard: RunMessage[] = [];
  const end = manager.watch(run.id, (message) => heard.push(message));
  const points = (): (number | null)[] => heard.flatMap((one) => (one.type === "metric" ? [one.value] : []));
  await vi.waitFor(async () => {
    await manager.metrics.log(run.id, { name: "loss", value: 0.5, step: 1 });
    expect(points()).toContain(0.5);
  }, { timeout: 10_000, interval: 500 });
  expect(heard[0]).toMatchObject({ type: "metric", run_id: run.id, name: "loss", value: 0.5, step: 1 });

  await lab.kill();
  await lab.start();
  await vi.waitFor(() => expect(heard).toContainEqual({ type: "reconnected", run_id: run.id }), { timeout: 30_000 });
  await run.log({ loss: 0.25 }, { step: 2 });
  await run.finish();
  await vi.waitFor(() => expect(heard).toContainEqual({ type: "run", run_id: run.id, status: "completed" }), {
    timeout: 10_000,
  });
  expect(points()).toContain(0.25);

  end();
  const before = heard.length;
  await manager.metrics.log(run.id, { name: "loss", value: 0.1, step: 3 });
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(heard).toHaveLength(before);
}, 90_000);

it("ends when the run is not there", async () => {
  const error = await new Promise((resolve) => {
    manage("other").watch(987_654, () => undefined, { onError: resolve });
  });
  expect(error).toMatchObject({ status: 404 });
});
