import { isSweep, type Run, type RunFeed, type RunFeedState } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { Banner } from "../Banner";
import { count, figure } from "../format";
import { Elapsed } from "./Elapsed";
import { metricName, runTitle, StatusBadge, summaryEntries, summaryFigure } from "./status";
import { StopButton } from "./StopButton";

/** What a stop does to a run. */
function effectOf(run: Run): string {
  return isSweep(run) ? "Begin no more trials after the present one" : "End the training at its next step and keep its checkpoint";
}

/** What a run is, how far it is, and how to stop it. */
export function RunHeader({ state, feed }: { state: RunFeedState; feed: RunFeed }): ReactNode {
  const { run, stopping } = state;
  if (!run) {
    return (
      <div className="mls-title">
        <h2>Run {feed.runId}</h2>
      </div>
    );
  }
  const epoch = feed.metrics.catalog.get("epoch")?.[0]?.last ?? null;
  return (
    <>
      <div className="mls-title">
        <h2 dir="auto">{runTitle(run)}</h2>
        <span className="mls-muted">
          run {run.id}
          {run.project && ` · ${run.project}`}
          {run.recipe && run.recipe !== runTitle(run) && ` · ${run.recipe}`}
          {run.group && ` · group ${run.group}`}
        </span>
      </div>
      {epoch !== null && (
        <span className="mls-muted">
          epoch <strong className="mls-number">{figure(epoch)}</strong>
        </span>
      )}
      <span className="mls-muted">
        step <strong className="mls-number">{count(feed.metrics.newestStep)}</strong>
      </span>
      <Elapsed run={run} />
      <StatusBadge status={run.status === "running" && stopping ? "stopping" : run.status} />
      {run.status === "running" && <StopButton stopping={stopping} stop={() => feed.stop()} effect={effectOf(run)} />}
    </>
  );
}

/** One of several runs: its color, its result, and whether its lines are drawn. */
export function RunLine(props: {
  state: RunFeedState;
  feed: RunFeed;
  color: string;
  hidden: boolean;
  toggle: () => void;
}): ReactNode {
  const { state, feed, color, hidden, toggle } = props;
  const { run, stopping } = state;
  const first = run && summaryEntries(run)[0];
  const title = run ? runTitle(run) : `run ${feed.runId}`;
  return (
    <div className="mls-run-line">
      <button
        type="button"
        className="mls-legend-entry"
        aria-pressed={!hidden}
        title={hidden ? `Show ${title}` : `Hide ${title}`}
        onClick={toggle}
      >
        <span className="mls-swatch" style={{ background: color }} />
        <strong dir="auto">{title}</strong>
      </button>
      <span className="mls-muted">run {feed.runId}</span>
      <span className="mls-spring" />
      {first && (
        <span>
          <span className="mls-muted">{metricName(first[0])}</span>{" "}
          <strong className="mls-number">{summaryFigure(...first)}</strong>
        </span>
      )}
      {run && <Elapsed run={run} />}
      {run && <StatusBadge status={run.status === "running" && stopping ? "stopping" : run.status} />}
      {run?.status === "running" && <StopButton stopping={stopping} stop={() => feed.stop()} effect={effectOf(run)} />}
    </div>
  );
}

/** How the run ended, once it has. */
export function RunEnd({ run }: { run: Run }): ReactNode {
  if (run.status === "running") return null;
  // What a sweep found stands with its trials.
  const entries = isSweep(run) ? [] : summaryEntries(run);
  return (
    <>
      {run.status === "failed" && (
        <Banner kind="error">
          <strong>The run failed.</strong> {run.error}
        </Banner>
      )}
      {run.status === "interrupted" && (
        <Banner kind="warning">
          <strong>The run was interrupted:</strong> its process ended. What it logged until then is here.
        </Banner>
      )}
      {run.status === "unreachable" && (
        <Banner kind="warning">
          <strong>The run cannot be reached:</strong> nothing is heard of its process. If it lives, it goes on here
          as soon as it is heard of.
        </Banner>
      )}
      {entries.length > 0 && (
        <dl className="mls-summary" aria-label="Summary">
          {entries.map(([name, value]) => (
            <div key={name}>
              <dt>{metricName(name)}</dt>
              <dd>{summaryFigure(name, value)}</dd>
            </div>
          ))}
        </dl>
      )}
    </>
  );
}
