import type { Artifact, Connection, TableRows } from "@modelship-lab/core";
import { useState, type ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { count } from "../format";
import { useAnswer } from "../useAnswer";

const ROWS = 25;

/** A table that a run kept, page by page. */
export function TableView(props: { connection: Connection; runId: number; artifact: Artifact }): ReactNode {
  const { connection, runId, artifact } = props;
  const [offset, setOffset] = useState(0);
  const path = `runs/${runId}/artifact-rows/${encodeURIComponent(artifact.name)}`;
  const { answer, problem, retry } = useAnswer<TableRows>(connection, path, { step: artifact.step, limit: ROWS, offset }, artifact.digest);
  if (problem) return <ProblemBanner problem={problem} retry={retry} />;
  if (!answer) return <p className="mls-muted">Fetching…</p>;
  const end = offset + answer.rows.length;
  return (
    <>
      <div className="mls-rows">
        <table className="mls-table">
          <thead>
            <tr>
              {answer.columns.map((column) => (
                <th key={column}>{column}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {answer.rows.map((row, index) => (
              <tr key={offset + index}>
                {row.map((cell, column) => (
                  <td key={column} dir="auto" className={typeof cell === "number" ? "mls-number" : undefined}>
                    {shown(cell)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="mls-pages">
        <button type="button" className="mls-link" disabled={offset === 0} onClick={() => setOffset(Math.max(0, offset - ROWS))}>
          ← before
        </button>
        <span className="mls-muted mls-number">
          {count(answer.total === 0 ? 0 : offset + 1)}–{count(end)} of {count(answer.total)}
        </span>
        <button type="button" className="mls-link" disabled={end >= answer.total} onClick={() => setOffset(offset + ROWS)}>
          after →
        </button>
      </p>
    </>
  );
}

function shown(cell: unknown): string {
  if (cell === null || cell === undefined) return "–";
  return typeof cell === "string" ? cell : JSON.stringify(cell);
}
