import type { Run } from "@modelship-lab/core";
import { useState, type ReactNode } from "react";
import { ago, duration } from "../format";
import { mainFigure, metricName, runTitle, StatusBadge, summaryFigure } from "./status";

type Column = "id" | "name" | "status" | "figure" | "started" | "duration";

const COLUMNS: { column: Column; title: string }[] = [
  { column: "id", title: "#" },
  { column: "name", title: "Run" },
  { column: "status", title: "Status" },
  { column: "figure", title: "Result" },
  { column: "started", title: "Started" },
  { column: "duration", title: "Took" },
];

function seconds(run: Run): number {
  return ((run.ended_at ? Date.parse(run.ended_at) : Date.now()) - Date.parse(run.started_at)) / 1000;
}

function sortValue(run: Run, column: Column): number | string {
  switch (column) {
    case "id":
      return run.id;
    case "name":
      return runTitle(run).toLowerCase();
    case "status":
      return run.status;
    case "figure":
      return mainFigure(run)?.value ?? -Infinity;
    case "started":
      return Date.parse(run.started_at);
    case "duration":
      return seconds(run);
  }
}

/** The newest runs in little room: to sort, open, and pick for comparison. */
export function RunList(props: { runs: Run[]; open: (runIds: number[]) => void }): ReactNode {
  const [sort, setSort] = useState<{ column: Column; down: boolean }>({ column: "id", down: true });
  const [picked, setPicked] = useState<ReadonlySet<number>>(new Set());
  const rows = [...props.runs].sort((a, b) => {
    const [left, right] = [sortValue(a, sort.column), sortValue(b, sort.column)];
    const order = left < right ? -1 : left > right ? 1 : b.id - a.id;
    return sort.down ? -order : order;
  });
  const chosen = rows.filter((run) => picked.has(run.id)).map((run) => run.id);

  const pick = (id: number): void => {
    const next = new Set(picked);
    if (!next.delete(id)) next.add(id);
    setPicked(next);
  };

  if (rows.length === 0) return <p className="mls-muted mls-empty">No runs yet. Start one with %mlship train PROJECT.</p>;
  return (
    <div className="mls-runs">
      <table className="mls-table">
        <thead>
          <tr>
            <th>
              <span className="mls-screen-reader">Compare</span>
            </th>
            {COLUMNS.map(({ column, title }) => (
              <th
                key={column}
                className={`mls-column-${column}`}
                aria-sort={sort.column === column ? (sort.down ? "descending" : "ascending") : "none"}
              >
                <button
                  type="button"
                  onClick={() => setSort({ column, down: sort.column === column ? !sort.down : column !== "name" })}
                >
                  {title}
                  <span aria-hidden="true">{sort.column === column ? (sort.down ? " ↓" : " ↑") : ""}</span>
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((run) => {
            const result = mainFigure(run);
            return (
              <tr key={run.id}>
                <td>
                  <input
                    type="checkbox"
                    checked={picked.has(run.id)}
                    aria-label={`Compare run ${run.id}`}
                    onChange={() => pick(run.id)}
                  />
                </td>
                <td className="mls-number mls-muted">{run.id}</td>
                <td className="mls-column-name">
                  <button type="button" className="mls-link" dir="auto" onClick={() => props.open([run.id])}>
                    {runTitle(run)}
                  </button>
                </td>
                <td>
                  <StatusBadge status={run.status} />
                </td>
                <td className="mls-number" title={result ? metricName(result.name) : undefined}>
                  {result ? summaryFigure(result.name, result.value) : "–"}
                </td>
                <td className="mls-muted mls-column-started">{ago(run.started_at)}</td>
                <td className="mls-muted mls-number mls-column-duration">{duration(seconds(run))}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {chosen.length > 1 && (
        <button type="button" className="mls-button mls-button-primary" onClick={() => props.open(chosen)}>
          Compare {chosen.length} runs
        </button>
      )}
    </div>
  );
}
