import type { Connection, Page, Run } from "@modelship-lab/core";
import { useState, type ReactNode } from "react";
import { counted } from "../format";
import { useAnswer } from "../useAnswer";
import { metricName, mainFigure, runTitle, StatusBadge, summaryFigure } from "./status";

const AT_FIRST = 20;

/** The runs that are parts of a run. */
export function ChildRuns(props: { connection: Connection; run: Run; open: (runId: number) => void }): ReactNode {
  const { connection, run, open } = props;
  const [limit, setLimit] = useState(AT_FIRST);
  const query = { parent_id: run.id, limit };
  // Asked again when one more is there, or the run ended.
  const { answer } = useAnswer<Page<Run>>(connection, "runs", query, `${run.children} ${run.status}`);
  if (!answer) return null;
  return (
    <details className="mls-children" open>
      <summary>{counted(answer.total, "part")}</summary>
      {answer.items.map((child) => {
        const result = mainFigure(child);
        return (
          <div key={child.id} className="mls-run-line">
            <button type="button" className="mls-link" dir="auto" onClick={() => open(child.id)}>
              {runTitle(child)}
            </button>
            <span className="mls-muted">run {child.id}</span>
            <span className="mls-spring" />
            {result && (
              <span>
                <span className="mls-muted">{metricName(result.name)}</span>{" "}
                <strong className="mls-number">{summaryFigure(result.name, result.value)}</strong>
              </span>
            )}
            <StatusBadge status={child.status} />
          </div>
        );
      })}
      {answer.items.length < answer.total && (
        <button type="button" className="mls-link" onClick={() => setLimit(limit * 5)}>
          show more
        </button>
      )}
    </details>
  );
}
