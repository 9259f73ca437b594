import type { Run } from "@modelship-lab/core";
import { useMemo, useState, type ReactNode } from "react";
import { figure } from "../format";
import { summaryEntries } from "../runs/status";
import { compared } from "./differences";

export interface RunDifferencesProps {
  title: string;
  runs: readonly Run[];
  /** What is compared, by name. */
  of: (run: Run) => ReadonlyMap<string, unknown>;
  /** What stands over a run's column; null for nothing. */
  heading: ((run: Run, index: number) => ReactNode) | null;
  /** Whether also what is equal in all of them is shown from the beginning. */
  everything?: boolean;
}

/** One row for each name, one column for each run; what is other than in the first run stands out. */
export function RunDifferences({ title, runs, of, heading, everything = false }: RunDifferencesProps): ReactNode {
  const [all, setAll] = useState(everything);
  const [referenceId, setReference] = useState<number | null>(null);
  const reference = Math.max(0, runs.findIndex((run) => run.id === referenceId));
  const rows = useMemo(() => compared(runs.map(of), reference), [runs, of, reference]);
  const different = rows.filter((row) => row.differs);
  const shown = all ? rows : different;

  return (
    <section className="mls-differences">
      <div className="mls-view-tools">
        <h3>{title}</h3>
        <span className="mls-muted mls-number">
          {different.length} of {rows.length} differ
        </span>
        <span className="mls-spring" />
        {different.length < rows.length && (
          <label className="mls-toggle">
            <input type="checkbox" checked={all} onChange={(event) => setAll(event.target.checked)} />
            Also what is equal
          </label>
        )}
      </div>
      {shown.length === 0 ? (
        <p className="mls-muted">{rows.length === 0 ? "Nothing was logged." : "Equal in all of them."}</p>
      ) : (
        <div className="mls-differences-place">
          <table className="mls-differences-table">
            {heading && (
              <thead>
                <tr>
                  <th scope="col">
                    <span className="mls-screen-reader">Name</span>
                  </th>
                  {runs.map((run, index) => (
                    <th key={run.id} scope="col">
                      <button
                        type="button"
                        className="mls-differences-run"
                        aria-pressed={index === reference}
                        title={index === reference ? "The others are compared with this one" : "Compare the others with this one"}
                        onClick={() => setReference(run.id)}
                      >
                        {heading(run, index)}
                      </button>
                    </th>
                  ))}
                </tr>
              </thead>
            )}
            <tbody>
              {shown.map((row) => (
                <tr key={row.name}>
                  <th scope="row" dir="auto">
                    {row.name}
                  </th>
                  {row.values.map((value, index) => (
                    <td
                      key={runs[index]!.id}
                      className={value.text === null ? "mls-differences-none" : value.differs ? "mls-differences-other" : ""}
                      dir="auto"
                    >
                      {value.text ?? "–"}
                      {value.change !== null && (
                        <span className="mls-differences-change mls-number">
                          {value.change > 0 ? "+" : "−"}
                          {figure(Math.abs(value.change))}
                        </span>
                      )}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

export function paramsOf(run: Run): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(run.params));
}

export function summaryOf(run: Run): ReadonlyMap<string, unknown> {
  return new Map(summaryEntries(run));
}

/** Versions, machine and commit of a run, nested ones under their path. */
export function environmentOf(run: Run): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      for (const [name, inner] of Object.entries(value)) walk(inner, path && path !== "packages" ? `${path}.${name}` : name);
    } else found.set(path, value);
  };
  walk(run.environment, "");
  return found;
}
