import { execFileSync } from "node:child_process";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AIManager } from "../src/index";

describe("with another server of this API", () => {
  const seen: string[] = [];
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  const server = createServer((request, response) => {
    const body: Buffer[] = [];
    request.on("data", (chunk: Buffer) => body.push(chunk));
    request.on("end", () => {
      seen.push(`${request.method} ${request.url} ${Buffer.concat(body).toString()}`);
      answer(request, response);
    });
  });
  const say = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
  };
  let apiUrl = "";
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => void server.close());

  it("logs step by step, and waits when there were too many", async () => {
    seen.length = 0;
    let refusals = 2;
    answer = (request, response) => {
      if (request.url === "/auth/me") say(response, 200, { id: 1 });
      else if (request.url?.startsWith("/projects/")) say(response, 200, [{ id: 7, name: "p", owner_id: 1 }]);
      else if (request.url?.startsWith("/metrics/") && refusals-- > 0) {
        say(response, 429, { detail: "Too many requests" }, { "Retry-After": "0.2" });
      } else say(response, 200, { id: 3, status: "completed" });
    };
    const run = await new AIManager({ projectName: "p", apiUrl, token: "t" }).run();
    const begin = Date.now();
    await run.log({ loss: 1 }, { step: 1 });
    await run.log({ loss: 2 }, { step: 2 });
    await run.finish();
    expect(Date.now() - begin).toBeGreaterThan(380);
    expect(seen.filter((one) => one.startsWith("POST /metrics/3/batch")).slice(2)).toEqual([
      'POST /metrics/3/batch {"metrics":{"loss":1},"step":1}',
      'POST /metrics/3/batch {"metrics":{"loss":2},"step":2}',
    ]);
  });

  it("gives up waiting when it would take too long, and at once when it is aborted", async () => {
    answer = (_, response) => say(response, 429, { detail: "Too many requests" }, { "Retry-After": "60" });
    const hasty = new AIManager({ projectName: "p", apiUrl, token: "t", longestWait_ms: 100 });
    await expect(hasty.me()).rejects.toMatchObject({ status: 429, detail: "Too many requests" });
    const patient = new AIManager({ projectName: "p", apiUrl, token: "t" });
    const begin = Date.now();
    await expect(patient.me({ signal: AbortSignal.timeout(100) })).rejects.toThrow();
    expect(Date.now() - begin).toBeLessThan(5_000);
  });

  it("logs in again when the token has expired", async () => {
    seen.length = 0;
    let logins = 0;
    answer = (request, response) => {
      if (request.url === "/auth/login") say(response, 200, { access_token: `token-${++logins}` });
      else if (request.headers.authorization === "Bearer token-2") say(response, 200, { id: 1 });
      else say(response, 401, { detail: "Could not validate credentials" });
    };
    const manager = new AIManager({ projectName: "p", apiUrl, username: "a b", password: "p&q" });
    expect(await Promise.all([manager.me(), manager.me(), manager.me()])).toEqual([{ id: 1 }, { id: 1 }, { id: 1 }]);
    expect(seen.filter((one) => one.includes("/auth/login"))).toEqual(
      Array(2).fill("POST /auth/login username=a+b&password=p%26q"),
    );
  });

  it("shows each wrong field", async () => {
    answer = (_, response) => say(response, 422, { detail: [{ loc: ["body", "name"], msg: "Field required" }] });
    const error = new AIManager({ projectName: "p", apiUrl, token: "t" }).projects.create({ name: "" });
    await expect(error).rejects.toThrow("body.name: Field required");
  });
});

it("is built as one ES module with its types", () => {
  const folder = mkdtempSync(join(tmpdir(), "ai-manager-js-build-"));
  try {
    const here = new URL("..", import.meta.url).pathname;
    execFileSync(process.execPath, [join(here, "build.mjs"), folder]);
    const module = join(folder, "index.js");
    const script = `import { AIManager } from ${JSON.stringify(module)}; console.log(typeof AIManager);`;
    expect(execFileSync(process.execPath, ["--input-type=module", "-e", script]).toString()).toBe("function\n");
    expect(execFileSync("ls", [folder]).toString()).toContain("index.d.ts");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
