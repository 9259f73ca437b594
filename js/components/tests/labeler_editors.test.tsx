import { act, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { exampleProject, FakeLab, memoryStorage } from "../../core/tests/fake_lab";
import { Labeler } from "../src/index";
import { boxBetween, boxesUnder, movedBox, resizedBox } from "../src/labeler/editors/boxes";
import { chunksOf, CodePoints, lanesOf, piecesOf, trimmed, Words } from "../src/labeler/editors/text";
import { FIT, fitted, shifted, zoomed } from "../src/labeler/zoom";
import { Markdown } from "../src/markdown";

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("localStorage", memoryStorage());
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settle = (): Promise<void> => act(async () => void (await vi.advanceTimersByTimeAsync(0)));

async function open(lab: FakeLab): Promise<HTMLElement> {
  render(<Labeler connection={lab} labId="lab-1" projectId={3} order="sequential" />);
  await settle();
  return screen.getByRole("application");
}

function press(labeler: HTMLElement, ...keys: string[]): void {
  for (const name of keys) {
    const [key, ...modifiers] = name.split("+").reverse() as [string, ...string[]];
    fireEvent.keyDown(labeler, { key, shiftKey: modifiers.includes("Shift"), ctrlKey: modifiers.includes("Ctrl") });
  }
}

const TOPICS = ["billing", "login", "crash"];
const topics = (): FakeLab => new FakeLab(20, exampleProject({ classes: TOPICS, multilabel: true }));

describe("sets of classes", () => {
  it("are toggled by keys and saved by Enter, in the order of the project", async () => {
    const lab = topics();
    const labeler = await open(lab);
    press(labeler, "3", "2", "1", "2");
    expect(within(labeler).getByRole("button", { name: /^crash,/ }).getAttribute("aria-pressed")).toBe("true");
    press(labeler, "Enter");
    await settle();
    expect(lab.labels.map(({ labels, label }) => [labels, label])).toEqual([[["billing", "crash"], undefined]]);
    expect(within(labeler).getByText("No class is chosen")).toBeTruthy();
  });

  it("takes a suggestion over by the blank, and saves it by another one", async () => {
    const lab = topics();
    for (const sample of lab.samples) {
      sample.suggestion = { labels: ["login", "crash"], confidence: 0.8, uncertainty: 0.2, source: "rule" };
    }
    const labeler = await open(lab);
    press(labeler, " ");
    expect(lab.saves()).toEqual([]);
    press(labeler, " ", " ", "3", "Enter");
    await settle();
    expect(lab.labels.map(({ labels }) => labels)).toEqual([["login", "crash"], ["login"]]);
  });

  it("asks before it saves that no class applies, for each sample", async () => {
    const lab = topics();
    const labeler = await open(lab);
    press(labeler, "Enter");
    expect(screen.getByRole("status").textContent).toContain("Press Enter again to save that no class applies");
    press(labeler, "Enter", "Enter");
    await settle();
    expect(lab.labels.map(({ labels }) => labels)).toEqual([[]]);
    // Choosing and taking back in between asks for nothing more.
    press(labeler, "1", "1", "Enter");
    await settle();
    expect(lab.labels.length).toBe(2);
  });

  it("undo takes back the last choice, then the sample with all that was chosen", async () => {
    const lab = topics();
    const labeler = await open(lab);
    press(labeler, "1", "2", "Enter", "3", "u");
    expect(within(labeler).getByText("text 2")).toBeTruthy();
    press(labeler, "u");
    expect(within(labeler).getByText("text 1")).toBeTruthy();
    expect(screen.getByRole("status").textContent).toBe("Taken back: label billing, login.");
    press(labeler, "Enter");
    await settle();
    expect(lab.samples[0]).toMatchObject({ labels: ["billing", "login"], status: "labeled" });
  });
});

describe("numbers", () => {
  const houses = (): FakeLab => {
    const project = exampleProject({ task: "tabular_regression", classes: [] });
    return new FakeLab(20, { ...project, settings: { ...project.settings, unit: "USD", lowest: 0, highest: 900 } });
  };

  it("are typed without going into a field, and saved by Enter", async () => {
    const lab = houses();
    const labeler = await open(lab);
    const field = within(labeler).getByRole<HTMLInputElement>("textbox", { name: /Number/ });
    press(labeler, "1", "2", ",", "5", "7", "Backspace");
    expect(field.value).toBe("12,5");
    press(labeler, "Enter", "3", "0", "Enter");
    await settle();
    expect(lab.labels.map(({ number, sample_id }) => [sample_id, number])).toEqual([
      [1, 12.5],
      [2, 30],
    ]);
    // In the field itself Enter saves, too.
    fireEvent.change(field, { target: { value: "7e2" } });
    fireEvent.keyDown(field, { key: "Enter" });
    await settle();
    expect(lab.labels.at(-1)).toMatchObject({ sample_id: 3, number: 700 });
    press(labeler, "u");
    expect(screen.getByRole("status").textContent).toBe("Taken back: label 700.");
    expect(field.value).toBe("7e2");
  });

  it("are not saved when there is none, or one beyond the range of the project", async () => {
    const lab = houses();
    const labeler = await open(lab);
    press(labeler, "Enter");
    expect(screen.getByRole("status").textContent).toBe("Type a number first.");
    press(labeler, "-", "4", "Enter");
    expect(screen.getByRole("status").textContent).toBe("-4 is below 0, the lowest of this project.");
    press(labeler, "Delete", "x", "9", "Enter");
    await settle();
    expect(lab.labels.map(({ number }) => number)).toEqual([9]);
  });

  it("take a suggestion over by the blank, with no word of how sure it is", async () => {
    const lab = houses();
    for (const sample of lab.samples) {
      sample.suggestion = { number: 410.5, confidence: 0, uncertainty: 1, source: "run:3" };
    }
    const labeler = await open(lab);
    expect(within(labeler).queryByText("0 %")).toBeNull();
    press(labeler, " ", " ", " ", "1", "Enter");
    await settle();
    expect(lab.labels.map(({ number }) => number)).toEqual([410.5, 410.51]);
  });
});

describe("notes and reasons", () => {
  it("a note is saved and shown, the sample stays, and undo takes the note back", async () => {
    const lab = new FakeLab(20);
    const labeler = await open(lab);
    press(labeler, "n");
    const field = screen.getByRole("textbox", { name: "A note about this sample" });
    expect(document.activeElement).toBe(field);
    fireEvent.change(field, { target: { value: "odd " } });
    fireEvent.keyDown(field, { key: "Enter" });
    await settle();
    expect(lab.labels).toMatchObject([{ action: "note", note: "odd", sample_id: 1 }]);
    expect(within(labeler).getByText("odd")).toBeTruthy();
    expect(within(labeler).getByText("text 1")).toBeTruthy();
    expect(document.activeElement).toBe(labeler);
    press(labeler, "u");
    expect(within(labeler).queryByText("odd")).toBeNull();
    // Escape, and nothing at all, save nothing.
    press(labeler, "n");
    fireEvent.keyDown(screen.getByRole("textbox"), { key: "Escape" });
    press(labeler, "n");
    fireEvent.keyDown(screen.getByRole("textbox"), { key: "Enter" });
    await settle();
    expect(lab.labels.length).toBe(1);
    expect(screen.queryByRole("dialog")).toBeNull();
  });

  it("skips at once, or with a reason by its digit or in words", async () => {
    const lab = new FakeLab(20, exampleProject({}, { skip_reasons: ["empty", "not English"] }));
    const labeler = await open(lab);
    press(labeler, "s", "Shift+S");
    fireEvent.keyDown(screen.getByRole("textbox"), { key: "2" });
    press(labeler, "Shift+S");
    // Keys of the labeler mean nothing on a button of the form.
    fireEvent.keyDown(screen.getByRole("button", { name: "1 empty" }), { key: "1" });
    fireEvent.change(screen.getByRole("textbox"), { target: { value: "2 languages" } });
    fireEvent.keyDown(screen.getByRole("textbox"), { key: "Enter" });
    await settle();
    expect(lab.labels.map(({ action, note }) => [action, note])).toEqual([
      ["skip", ""],
      ["skip", "not English"],
      ["skip", "2 languages"],
    ]);
  });
});

describe("what is known of a sample", () => {
  it("is not shown where the labeler is to judge alone", async () => {
    const lab = new FakeLab(20);
    Object.assign(lab.samples[0]!, { purpose: "overlap", reason: "another opinion" });
    const labeler = await open(lab);
    expect(within(labeler).getByText("Second opinion")).toBeTruthy();
    expect(within(labeler).queryByText("90.0%")).toBeNull();
    press(labeler, " ");
    expect(lab.saves()).toEqual([]);
    press(labeler, "1");
    await settle();
    expect(lab.labels).toMatchObject([{ label: "ham", purpose: "overlap" }]);
  });

  it("is accepted by the blank in a review", async () => {
    const lab = new FakeLab(20);
    Object.assign(lab.samples[0]!, { purpose: "review", reason: "ann said ham", detail: "not sure", label: "ham" });
    const labeler = await open(lab);
    expect(within(labeler).getByTitle("not sure")).toBeTruthy();
    expect(within(labeler).getByText("Present label")).toBeTruthy();
    press(labeler, " ");
    await settle();
    expect(lab.labels).toMatchObject([{ label: "ham", purpose: "review" }]);
  });
});

const NEWS = "Ada 👩🏽‍💻 met Bob in Oslo.";
function news(): FakeLab {
  const lab = new FakeLab(5, exampleProject({ task: "token_classification", classes: ["person", "place"] }));
  for (const sample of lab.samples) Object.assign(sample, { text: NEWS, suggestion: null });
  return lab;
}
const inNews = (start: number, end: number): string => [...NEWS].slice(start, end).join("");

describe("spans", () => {
  it("are made word by word with the keys, and counted in code points", async () => {
    const lab = news();
    const labeler = await open(lab);
    press(labeler, "ArrowRight", "1", "ArrowRight", "ArrowRight", "1", "ArrowRight", "Shift+ArrowRight", "2", "Enter");
    await settle();
    const spans = lab.labels[0]!.spans!.map(({ start, end, label }) => [inNews(start, end), label]);
    expect(spans).toEqual([
      ["Ada", "person"],
      ["Bob", "person"],
      ["in Oslo", "place"],
    ]);
  });

  it("are chosen with Tab, get another class, and are removed", async () => {
    const lab = news();
    const labeler = await open(lab);
    press(labeler, "ArrowRight", "1", "ArrowRight", "1", "Tab", "2", "Tab", "Delete");
    press(labeler, "End", "Ctrl+ArrowLeft", "1", "Enter");
    await settle();
    const spans = lab.labels[0]!.spans!.map(({ start, end, label }) => [inNews(start, end), label]);
    expect(spans).toEqual([
      ["Ada", "place"],
      ["Osl", "person"],
    ]);
  });

  it("are adjusted by characters and by words at both ends, before and after they have a class", async () => {
    const lab = news();
    const labeler = await open(lab);
    press(labeler, "End", "Ctrl+Shift+ArrowLeft", "Ctrl+Shift+ArrowRight", "Ctrl+Shift+ArrowRight", "2", "Tab", "Ctrl+ArrowLeft");
    press(labeler, "Escape", "Home", "1", "Tab", "Shift+ArrowRight", "Enter");
    await settle();
    const spans = lab.labels[0]!.spans!.map(({ start, end, label }) => [inNews(start, end), label]);
    expect(spans).toEqual([
      [NEWS.slice(0, NEWS.indexOf("met") + 3), "person"],
      ["sl", "place"],
    ]);
  });

  it("reach to the end of a text of any length", async () => {
    const lab = news();
    const text = `${"👍 All is well here.\n".repeat(10_000)}The end of Zoë`;
    lab.samples[0]!.text = text;
    const labeler = await open(lab);
    press(labeler, "End", "1", "Enter");
    await settle();
    const length = [...text].length;
    expect(lab.labels[0]!.spans).toEqual([{ start: length - 3, end: length, label: "person" }]);
  });
});

describe("boxes", () => {
  it("are put into the middle, moved, and told what they hold by keys alone", async () => {
    const lab = new FakeLab(5, exampleProject({ task: "object_detection", classes: ["cat", "dog"] }));
    for (const sample of lab.samples) Object.assign(sample, { text: null, image: "abc", suggestion: null });
    // jsdom loads no pictures.
    vi.stubGlobal(
      "Image",
      class {
        naturalWidth = 400;
        naturalHeight = 300;
        decode = (): Promise<void> => Promise.resolve();
      },
    );
    const labeler = await open(lab);
    press(labeler, "1", "1", "ArrowRight", "2", "1", "Escape", "1", "Shift+Tab", "Tab", "Delete", "Enter");
    await settle();
    expect(lab.labels[0]!.boxes).toHaveLength(1);
    expect(lab.labels[0]!.boxes![0]).toMatchObject({ label: "cat", y: 0.35, width: 0.3, height: 0.3 });
  });
});

describe("a text with spans", () => {
  it("is cut where a span begins or ends", () => {
    const pieces = piecesOf({ start: 0, end: 10 }, [{ start: 0, end: 6 }, { start: 4, end: 8 }], { start: 9, end: 10 });
    expect(pieces.map(({ start, end, covering, ending }) => [start, end, covering, ending])).toEqual([
      [0, 4, [0], []],
      [4, 6, [0, 1], [0]],
      [6, 8, [1], [1]],
      [8, 9, [], []],
      [9, 10, [], []],
    ]);
    expect(pieces.at(-1)!.picked).toBe(true);
    expect(lanesOf([{ start: 4, end: 8 }, { start: 0, end: 6 }, { start: 7, end: 9 }])).toEqual([1, 0, 0]);
  });

  it("counts code points whatever the units of the string", () => {
    const text = "a👍b";
    const points = new CodePoints(text);
    expect([0, 1, 2, 3].map((point) => points.toUnit(point))).toEqual([0, 1, 3, 4]);
    expect([0, 1, 2, 3, 4].map((unit) => points.toPoint(unit))).toEqual([0, 1, 1, 2, 3]);
    expect(trimmed(" ab ", { start: 0, end: 4 })).toEqual({ start: 1, end: 3 });
    expect(trimmed("a  b", { start: 1, end: 3 })).toBeNull();
  });

  it("is divided at ends of lines when it is long, and finds its words part by part", () => {
    const lines = Array.from({ length: 2000 }, (_, line) => `line ${line} of this, and so on\n`).join("");
    const text = `${lines}${"x".repeat(9_000)} 👍${"😀".repeat(20_000)}`;
    const chunks = chunksOf(text);
    expect(chunks.map(({ start, end }) => text.slice(start, end)).join("")).toBe(text);
    expect(chunks.length).toBeGreaterThan(15);
    expect(Math.max(...chunks.map(({ start, end }) => end - start))).toBeLessThanOrEqual(16_000);
    expect(chunks.every(({ start }) => !/[\uDC00-\uDFFF]/.test(text[start]!))).toBe(true);
    expect(chunks.filter(({ end }) => end < lines.length).every(({ end }) => text[end - 1] === "\n")).toBe(true);

    const words = new Words(text, chunks);
    const said = (word?: { start: number; end: number }): string => (word ? text.slice(word.start, word.end) : "none");
    expect(said(words.first(0, () => true))).toBe("line");
    const place = text.indexOf("1234 of");
    expect(said(words.first(place, ({ start }) => start >= place + 4))).toBe("of");
    expect(said(words.last(place, ({ end }) => end <= place))).toBe("line");
    expect(said(words.last(text.length, () => true))).toBe("x".repeat(9_000));
    expect(said(words.last(0, ({ end }) => end <= 0))).toBe("none");
  });
});

describe("a box", () => {
  const box = { x: 0.2, y: 0.2, width: 0.4, height: 0.2, label: "cat" };

  it("stays in the image, whichever way it is drawn, moved and resized", () => {
    expect(boxBetween({ x: 0.5, y: 1.4 }, { x: -1, y: 0.5 }, "cat")).toEqual({ x: 0, y: 0.5, width: 0.5, height: 0.5, label: "cat" });
    expect(movedBox(box, 5, -5)).toMatchObject({ x: 0.6, y: 0 });
    expect(resizedBox(box, "se", { x: 0.1, y: 0.3 })).toMatchObject({ x: 0.1, y: 0.2, width: 0.1, height: 0.1 });
    expect(resizedBox(box, "w", { x: 0.1, y: 0.9 })).toMatchObject({ x: 0.1, width: 0.5, y: 0.2, height: 0.2 });
  });

  it("is found under a pointer before a larger one", () => {
    const inner = { x: 0.3, y: 0.25, width: 0.1, height: 0.1, label: "dog" };
    expect(boxesUnder([box, inner], { x: 0.35, y: 0.3 })).toEqual([1, 0]);
    expect(boxesUnder([box, inner], { x: 0.9, y: 0.3 })).toEqual([]);
  });
});

describe("zooming", () => {
  it("leaves the point under the pointer where it is, and ends with all of the picture", () => {
    const place = { width: 400, height: 400 };
    const fit = fitted({ width: 1000, height: 500 }, place);
    expect(fit).toEqual({ width: 400, height: 200 });
    const closer = zoomed(FIT, 2, { x: 100, y: 50 });
    expect(closer).toEqual({ scale: 2, x: -100, y: -50 });
    expect(zoomed(closer, 0.1, { x: 0, y: 0 })).toEqual(FIT);
    expect(shifted(closer, 9999, 0, fit, place).x).toBe(560);
  });
});

describe("guidelines", () => {
  it("become elements, never HTML, and open nothing but what is harmless", () => {
    const { container } = render(
      <Markdown
        text={"# A\n**b** *c* `d<e` &amp; [x](javascript:alert(1)) [y](https://y.org) ![z](https://z.org/z.png)\n\n- one\n- two\n\n<script>alert(1)</script>\n\n| k | v |\n|---|---|\n| 1 | 2 |"}
      />,
    );
    expect(container.querySelectorAll("script, img").length).toBe(0);
    expect([...container.querySelectorAll("a")].map((link) => link.href)).toEqual(["https://y.org/", "https://z.org/z.png"]);
    expect(container.textContent).toContain("<script>alert(1)</script>");
    expect(container.querySelector("code")!.textContent).toBe("d<e");
    expect(container.querySelectorAll("li").length).toBe(2);
    expect(container.querySelector("td")!.textContent).toBe("1");
    expect(container.textContent).toContain("& ");
    expect(container.textContent).not.toContain("&amp;");
  });

  it("stand beside the samples until they are hidden, also the next time", async () => {
    const lab = new FakeLab(5, exampleProject({}, { guidelines: "Be *kind*." }));
    await open(lab);
    expect(screen.getByRole("region", { name: "Guidelines" }).textContent).toContain("Be kind.");
    fireEvent.click(screen.getByRole("button", { name: "Hide the guidelines" }));
    document.body.replaceChildren();
    await open(lab);
    expect(screen.queryByRole("region", { name: "Guidelines" })).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: "Guidelines" }));
    expect(screen.getByRole("region", { name: "Guidelines" })).toBeTruthy();
  });
});

describe("many classes", () => {
  it("are found by typing, and chosen with the arrows", async () => {
    const classes = Array.from({ length: 300 }, (_, index) => `class ${index}`);
    const lab = new FakeLab(5, exampleProject({ classes }));
    const labeler = await open(lab);
    Element.prototype.scrollIntoView = () => undefined;
    press(labeler, "/");
    const box = screen.getByRole("combobox", { name: /Find a class/ });
    fireEvent.change(box, { target: { value: "s 29" } });
    for (const key of ["ArrowDown", "ArrowDown", "ArrowUp", "Enter"]) fireEvent.keyDown(box, { key });
    await settle();
    // 29, 290, 291, …
    expect(lab.labels.map(({ label }) => label)).toEqual(["class 290"]);
  });
});
