/** Builds the package into `lib`, or into the folder that is named: one ES module, and its types. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { build } from "esbuild";

const here = new URL(".", import.meta.url).pathname;
const target = resolve(process.argv[2] ?? join(here, "lib"));

rmSync(target, { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: ["src/index.ts"],
  outfile: join(target, "index.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
});

const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
const { status } = spawnSync(
  process.execPath,
  [join(typescript, "bin", "tsc"), "--project", here, "--outDir", target],
  { stdio: "inherit" },
);
process.exitCode = status ?? 1;
