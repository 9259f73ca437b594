import type { Connection, Page, Run } from "@modelship-lab/core";
import { useEffect, useState, type ReactNode } from "react";
import { counted } from "../format";
import { useAnswer } from "../useAnswer";
import { metricName, mainFigure, runTitle, StatusBadge, summaryFigure } from "./status";

const AT_FIRST = 20;
/** Many events in a row are one look. */
const AFTER_EVENT_MS = 400;

/** The runs that are parts of a run. */
export function ChildRuns(props: { connection: Connection; run: Run; open: (runId: number) => void }): ReactNode {
  const { connection, run, open } = props;
  const [limit, setLimit] = useState(AT_FIRST);
  const query = { parent_id: run.id, limit };
  const [changes, setChanges] = useState(0);
  // Asked again when one more is there, one of them has changed, or the run ended.
  const { answer } = useAnswer<Page<Run>>(connection, "runs", query, `${run.children} ${run.status} ${changes}`);
  const topics = (answer?.items ?? []).map(({ id }) => `run:${id}`).join();
  useEffect(() => {
    const shown = new Set(topics.split(","));
    let timer: ReturnType<typeof setTimeout> | undefined;
    // Their own topics would bring all their metrics as well.
    const stop = connection.subscribe("*", (message) => {
      if (message.type !== "event" || !shown.has(message.event.topic)) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        setChanges((count) => count + 1);
      }, AFTER_EVENT_MS);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [connection, topics]);
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
