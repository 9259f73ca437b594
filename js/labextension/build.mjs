/** Builds the prebuilt JupyterLab extension into the Python package. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const here = new URL(".", import.meta.url).pathname;
const resolve = createRequire(import.meta.url).resolve;

rmSync(join(here, "lib"), { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: ["src/index.ts"],
  outfile: "lib/index.js",
  bundle: true,
  format: "esm",
  target: "es2022",
  // JupyterLab has these; the builder shares them.
  external: ["@jupyterlab/*", "@lumino/*"],
  logLevel: "warning",
});

// The builder reads which packages JupyterLab shares from a folder with JupyterLab's package.json.
const core = mkdtempSync(join(tmpdir(), "jupyterlab-core-"));
try {
  copyFileSync(join(dirname(resolve("@jupyterlab/core-meta/package.json")), "core.package.json"), join(core, "package.json"));
  const builder = join(dirname(resolve("@jupyterlab/builder/package.json")), "lib", "build-labextension.js");
  const { status } = spawnSync(process.execPath, [builder, "--core-path", core, here], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
} finally {
  rmSync(core, { recursive: true, force: true });
}
