import { LabError, type NewBulk, type Query, type Sample, type SampleFilter } from "@modelship-lab/core";
import { act, configure, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { exampleProject, FakeLab, memoryStorage } from "../../core/tests/fake_lab";
import { Samples } from "../src/index";

// Whether an element is hidden is computed from the styles of all around it, which takes jsdom seconds.
configure({ defaultHidden: true });

const TOTAL = 9_000;
const HEIGHT = 460;
const ROW = 30;

/** A project of so many texts that are made as they are asked for; every third one is a prize. */
function lab(project = exampleProject({ classes: ["ham", "spam"] })): { lab: FakeLab; bulk: NewBulk[]; labeled: Map<number, string> } {
  const fake = new FakeLab(0, project);
  const bulk: NewBulk[] = [];
  const labeled = new Map<number, string>();
  const sample = (id: number): Sample =>
    ({
      id,
      project_id: 3,
      status: labeled.has(id) ? "labeled" : "unlabeled",
      text: id % 3 === 0 ? `prize ${id}` : `lunch ${id}`,
      image: null,
      row: null,
      label: labeled.get(id) ?? null,
      suggestion: null,
    }) as unknown as Sample;
  const means = ({ search, ids }: SampleFilter): number[] => {
    const all = ids ?? Array.from({ length: TOTAL }, (_, index) => index + 1);
    return search ? all.filter((id) => sample(id).text!.includes(search)) : [...all];
  };
  fake.answers.set("GET projects/3/selections", { items: [], total: 0, limit: 100, offset: 0 });
  fake.answers.set("GET projects/3/samples", ({ query }: { query: Query & SampleFilter }) => {
    const [limit, offset] = [Number(query.limit), Number(query.offset)];
    const found = means(query);
    if (String(query.sort).startsWith("-")) found.reverse();
    return { items: found.slice(offset, offset + limit).map(sample), total: found.length, limit, offset };
  });
  fake.answers.set("POST projects/3/samples/count", ({ body }: { body: SampleFilter }) => ({ count: means(body).length }));
  fake.answers.set("POST projects/3/labels/bulk", ({ body }: { body: NewBulk }) => {
    bulk.push(body);
    const ids = means(body.samples);
    for (const id of ids) labeled.set(id, body.label!);
    return { batch: `batch ${bulk.length}`, saved: ids.length };
  });
  fake.answers.set("POST projects/3/labels/undo", () => {
    const count = labeled.size;
    labeled.clear();
    return { count };
  });
  return { lab: fake, bulk, labeled };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("localStorage", memoryStorage());
  // jsdom lays nothing out: without a size there would be nothing to see of the grid.
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(HEIGHT);
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(1000);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(private readonly measure: () => void) {}
      observe(): void {
        this.measure();
      }
      disconnect(): void {}
    },
  );
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const settle = (ms = 0): Promise<unknown> => act(() => vi.advanceTimersByTimeAsync(ms));
async function open(fake: FakeLab): Promise<HTMLElement> {
  render(<Samples connection={fake} labId="lab-1" projectId={3} />);
  await settle();
  await settle();
  return screen.getByRole("grid", { name: "Samples" });
}
/** Rows that have come, by their number in the grid. */
const rows = (grid: HTMLElement): Map<number, string> =>
  new Map(
    [...grid.querySelectorAll(".mls-grid-row[aria-busy=false]")].map((row) => [Number(row.getAttribute("aria-rowindex")) - 2, row.textContent]),
  );

describe("the grid of samples", () => {
  it("has only the rows on the page that are seen, wherever it is scrolled to", async () => {
    const { lab: fake } = lab();
    const grid = await open(fake);
    expect(grid.getAttribute("aria-rowcount")).toBe(String(TOTAL + 1));
    expect(rows(grid).size).toBeLessThan(60);
    expect(rows(grid).get(0)).toContain("lunch 1");

    grid.scrollTop = 5_000 * ROW;
    fireEvent.scroll(grid);
    await settle();
    const seen = rows(grid);
    expect([seen.has(0), seen.get(5_000)?.includes("prize 5001"), seen.has(5_014)]).toEqual([false, true, true]);
    expect(seen.size).toBeLessThan(60);
    const offsets = fake.calls.filter((call) => call.path === "projects/3/samples").map((call) => call.query.offset);
    expect(offsets).toEqual([0, 4_900, 5_000]);
  });

  it("is walked through with the keys, and comes along", async () => {
    const { lab: fake } = lab();
    const grid = await open(fake);
    fireEvent.keyDown(grid, { key: "End" });
    await settle();
    expect(grid.scrollTop).toBeGreaterThan((TOTAL - 20) * ROW);
    fireEvent.scroll(grid);
    await settle();
    expect(rows(grid).get(TOTAL - 1)).toContain(`prize ${TOTAL}`);
    const active = document.getElementById(grid.getAttribute("aria-activedescendant")!)!;
    expect(active.textContent).toContain(`prize ${TOTAL}`);
    fireEvent.keyDown(grid, { key: "Enter" });
    expect(screen.getByRole("dialog", { name: `Sample ${TOTAL}` }).textContent).toContain(`prize ${TOTAL}`);
  });

  it("labels everything that a search means, after its number was shown, and takes it back", async () => {
    const { lab: fake, bulk, labeled } = lab();
    const grid = await open(fake);
    fireEvent.change(screen.getByRole("searchbox"), { target: { value: "prize" } });
    await settle(300);
    await settle();
    expect(screen.getByText("3,000 samples")).toBeTruthy();
    fireEvent.keyDown(grid, { key: "a", ctrlKey: true });
    fireEvent.keyDown(grid, { key: "2" });
    await settle();
    expect(bulk).toEqual([]);
    fireEvent.click(screen.getByRole("button", { name: /^Label 3,000 samples as spam/ }));
    await settle();
    expect(bulk[0]).toMatchObject({ label: "spam", expected: 3_000, samples: { search: "prize" } });
    expect(screen.getByRole("status").textContent).toBe("3,000 samples labeled spam. U takes it back.");
    await settle();
    expect(rows(grid).get(0)).toContain("spam");
    fireEvent.keyDown(grid, { key: "u" });
    await settle();
    expect([labeled.size, fake.calls.filter((call) => call.path === "projects/3/labels/undo").length]).toEqual([0, 1]);
  });

  it("saves nothing when Enter is pressed on Cancel", async () => {
    const { lab: fake, bulk } = lab();
    const grid = await open(fake);
    fireEvent.keyDown(grid, { key: "a", ctrlKey: true });
    fireEvent.keyDown(grid, { key: "2" });
    await settle();
    fireEvent.keyDown(screen.getByRole("button", { name: /^Cancel/ }), { key: "Enter" });
    await settle();
    expect(bulk).toEqual([]);
    fireEvent.keyDown(grid, { key: "Enter" });
    await settle();
    expect(bulk).toHaveLength(1);
  });

  it("picks a range one by one, also over what has not come yet", async () => {
    const { lab: fake, bulk } = lab();
    const grid = await open(fake);
    fireEvent.keyDown(grid, { key: " " });
    fireEvent.keyDown(grid, { key: "PageDown", shiftKey: true });
    await settle();
    fireEvent.keyDown(grid, { key: "1" });
    await settle();
    const page = Math.floor((HEIGHT - 34) / ROW) - 1;
    fireEvent.click(screen.getByRole("button", { name: new RegExp(`^Label ${page + 1} samples as ham`) }));
    await settle();
    expect(bulk[0]!.samples.ids).toEqual(Array.from({ length: page + 1 }, (_, index) => index + 1));
  });

  it("says how to begin in a project without samples, and shows all where the filter means none", async () => {
    const { lab: fake } = lab();
    fake.answers.set("GET projects/3/samples", { items: [], total: 0, limit: 100, offset: 0 });
    render(<Samples connection={fake} labId="lab-1" projectId={3} />);
    await settle();
    await settle();
    expect(screen.getByText(/This project has no samples yet/).textContent).toContain("%mlship import");
    fireEvent.click(screen.getByRole("button", { name: "flagged" }));
    await settle();
    expect(screen.getByText("No sample is meant by the filter.")).toBeTruthy();
  });

  it("gives pictures tiles, as many side by side as there is room for", async () => {
    const { lab: fake } = lab(exampleProject({ task: "image_classification" }));
    const grid = await open(fake);
    expect(grid.getAttribute("aria-colcount")).toBe("7");
    expect(grid.getAttribute("aria-rowcount")).toBe(String(Math.ceil(TOTAL / 7)));
    expect(within(grid).getAllByRole("gridcell").length).toBeLessThan(7 * 30);
  });
});

describe("an opened sample", () => {
  const listed = (fake: FakeLab, sample: Partial<Sample>): void => {
    const whole = { id: 1, project_id: 3, status: "labeled", text: null, image: null, row: null, suggestion: null, ...sample };
    fake.answers.set("GET projects/3/samples", { items: [whole], total: 1, limit: 100, offset: 0 });
  };

  it("shows its spans where they are, counted in code points, and each with its class", async () => {
    const { lab: fake } = lab(exampleProject({ task: "token_classification", classes: ["person", "place"] }));
    listed(fake, {
      text: "🙂 Ada lives in Rome",
      spans: [
        { start: 2, end: 5, label: "person" },
        { start: 15, end: 19, label: "place" },
      ],
    });
    fireEvent.keyDown(await open(fake), { key: "Enter" });
    const dialog = screen.getByRole("dialog", { name: "Sample 1" });
    expect([...dialog.querySelectorAll(".mls-span")].map((span) => span.textContent)).toEqual(["Ada", "Rome"]);
    const parts = within(within(dialog).getByRole("list", { name: "Spans" })).getAllByRole("listitem");
    expect(parts.map((part) => part.textContent)).toEqual(["Adaperson", "Romeplace"]);
    // They are only looked at.
    expect(within(dialog).queryByRole("button", { name: /^Take/ })).toBeNull();
  });

  it("draws what was suggested as long as nobody has said anything", async () => {
    const { lab: fake } = lab(exampleProject({ task: "token_classification", classes: ["person"] }));
    const spans = [{ start: 0, end: 3, label: "person" }];
    listed(fake, { status: "unlabeled", text: "Ada", suggestion: { spans, confidence: 0.8, uncertainty: 0.2, source: "rule" } });
    fireEvent.keyDown(await open(fake), { key: "Enter" });
    const dialog = screen.getByRole("dialog", { name: "Sample 1" });
    expect(dialog.querySelector(".mls-spans-suggested .mls-span")?.textContent).toBe("Ada");
    expect(dialog.textContent).toContain("drawn as it was suggested");
  });

  it("fetches the whole of a text of which the grid has the beginning, and says when that fails", async () => {
    const { lab: fake } = lab();
    listed(fake, { text: `${"a".repeat(400)}…` });
    fake.answers.set("GET samples/1", () => {
      throw new LabError(404, "NOT_FOUND", "There is no sample 1.");
    });
    fireEvent.keyDown(await open(fake), { key: "Enter" });
    await settle();
    expect(screen.getByText(/Only the beginning of this text is here: There is no sample 1/)).toBeTruthy();
    fake.answers.set("GET samples/1", { text: `${"a".repeat(400)} and its end` });
    fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    await settle();
    expect(screen.getByRole("dialog").textContent).toContain("and its end");
    expect(fake.calls.find((call) => call.path === "projects/3/samples")?.query).toMatchObject({ preview: 400 });
  });
});
