/** A real lab server for the tests: a process of its own, on a data directory of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const ROOT = new URL("../../../../", import.meta.url).pathname;
const START_TIMEOUT_MS = 40_000;

export const LAB_TOKEN = "token-of-the-javascript-tests";

export class Lab {
  private process: ChildProcess | null = null;
  private port = 0;

  private constructor(private readonly dataDir: string) {}

  static async start(): Promise<Lab> {
    const lab = new Lab(mkdtempSync(join(tmpdir(), "ai-manager-js-")));
    await lab.start();
    return lab;
  }

  get apiUrl(): string {
    return `http://127.0.0.1:${this.port}/mlship/ai-manager`;
  }

  /** Starts the server, on the same port as before when there was one. */
  async start(): Promise<void> {
    const log = openSync(join(this.dataDir, "server.log"), "a");
    const options = ["--port", String(this.port), "--data-dir", this.dataDir, "--open-registration"];
    const server = spawn(join(ROOT, ".venv/bin/python"), ["-m", "modelship_lab.server", ...options], {
      cwd: ROOT,
      stdio: ["ignore", log, log],
      env: { ...process.env, MLSHIP_TOKEN: LAB_TOKEN },
    });
    this.process = server;
    const announced = join(this.dataDir, "server.json");
    for (const deadline = Date.now() + START_TIMEOUT_MS; Date.now() < deadline && server.exitCode === null; ) {
      if (existsSync(announced)) {
        const { pid, url } = JSON.parse(readFileSync(announced, "utf8")) as { pid: number; url: string };
        if (pid === server.pid && (await fetch(`${url}mlship/api/health`).catch(() => null))?.ok) {
          this.port = Number(new URL(url).port);
          return;
        }
      }
      await sleep(50);
    }
    server.kill("SIGKILL");
    throw new Error(`The lab server did not start:\n${readFileSync(join(this.dataDir, "server.log"), "utf8").slice(-4000)}`);
  }

  /** Ends the server as a crash does. */
  async kill(): Promise<void> {
    const server = this.process!;
    if (server.exitCode === null && server.signalCode === null) {
      server.kill("SIGKILL");
      await once(server, "exit");
    }
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  /** One request to the lab's own API, as its owner. */
  async native<Answer>(path: string): Promise<Answer> {
    const headers = { Authorization: `Bearer ${LAB_TOKEN}` };
    const response = await fetch(`http://127.0.0.1:${this.port}/mlship/api/${path}`, { headers });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Answer;
  }

  /** Registers an account. */
  async register(username: string): Promise<{ username: string; password: string }> {
    const body = JSON.stringify({ username, email: `${username}@example.com`, password: PASSWORD });
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(`${this.apiUrl}/auth/register`, { method: "POST", headers, body });
    if (!response.ok) throw new Error(`register: ${response.status} ${await response.text()}`);
    return { username, password: PASSWORD };
  }
}

const PASSWORD = "correct horse battery";
