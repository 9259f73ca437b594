import { act, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { away, exampleProject, FakeLab, memoryStorage } from "../../core/tests/fake_lab";
import { Labeler } from "../src/index";

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

const manyClasses = (count: number): FakeLab =>
  new FakeLab(
    50,
    exampleProject({ name: "tickets", classes: Array.from({ length: count }, (_, index) => `class ${index + 1}`) }),
  );

describe("Labeler", () => {
  it("labels with the digit of a class and shows the next sample before any answer", async () => {
    const lab = new FakeLab(50);
    const labeler = await open(lab);
    expect(within(labeler).getByText("text 1")).toBeTruthy();
    lab.gate = new Promise(() => undefined);
    fireEvent.keyDown(labeler, { key: "2" });
    expect(within(labeler).getByText("text 2")).toBeTruthy();
    expect(within(labeler).queryByText("text 1")).toBeNull();
    expect(lab.saves()[0]).toMatchObject([{ sample_id: 1, action: "label", label: "spam" }]);
  });

  it("space accepts, s skips, f flags", async () => {
    const lab = new FakeLab(50);
    const labeler = await open(lab);
    for (const key of [" ", "s", "F"]) fireEvent.keyDown(labeler, { key });
    await settle();
    expect(lab.labels.map(({ action, label }) => [action, label])).toEqual([
      ["label", "spam"],
      ["skip", undefined],
      ["flag", undefined],
    ]);
  });

  it("u and Ctrl+Z bring the sample back", async () => {
    const lab = new FakeLab(50);
    const labeler = await open(lab);
    fireEvent.keyDown(labeler, { key: "1" });
    fireEvent.keyDown(labeler, { key: "1" });
    fireEvent.keyDown(labeler, { key: "u" });
    expect(within(labeler).getByText("text 2")).toBeTruthy();
    fireEvent.keyDown(labeler, { key: "z", ctrlKey: true });
    expect(within(labeler).getByText("text 1")).toBeTruthy();
    await settle();
    expect(lab.samples.filter((sample) => sample.status === "labeled")).toEqual([]);
  });

  it("chooses classes beyond the ninth by a letter and a digit, and says so", async () => {
    const lab = manyClasses(30);
    const labeler = await open(lab);
    fireEvent.keyDown(labeler, { key: "q" });
    expect(lab.saves()).toEqual([]);
    expect(screen.getByText(/now the second key/)).toBeTruthy();
    expect(screen.getByRole("button", { name: /^class 10\b.*labeled.*key q then 1$/ })).toBeTruthy();
    expect(screen.queryByRole("button", { name: /^class 1,/ })).toBeNull();
    fireEvent.keyDown(labeler, { key: "3" });
    for (const key of ["e", "1"]) fireEvent.keyDown(labeler, { key });
    // "e 9" would be class 36, which does not exist: nothing is labeled, and the 9 is not class 9 either.
    for (const key of ["e", "9"]) fireEvent.keyDown(labeler, { key });
    // An Escape takes the chord back.
    for (const key of ["q", "Escape", "4"]) fireEvent.keyDown(labeler, { key });
    await settle();
    expect(lab.labels.map(({ label }) => label)).toEqual(["class 12", "class 28", "class 4"]);
  });

  it("gives classes that are digits their own key", async () => {
    const lab = manyClasses(10);
    lab.project.classes = Array.from({ length: 10 }, (_, digit) => String(digit));
    const labeler = await open(lab);
    for (const key of ["0", "7"]) fireEvent.keyDown(labeler, { key });
    await settle();
    expect(lab.labels.map(({ label }) => label)).toEqual(["0", "7"]);
  });

  it("finds a class by its name", async () => {
    const lab = manyClasses(200);
    const labeler = await open(lab);
    fireEvent.keyDown(labeler, { key: "/" });
    const search = screen.getByRole("combobox", { name: /Find a class/ });
    expect(document.activeElement).toBe(search);
    // Letters typed into the box are not keys of the labeler.
    fireEvent.keyDown(search, { key: "s" });
    fireEvent.change(search, { target: { value: "ass 177" } });
    fireEvent.keyDown(search, { key: "Enter" });
    await settle();
    expect(lab.labels.map(({ label }) => label)).toEqual(["class 177"]);
    expect(document.activeElement).toBe(labeler);
  });

  it("keeps its keys from the notebook but leaves it commands like saving", async () => {
    const labeler = await open(new FakeLab(50));
    const notebook = vi.fn();
    document.addEventListener("keydown", notebook);
    for (const key of ["d", "d", "1", "Enter", "x"]) fireEvent.keyDown(labeler, { key });
    expect(notebook).not.toHaveBeenCalled();
    expect(labeler.getAttribute("data-lm-suppress-shortcuts")).toBe("true");
    fireEvent.keyDown(labeler, { key: "s", ctrlKey: true });
    expect(notebook).toHaveBeenCalledTimes(1);
    expect(labeler.hasAttribute("data-lm-suppress-shortcuts")).toBe(false);
    await settle();
    expect(labeler.getAttribute("data-lm-suppress-shortcuts")).toBe("true");
    document.removeEventListener("keydown", notebook);
  });

  it("a key that is held down labels one sample", async () => {
    const lab = new FakeLab(50);
    const labeler = await open(lab);
    fireEvent.keyDown(labeler, { key: "1" });
    for (let index = 0; index < 5; index++) fireEvent.keyDown(labeler, { key: "1", repeat: true });
    await settle();
    expect(lab.labels.length).toBe(1);
  });

  it("takes the focus when it is clicked", async () => {
    const labeler = await open(new FakeLab(50));
    fireEvent.pointerDown(within(labeler).getByText("text 1"));
    await settle();
    expect(document.activeElement).toBe(labeler);
  });

  it("shows text of users as text", async () => {
    const lab = new FakeLab(50);
    lab.samples[0]!.text = '<img src=x onerror="alert(1)"> <b>bold</b>';
    const labeler = await open(lab);
    expect(within(labeler).getByText('<img src=x onerror="alert(1)"> <b>bold</b>')).toBeTruthy();
    expect(labeler.querySelector("b, img")).toBeNull();
  });

  it("counts what is unsaved while the server is away, says what to do, and recovers", async () => {
    const lab = new FakeLab(50);
    const labeler = await open(lab);
    for (let index = 0; index < 10; index++) lab.trouble.push({ error: away() });
    for (const key of ["1", "1", "2"]) fireEvent.keyDown(labeler, { key });
    await settle();
    expect(screen.getByRole("alert").textContent).toContain("The lab server does not answer");
    expect(screen.getByRole("alert").textContent).toContain("3 unsaved decisions");
    lab.trouble.length = 0;
    fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    await settle();
    expect(screen.queryByRole("alert")).toBeNull();
    expect(lab.labels.length).toBe(3);
  });

  it("shows when all is labeled", async () => {
    const lab = new FakeLab(1);
    const labeler = await open(lab);
    fireEvent.keyDown(labeler, { key: "s" });
    await settle();
    expect(screen.getByText("Everything is labeled")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Look at the 1 skipped" }));
    await settle();
    expect(within(labeler).getByText("text 1")).toBeTruthy();
  });

  it("shows all keys on ? and hides them again", async () => {
    const lab = new FakeLab(50);
    const labeler = await open(lab);
    fireEvent.keyDown(labeler, { key: "?" });
    expect(screen.getByRole("dialog").textContent).toContain("Accept the suggestion");
    // Nothing behind the help is labeled by accident.
    fireEvent.keyDown(labeler, { key: "1" });
    await settle();
    expect(lab.labels).toEqual([]);
    fireEvent.keyDown(labeler, { key: "Escape" });
    expect(screen.queryByRole("dialog")).toBeNull();
  });

  it("shows a row with its missing values", async () => {
    const lab = new FakeLab(50);
    Object.assign(lab.samples[0]!, { text: null, row: { "mean radius": 12.345, site: "left", age: null } });
    const labeler = await open(lab);
    expect(within(labeler).getByText("mean radius").nextSibling?.textContent).toBe("12.35");
    expect(within(labeler).getByText("age").nextSibling?.textContent).toBe("missing");
  });
});
