import { asLabError, type Connection, type RunRow } from "@modelship-lab/core";
import { useState, type ReactNode } from "react";
import { Banner } from "../Banner";
import { count } from "../format";
import { runCount } from "./RunGrid";

/** So many requests are on their way at once. */
const AT_ONCE = 6;

export interface RunActionsProps {
  connection: Connection;
  picked: ReadonlyMap<number, RunRow>;
  onCompare: (runIds: number[]) => void;
  onClear: () => void;
}

type Asked = "tag" | "delete" | null;

/** What can be done with the runs that are selected. */
export function RunActions({ connection, picked, onCompare, onClear }: RunActionsProps): ReactNode {
  const [asked, setAsked] = useState<Asked>(null);
  const [tag, setTag] = useState("");
  const [doing, setDoing] = useState<{ what: string; done: number; of: number } | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const rows = [...picked.values()];
  const running = rows.filter((row) => row.status === "running");

  /** Does one thing with each run; what fails does not keep the others. */
  const each = async (what: string, items: RunRow[], action: (row: RunRow) => Promise<unknown>): Promise<boolean> => {
    setAsked(null);
    setFailed(null);
    const left = [...items];
    const problems: string[] = [];
    let done = 0;
    setDoing({ what, done, of: items.length });
    const work = async (): Promise<void> => {
      for (let row = left.shift(); row; row = left.shift()) {
        try {
          await action(row);
        } catch (error) {
          const problem = asLabError(error);
          // A child goes with its parent, and is not there any more when its own turn comes.
          if (problem.status !== 404) problems.push(`run ${row.id}: ${problem.message}`);
        }
        setDoing({ what, done: ++done, of: items.length });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    setDoing(null);
    if (problems.length > 0) {
      const more = problems.length > 3 ? ` and ${problems.length - 3} more` : "";
      setFailed(`${what}: ${runCount(problems.length)} failed. ${problems.slice(0, 3).join("; ")}${more}`);
    }
    return problems.length === 0;
  };

  const addTag = (): void => {
    const name = tag.trim();
    if (!name) return;
    setTag("");
    const without = rows.filter((row) => !row.tags.includes(name));
    void each("Tagging", without, (row) =>
      connection.request("PATCH", `runs/${row.id}`, { body: { tags: [...row.tags, name] } }),
    );
  };
  const remove = async (): Promise<void> => {
    if (await each("Deleting", rows, (row) => connection.request("DELETE", `runs/${row.id}`))) onClear();
  };

  return (
    <div className="mls-actions" role="region" aria-label="Selected runs">
      <strong className="mls-number">{runCount(rows.length)} selected</strong>
      {doing ? (
        <span className="mls-muted mls-number" role="status">
          {doing.what} {count(doing.done)} of {count(doing.of)}…
        </span>
      ) : asked === "delete" ? (
        <>
          <span>
            Delete {runCount(rows.length)} with all metrics, artifacts and child runs? This cannot be undone.
          </span>
          <button type="button" className="mls-button mls-button-danger" autoFocus onClick={() => void remove()}>
            Delete {runCount(rows.length)}
          </button>
          <button type="button" className="mls-button" onClick={() => setAsked(null)}>
            Keep
          </button>
        </>
      ) : asked === "tag" ? (
        <form
          className="mls-actions-tag"
          onSubmit={(event) => {
            event.preventDefault();
            addTag();
          }}
        >
          <input
            className="mls-input"
            aria-label="Tag"
            placeholder="tag"
            maxLength={100}
            autoFocus
            value={tag}
            onChange={(event) => setTag(event.target.value)}
            onKeyDown={(event) => {
              event.stopPropagation();
              if (event.key === "Escape") setAsked(null);
            }}
          />
          <button type="submit" className="mls-button mls-button-primary" disabled={!tag.trim()}>
            Add the tag
          </button>
          <button type="button" className="mls-button" onClick={() => setAsked(null)}>
            Cancel
          </button>
        </form>
      ) : (
        <>
          <button type="button" className="mls-button mls-button-primary" onClick={() => onCompare(rows.map((row) => row.id))}>
            {rows.length === 1 ? "Open" : "Compare"}
          </button>
          <button type="button" className="mls-button" onClick={() => setAsked("tag")}>
            Tag…
          </button>
          {running.length > 0 && (
            <button
              type="button"
              className="mls-button"
              title="End them at their next step and keep their checkpoints"
              onClick={() => void each("Stopping", running, (row) => connection.request("POST", `runs/${row.id}/stop`))}
            >
              Stop {count(running.length)} running
            </button>
          )}
          <button type="button" className="mls-button mls-button-danger" onClick={() => setAsked("delete")}>
            Delete…
          </button>
          <button type="button" className="mls-link" onClick={onClear}>
            Clear
          </button>
        </>
      )}
      {failed && <Banner kind="error" action={{ label: "OK", run: () => setFailed(null) }}>{failed}</Banner>}
    </div>
  );
}
