import { isSweep, RunFeed, type Connection, type Run, type RunFeedState } from "@modelship-lab/core";
import { useDeferredValue, useEffect, useMemo, useState, type ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { runColor } from "../colors";
import { counted } from "../format";
import { useClosable } from "../useStore";
import { ChildRuns } from "./ChildRuns";
import { axisOf, useChoices } from "./choices";
import { stretchOf, type CurveSource } from "./curves";
import { EvaluationView } from "./EvaluationView";
import { RunAbout } from "./RunAbout";
import { RunControls } from "./RunControls";
import { RunEnd, RunHeader, RunLine } from "./RunHeader";
import { MediaView } from "./MediaView";
import { filtered, RunPanels } from "./RunPanels";
import { SourceView } from "./SourceView";
import { SweepView } from "../sweep/SweepView";
import { runTitle } from "./status";

/** At most so often what stands around the curves is drawn again. */
const REDRAW_MS = 250;

/** Into how many ranges a long series of one run is reduced, by the number of runs that share a chart. */
function pointsFor(runs: number): number {
  return runs <= 2 ? 700 : runs <= 12 ? 400 : 200;
}

/** Several feeds as one thing that is opened and closed. */
class Feeds {
  readonly feeds: RunFeed[];
  readonly ids: string;

  constructor(connection: Connection, runIds: readonly number[]) {
    this.ids = runIds.join(",");
    this.feeds = runIds.map((id) => new RunFeed(connection, id, pointsFor(runIds.length)));
  }

  close(): void {
    for (const feed of this.feeds) feed.close();
  }
}

export interface RunChartProps {
  connection: Connection;
  runIds: number[];
  /** Whose runs these are; the reader's choices are remembered by it. */
  labId?: string;
}

/** One run live, a sweep with its trials, or several runs overlaid. */
export function RunChart({ connection, runIds, labId = "" }: RunChartProps): ReactNode {
  // Runs that were opened from here: parts of a run, or the run that one is a part of.
  const [path, setPath] = useState<number[][]>([]);
  const shown = path.at(-1) ?? runIds;
  const before = path.at(-2) ?? runIds;
  const ids = shown.join(",");
  const feeds = useClosable(() => new Feeds(connection, shown), [connection, ids]);
  if (runIds.length === 0) {
    return (
      <div className="mls mls-run">
        <p className="mls-muted">No run was named.</p>
      </div>
    );
  }
  // Others were asked for, whose feeds open with the next drawing.
  if (feeds?.ids !== ids) return <div className="mls mls-run" />;
  return (
    <div className="mls mls-run">
      {path.length > 0 && (
        <button type="button" className="mls-link mls-back" onClick={() => setPath(path.slice(0, -1))}>
          ← back to {before.length > 1 ? counted(before.length, "run") : `run ${before[0]}`}
        </button>
      )}
      <RunScreen
        key={ids}
        connection={connection}
        feeds={feeds.feeds}
        name={`${labId}:${ids}`}
        open={(ids) => setPath([...path, ids])}
      />
    </div>
  );
}

/** The present states of all feeds, renewed at most every `REDRAW_MS` however fast metrics arrive. */
function useFeedStates(feeds: RunFeed[]): RunFeedState[] {
  const [states, setStates] = useState(() => feeds.map((feed) => feed.store.get()));
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let drawn_at = -Infinity;
    const hear = (): void => {
      // What is there at first is shown at once.
      const opening = feeds.some((feed) => !feed.store.get().listed);
      timer ??= setTimeout(
        () => {
          timer = undefined;
          drawn_at = Date.now();
          setStates(feeds.map((feed) => feed.store.get()));
        },
        opening ? 0 : Math.max(0, drawn_at + REDRAW_MS - Date.now()),
      );
    };
    const stop = feeds.map((feed) => feed.store.subscribe(hear));
    hear();
    return () => {
      clearTimeout(timer);
      for (const end of stop) end();
    };
  }, [feeds]);
  return states;
}

/** The names of all metrics of all runs; the same list until there is another name. */
function useNames(feeds: RunFeed[], states: RunFeedState[]): readonly string[] {
  const amount = feeds.map(({ metrics }) => metrics.catalog.size).join(",");
  return useMemo(() => {
    const names = new Set(feeds.flatMap(({ metrics }) => [...metrics.catalog.keys()]));
    // Its number stands in the header; a staircase says nothing more.
    if (names.size > 1) names.delete("epoch");
    return [...names];
    // eslint-disable-next-line react-hooks/exhaustive-deps -- catalogs change in place, and only grow
  }, [feeds, amount, states.length]);
}

function useSources(feeds: RunFeed[], states: RunFeedState[]): CurveSource[] {
  const about = JSON.stringify(
    states.map(({ run }, index) => [
      run ? runTitle(run) : `run ${feeds[index]!.runId}`,
      run ? Date.parse(run.started_at) / 1000 : 0,
    ]),
  );
  return useMemo(() => {
    const runs = JSON.parse(about) as [string, number][];
    const titles = new Map<string, number>();
    for (const [title] of runs) titles.set(title, (titles.get(title) ?? 0) + 1);
    return feeds.map(({ runId, metrics }, index) => {
      const [title, startedAt] = runs[index]!;
      return { runId, title: titles.get(title)! > 1 ? `${title} (${runId})` : title, startedAt, metrics };
    });
  }, [feeds, about]);
}

const TABS = ["charts", "media", "source"];

function RunScreen(props: {
  connection: Connection;
  feeds: RunFeed[];
  name: string;
  open: (runIds: number[]) => void;
}): ReactNode {
  const { connection, feeds, open } = props;
  const states = useFeedStates(feeds);
  const [choices, choose] = useChoices(props.name);
  const sources = useSources(feeds, states);
  const all = useNames(feeds, states);
  const filter = useDeferredValue(choices.filter);
  const { names, problem: filterProblem } = useMemo(() => filtered(all, filter), [all, filter]);
  const problem = states.find((state) => state.problem)?.problem ?? null;
  const only = states.length === 1 ? states[0]! : null;
  const unlisted = feeds.reduce((sum, { metrics }) => sum + metrics.unlisted, 0);
  const tabs = only?.run && isSweep(only.run) ? ["trials", ...TABS] : TABS;
  const tab = only && tabs.includes(choices.tab) ? choices.tab : only ? tabs[0]! : "charts";

  useEffect(() => {
    for (const source of sources) {
      source.metrics.setAxis(axisOf(choices.x));
      source.metrics.zoom(stretchOf(choices.range, source, choices));
    }
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the other choices do not move the axis
  }, [sources, choices.x, choices.range]);

  useEffect(() => {
    if (filter) for (const { metrics } of feeds) if (metrics.unlisted > 0) void metrics.listAll().catch(() => undefined);
  }, [feeds, filter]);

  return (
    <>
      <div className="mls-header">
        {only ? (
          <RunHeader state={only} feed={feeds[0]!} />
        ) : (
          <div className="mls-title">
            <h2>{feeds.length} runs</h2>
          </div>
        )}
      </div>
      {problem && <ProblemBanner problem={problem} retry={() => feeds.forEach((feed) => feed.retry())} />}
      {!only && (
        <div className="mls-run-list">
          {states.map((state, index) => {
            const id = feeds[index]!.runId;
            const key = `run:${id}`;
            const hidden = choices.hidden.includes(key);
            const toggle = (): void =>
              choose({ hidden: hidden ? choices.hidden.filter((one) => one !== key) : [...choices.hidden, key] });
            return (
              <RunLine key={id} state={state} feed={feeds[index]!} color={runColor(id)} hidden={hidden} toggle={toggle} />
            );
          })}
        </div>
      )}
      {only?.run && <RunEnd run={only.run} />}
      {only?.run && <RunAbout run={only.run} />}
      {only?.run && <Family run={only.run} connection={connection} open={open} />}
      {only && (
        <div className="mls-tabs mls-run-tabs" role="tablist" aria-label="Views of the run">
          {tabs.map((name) => (
            <button key={name} type="button" role="tab" aria-selected={tab === name} onClick={() => choose({ tab: name })}>
              {name}
            </button>
          ))}
        </div>
      )}
      {tab === "trials" && <SweepView connection={connection} runId={feeds[0]!.runId} open={open} />}
      {tab === "media" && only?.run && <MediaView connection={connection} run={only.run} />}
      {tab === "source" && only?.run && <SourceView connection={connection} run={only.run} />}
      {tab === "charts" && (
        <>
          <RunControls choices={choices} choose={choose} metrics={all} filterProblem={filterProblem} />
          {names.length > 0 ? (
            <RunPanels
              names={names}
              sources={sources}
              choices={choices}
              choose={choose}
              busy={states.some((state) => state.busy)}
            />
          ) : (
            <p className="mls-muted mls-centered mls-empty">{whyEmpty(states, choices.filter, unlisted)}</p>
          )}
          {unlisted > 0 && (
            <p className="mls-muted mls-centered">
              {counted(unlisted, "more series", "more series")} not listed yet.{" "}
              <button
                type="button"
                className="mls-link"
                onClick={() => feeds.forEach(({ metrics }) => void metrics.listAll().catch(() => undefined))}
              >
                List them all
              </button>
            </p>
          )}
          {only?.evaluation && <EvaluationView connection={connection} evaluation={only.evaluation} />}
        </>
      )}
    </>
  );
}

/** The runs that this one is a part of, or that are parts of it. */
function Family({ run, connection, open }: { run: Run; connection: Connection; open: (runIds: number[]) => void }): ReactNode {
  return (
    <>
      {run.parent_id !== null && run.parent_id !== undefined && (
        <p className="mls-muted">
          part of{" "}
          <button type="button" className="mls-link" onClick={() => open([run.parent_id!])}>
            run {run.parent_id}
          </button>
        </p>
      )}
      {run.children > 0 && !isSweep(run) && <ChildRuns connection={connection} run={run} open={(id) => open([id])} />}
    </>
  );
}

function whyEmpty(states: RunFeedState[], filter: string, unlisted: number): string {
  if (!states.every((state) => state.run && state.listed)) return "Fetching the run…";
  if (filter && unlisted > 0) return "Looking through all names…";
  if (filter) return "No metric has such a name.";
  return states.some((state) => state.run?.status === "running")
    ? "The first metrics appear here as soon as they are logged."
    : "Nothing was logged.";
}
