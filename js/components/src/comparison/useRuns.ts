import { allRuns, asLabError, type Connection, type LabError, type Page, type RunColumn, type RunQuery, type RunRow } from "@modelship-lab/core";
import { useCallback, useEffect, useState } from "react";

/** Runs that come in while one looks on are fetched at most so often. */
const RENEW_MS = 3000;

export interface Runs {
  /** Null until they are there. */
  rows: readonly RunRow[] | null;
  problem: LabError | null;
  /** Has these columns fetched as well. */
  ask: (columns: readonly string[]) => void;
}

/**
 * All runs of a query with the columns that somebody asks for.
 *
 * @param revision changes when there may be others
 */
export function useRuns(connection: Connection, query: Omit<RunQuery, "columns" | "sort"> & Partial<RunQuery>, revision: unknown): Runs {
  const [columns, setColumns] = useState<readonly string[]>([]);
  const [state, setState] = useState<{ rows: readonly RunRow[] | null; problem: LabError | null }>({ rows: null, problem: null });
  const [attempt, setAttempt] = useState(0);
  // Which are the first depends on the order; of all of them, it does not matter.
  const sort = (query.limit && query.sort) || ["id"];
  const wanted = JSON.stringify({ project: query.project, filter: query.filter, sort, columns, limit: query.limit });
  const [shown, setShown] = useState("");

  useEffect(() => {
    if (columns.length === 0) return;
    let wasted = false;
    const fetch = async (): Promise<void> => {
      try {
        const rows = await allRuns(connection, JSON.parse(wanted) as RunQuery);
        if (!wasted) setState({ rows, problem: null });
      } catch (error) {
        const problem = asLabError(error);
        // A mistake in the filter is told where it is written.
        if (!wasted && problem.status !== 422) setState((before) => ({ ...before, problem }));
      }
      if (!wasted) setShown(wanted);
    };
    const timer = setTimeout(() => void fetch(), shown === wanted ? RENEW_MS : 0);
    return () => {
      wasted = true;
      clearTimeout(timer);
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- what is shown only tells how long to wait
  }, [connection, wanted, columns, revision, attempt]);

  const ask = useCallback((more: readonly string[]): void => {
    setAttempt((count) => (more.length === 0 ? count + 1 : count));
    setColumns((before) => {
      const missing = more.filter((name) => !before.includes(name));
      return missing.length > 0 ? [...before, ...missing] : before;
    });
  }, []);
  return { ...state, ask };
}

/** The columns that the runs of a project have, or all runs. */
export function useColumns(connection: Connection, project: string | null): readonly RunColumn[] {
  const [columns, setColumns] = useState<readonly RunColumn[]>([]);
  useEffect(() => {
    let wasted = false;
    connection
      .request<Page<RunColumn>>("GET", "runs/columns", { query: { project } })
      .then((page) => {
        if (!wasted) setColumns(page.items);
      })
      // The rows, which are asked for as well, tell what is wrong.
      .catch(() => undefined);
    return () => {
      wasted = true;
    };
  }, [connection, project]);
  return columns;
}
