import { asLabError, type Connection, type LabError, type Run } from "@modelship-lab/core";
import { useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { classColor } from "../colors";
import { allColumns } from "../runs/columns";
import { RunChart } from "../runs/RunChart";
import type { RunOpener } from "../runs/opener";
import { runTitle, StatusBadge } from "../runs/status";
import { useSaved } from "../saved";
import { CodeDiff } from "./CodeDiff";
import { environmentOf, paramsOf, RunDifferences, summaryOf } from "./RunDifferences";
import { ParallelCoordinates } from "./ParallelCoordinates";
import { Scatter } from "./Scatter";
import { useColumns, useRuns } from "./useRuns";

const TABS = [
  ["curves", "Curves"],
  ["params", "Parameters"],
  ["parallel", "Parallel coordinates"],
  ["scatter", "Scatter"],
  ["code", "Code"],
  ["environment", "Environment"],
] as const;

export type ComparisonTab = (typeof TABS)[number][0];

/** More lines in one chart cannot be told apart. */
const MOST_CURVES = 20;
const MOST_COLUMNS = 50;
/** As many as a filter can name. */
const MOST_ROWS = 300;

export interface ComparisonProps {
  connection: Connection;
  labId: string;
  runIds: readonly number[];
  tab?: ComparisonTab;
  opener?: RunOpener;
}

/** Runs side by side: their curves, parameters and figures, code and environment. */
export function Comparison({ connection, labId, runIds, tab = "curves", opener }: ComparisonProps): ReactNode {
  const ids = runIds.join(",");
  const [saved, setSaved] = useSaved<{ tab: ComparisonTab }>(`comparison:${labId}:${ids}`, { tab });
  const { runs, problem, retry } = useRecords(connection, ids);
  const columns = useColumns(connection, null);
  const known = useMemo(() => allColumns(columns), [columns]);
  const query = useMemo(() => ({ project: null, filter: `id in (${ids.split(",").slice(0, MOST_ROWS).join(", ")},)` }), [ids]);
  const { rows, ask, problem: rowsProblem } = useRuns(connection, query, ids);
  const [only, setOnly] = useState<number | null>(null);
  const open = useCallback((found: number[]) => (opener ? opener.runs(found) : setOnly(found[0] ?? null)), [opener]);

  if (only !== null) {
    return (
      <div className="mls mls-comparison">
        <button type="button" className="mls-link mls-back" onClick={() => setOnly(null)}>
          ← Back to the comparison
        </button>
        <RunChart connection={connection} runIds={[only]} />
      </div>
    );
  }
  const shown = runs.slice(0, MOST_COLUMNS);
  return (
    <div className="mls mls-comparison" data-lm-suppress-shortcuts="true" onKeyDown={(event) => event.stopPropagation()}>
      <div className="mls-header">
        <div className="mls-title">
          <h2>{runIds.length === 1 ? "One run" : `${runIds.length} runs compared`}</h2>
          {runIds.length > MOST_ROWS && <span className="mls-muted">the first {MOST_ROWS} of them</span>}
        </div>
        <div className="mls-segments" role="tablist" aria-label="What is compared">
          {TABS.map(([name, title]) => (
            <button key={name} type="button" role="tab" aria-selected={saved.tab === name} onClick={() => setSaved({ tab: name })}>
              {title}
            </button>
          ))}
        </div>
      </div>
      {(problem ?? rowsProblem) && <ProblemBanner problem={(problem ?? rowsProblem)!} retry={retry} />}
      {saved.tab === "curves" ? (
        <>
          {runIds.length > MOST_CURVES && (
            <p className="mls-muted">The curves of the first {MOST_CURVES} runs; more could not be told apart.</p>
          )}
          <RunChart connection={connection} runIds={runIds.slice(0, MOST_CURVES)} />
        </>
      ) : saved.tab === "parallel" ? (
        <ParallelCoordinates rows={rows} columns={known} onColumns={ask} onOpen={open} />
      ) : saved.tab === "scatter" ? (
        <Scatter rows={rows} columns={known} onColumns={ask} onOpen={open} />
      ) : runs.length === 0 ? (
        <p className="mls-muted mls-centered mls-empty">Fetching…</p>
      ) : saved.tab === "code" ? (
        <CodeDiff connection={connection} runs={runs} />
      ) : (
        <>
          {runs.length > MOST_COLUMNS && <p className="mls-muted">The first {MOST_COLUMNS} runs.</p>}
          {saved.tab === "params" ? (
            <>
              <RunDifferences title="Parameters" runs={shown} of={paramsOf} heading={runHeading} />
              <RunDifferences title="Final figures" runs={shown} of={summaryOf} heading={null} everything />
            </>
          ) : (
            <RunDifferences title="Packages and machine" runs={shown} of={environmentOf} heading={runHeading} />
          )}
        </>
      )}
    </div>
  );
}

function runHeading(run: Run, index: number): ReactNode {
  return (
    <>
      <span className="mls-swatch" style={{ background: classColor(index) }} />
      <span dir="auto">{runTitle(run)}</span> <span className="mls-muted">{run.id}</span>
      <StatusBadge status={run.status} />
    </>
  );
}

/** The records of runs, in the order of their ids in `ids`; what is not there any more is left out. */
function useRecords(connection: Connection, ids: string): { runs: Run[]; problem: LabError | null; retry: () => void } {
  const [state, setState] = useState<{ runs: Run[]; problem: LabError | null }>({ runs: [], problem: null });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let wasted = false;
    const fetch = async (): Promise<void> => {
      const problems: LabError[] = [];
      const found = await Promise.all(
        ids.split(",").slice(0, MOST_COLUMNS + 1).map((id) =>
          connection.request<Run>("GET", `runs/${id}`).catch((error: unknown) => {
            problems.push(asLabError(error));
            return null;
          }),
        ),
      );
      if (!wasted) setState({ runs: found.filter((run) => run !== null), problem: problems[0] ?? null });
    };
    if (ids) void fetch();
    return () => {
      wasted = true;
    };
  }, [connection, ids, attempt]);
  return { ...state, retry: () => setAttempt(attempt + 1) };
}
