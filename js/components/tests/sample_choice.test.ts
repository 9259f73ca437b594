import type { Sample } from "@modelship-lab/core";
import { describe, expect, it } from "vitest";
import { amountOf, asFilter, EVERYTHING, extended, isChosen, NOTHING, toggled } from "../src/samples/choice";

const sample = (id: number): Sample => ({ id }) as Sample;

describe("What is selected", () => {
  it("is what was picked one by one", () => {
    const choice = toggled(extended(toggled(NOTHING, 9), [2, 4]), 2);
    expect(asFilter(choice, { label: "ham" })).toEqual({ ids: [4, 9] });
    expect([amountOf(choice, 100), isChosen(choice, sample(4)), isChosen(choice, sample(2))]).toEqual([2, true, false]);
    expect(isChosen(choice, undefined)).toBe(false);
  });

  it("is everything that the filter means but what was taken out of it", () => {
    const choice = toggled(toggled(EVERYTHING, 7), 3);
    expect(asFilter(choice, { label: "ham" })).toEqual({ label: "ham", excluded: [3, 7] });
    expect([amountOf(choice, 100), isChosen(choice, sample(3)), isChosen(choice, sample(4))]).toEqual([98, false, true]);
    expect(asFilter(extended(choice, [7, 8]), {})).toEqual({ excluded: [3] });
    expect(asFilter(toggled(toggled(choice, 3), 7), { label: "ham" })).toEqual({ label: "ham" });
  });
});
