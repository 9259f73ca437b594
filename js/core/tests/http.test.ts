import { afterEach, expect, it, vi } from "vitest";
import { HttpConnection } from "../src/http";

vi.mock("../src/live", () => ({ LiveSocket: class {} }));

afterEach(() => vi.unstubAllGlobals());

it.each([
  ["image/png", "image/png"],
  ["text/html", "application/octet-stream"],
  ["text/html; charset=utf-8", "application/octet-stream"],
  ["application/vnd.plotly.v1+json", "application/octet-stream"],
  ["", "application/octet-stream"],
])("a file of type '%s' is opened as %s", async (type, opened) => {
  const made: Blob[] = [];
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("<script>1</script>", { headers: { "Content-Type": type } })));
  vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => `blob:${made.push(blob as Blob)}`);
  const connection = new HttpConnection("http://lab.test/", "token");
  expect(await connection.fileUrl("runs/1/artifacts/x")).toBe("blob:1");
  expect(made[0]!.type).toBe(opened);
  expect(made[0]!.size).toBe(18);
});

it("a drawing is a picture, which cannot be opened as a page of ours", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("<svg/>", { headers: { "Content-Type": "image/svg+xml" } })));
  const connection = new HttpConnection("http://lab.test/", "token");
  expect(await connection.fileUrl("runs/1/artifacts/x")).toBe("data:image/svg+xml,%3Csvg%2F%3E");
});
