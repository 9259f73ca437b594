/** Bundles the widgets and their loader, and the page that shows the API, into the Python package. */
import { createHash } from "node:crypto";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = new URL(".", import.meta.url).pathname;
const target = new URL("../../modelship_lab/notebook/static/", import.meta.url).pathname;

const result = await build({
  absWorkingDir: here,
  entryPoints: { widgets: "src/index.tsx", loader: "src/loader.ts", map_page: "src/map_page.ts" },
  outdir: target,
  bundle: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  minify: true,
  legalComments: "none",
  loader: { ".css": "text" },
  define: { "process.env.NODE_ENV": '"production"' },
  write: false,
  logLevel: "warning",
});

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
for (const file of result.outputFiles) {
  await writeFile(file.path, file.contents);
  const name = file.path.slice(target.length);
  const kb = (bytes) => `${(bytes.length / 1000).toFixed(1)} kB`;
  console.log(`${name}: ${kb(file.contents)} (${kb(gzipSync(file.contents))} gzipped)`);
}
const bundle = result.outputFiles.find((file) => file.path.endsWith("widgets.js"));
const hash = createHash("sha256").update(bundle.contents).digest("hex").slice(0, 16);
await writeFile(`${target}widgets.json`, `${JSON.stringify({ hash })}\n`);

const swagger = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
for (const name of ["swagger-ui.css", "swagger-ui-bundle.js"]) await copyFile(join(swagger, name), `${target}${name}`);
