import { asLabError, withQuery, type Connection, type LabError, type Query } from "@modelship-lab/core";
import { useEffect, useState } from "react";

/**
 * The server's answer to a GET, asked for again when what is asked changes.
 *
 * @param version asks again although the question is the same
 */
export function useAnswer<Answer>(
  connection: Connection,
  path: string,
  query?: Query,
  version: unknown = null,
): { answer: Answer | null; problem: LabError | null; retry: () => void } {
  const [state, setState] = useState<{ answer: Answer | null; problem: LabError | null }>({ answer: null, problem: null });
  const [attempt, setAttempt] = useState(0);
  const address = withQuery(path, query);
  useEffect(() => {
    const abort = new AbortController();
    connection
      .request<Answer>("GET", address, { signal: abort.signal })
      .then((answer) => {
        if (!abort.signal.aborted) setState({ answer, problem: null });
      })
      .catch((error: unknown) => {
        if (!abort.signal.aborted) setState((before) => ({ ...before, problem: asLabError(error) }));
      });
    return () => abort.abort();
  }, [connection, address, version, attempt]);
  return { ...state, retry: () => setAttempt(attempt + 1) };
}
