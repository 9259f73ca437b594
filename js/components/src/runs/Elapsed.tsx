import type { Run } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { duration } from "../format";
import { useNow } from "../useStore";

/** How long a run has taken; counts on while it goes on. */
export function Elapsed({ run }: { run: Run }): ReactNode {
  const now = useNow(1000, run.ended_at === null);
  const end = run.ended_at ? Date.parse(run.ended_at) : now;
  return <span className="mls-number mls-muted">{duration((end - Date.parse(run.started_at)) / 1000)}</span>;
}
