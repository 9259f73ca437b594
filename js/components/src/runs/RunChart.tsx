import { RunFeed, type Connection, type Run, type RunFeedState } from "@modelship-lab/core";
import { useEffect, useId, useMemo, useState, type ReactNode } from "react";
import { Banner, ProblemBanner } from "../Banner";
import { Plot } from "../chart/Plot";
import { classColor } from "../colors";
import { count, duration, figure } from "../format";
import { useClosable, useNow } from "../useStore";
import { panelsOf, valueAt, type CurveOptions, type Panel } from "./curves";
import { EvaluationView } from "./EvaluationView";
import { metricName, runTitle, StatusBadge, summaryEntries, summaryFigure } from "./status";

/** At most so often the curves are drawn again. */
const REDRAW_MS = 130;

/** Several feeds as one thing that is opened and closed. */
class Feeds {
  readonly feeds: RunFeed[];

  constructor(connection: Connection, runIds: readonly number[]) {
    this.feeds = runIds.map((id) => new RunFeed(connection, id));
  }

  close(): void {
    for (const feed of this.feeds) feed.close();
  }
}

export interface RunChartProps {
  connection: Connection;
  runIds: number[];
}

/** One run live, or several runs overlaid. */
export function RunChart({ connection, runIds }: RunChartProps): ReactNode {
  const ids = runIds.join(",");
  const feeds = useClosable(() => new Feeds(connection, runIds), [connection, ids]);
  if (runIds.length === 0) {
    return (
      <div className="mls mls-run">
        <p className="mls-muted">No run was named.</p>
      </div>
    );
  }
  return feeds ? <RunScreen connection={connection} feeds={feeds.feeds} /> : <div className="mls mls-run" />;
}

/** The present states of all feeds, renewed at most every `REDRAW_MS` however fast metrics arrive. */
function useFeedStates(feeds: RunFeed[]): RunFeedState[] {
  const read = (): RunFeedState[] => feeds.map((feed) => feed.store.get());
  const [states, setStates] = useState(read);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let drawn_at = 0;
    const hear = (): void => {
      timer ??= setTimeout(
        () => {
          timer = undefined;
          drawn_at = Date.now();
          setStates(feeds.map((feed) => feed.store.get()));
        },
        Math.max(0, drawn_at + REDRAW_MS - Date.now()),
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

function RunScreen({ connection, feeds }: { connection: Connection; feeds: RunFeed[] }): ReactNode {
  const states = useFeedStates(feeds);
  const [options, setOptions] = useState<CurveOptions>({ smoothing: 0, x: "step", logY: false });
  const syncKey = useId();
  const sources = states.map((state, index) => ({
    run: state.run,
    runId: feeds[index]!.runId,
    metrics: state.metrics,
  }));
  // eslint-disable-next-line react-hooks/exhaustive-deps -- the metrics change in place; `states` tells when
  const panels = useMemo(() => panelsOf(sources, options), [states, options]);
  const problem = states.find((state) => state.problem)?.problem ?? null;
  const only = states.length === 1 ? states[0]! : null;
  const loaded = states.every((state) => state.run);

  return (
    <div className="mls mls-run">
      <header className="mls-header">
        {only ? (
          <RunHeader state={only} feed={feeds[0]!} />
        ) : (
          <div className="mls-title">
            <h2>{feeds.length} runs</h2>
          </div>
        )}
      </header>
      {problem && <ProblemBanner problem={problem} retry={() => feeds.forEach((feed) => feed.retry())} />}
      {!only && (
        <div className="mls-run-list">
          {states.map((state, index) => (
            <RunLine key={feeds[index]!.runId} state={state} feed={feeds[index]!} color={classColor(index)} />
          ))}
        </div>
      )}
      {only?.run && <RunEnd run={only.run} />}
      <div className="mls-controls">
        <label>
          Smoothing
          <input
            type="range"
            min={0}
            max={0.98}
            step={0.01}
            value={options.smoothing}
            aria-valuetext={options.smoothing === 0 ? "off" : options.smoothing.toFixed(2)}
            onChange={(event) => setOptions({ ...options, smoothing: Number(event.target.value) })}
          />
          <span className="mls-number mls-muted">{options.smoothing === 0 ? "off" : options.smoothing.toFixed(2)}</span>
        </label>
        <label>
          <input
            type="checkbox"
            checked={options.logY}
            onChange={(event) => setOptions({ ...options, logY: event.target.checked })}
          />
          Log scale
        </label>
        <label>
          Over
          <select
            className="mls-input"
            value={options.x}
            onChange={(event) => setOptions({ ...options, x: event.target.value as CurveOptions["x"] })}
          >
            <option value="step">steps</option>
            <option value="time">time</option>
          </select>
        </label>
      </div>
      {panels.length > 0 ? (
        [true, false].map((main) => (
          <div className="mls-panels" key={String(main)}>
            {panels
              .filter((panel) => panel.main === main)
              .map((panel) => (
                <PanelView key={panel.name} panel={panel} options={options} syncKey={syncKey} />
              ))}
          </div>
        ))
      ) : (
        <p className="mls-muted mls-centered mls-empty">
          {!loaded
            ? "Fetching the run…"
            : states.some((state) => state.run?.status === "running")
              ? "The first metrics appear here as soon as they are logged."
              : "Nothing was logged."}
        </p>
      )}
      {only?.evaluation && <EvaluationView connection={connection} evaluation={only.evaluation} />}
    </div>
  );
}

function RunHeader({ state, feed }: { state: RunFeedState; feed: RunFeed }): ReactNode {
  const { run, metrics, stopping } = state;
  if (!run) {
    return (
      <div className="mls-title">
        <h2>Run {feed.runId}</h2>
      </div>
    );
  }
  const epoch = metrics.get("epoch")?.last ?? null;
  let step = 0;
  for (const points of metrics.values()) step = Math.max(step, points.steps.at(-1) ?? 0);
  return (
    <>
      <div className="mls-title">
        <h2 dir="auto">{runTitle(run)}</h2>
        <span className="mls-muted">
          run {run.id}
          {run.project && ` · ${run.project}`}
          {run.recipe && run.recipe !== runTitle(run) && ` · ${run.recipe}`}
        </span>
      </div>
      {epoch !== null && (
        <span className="mls-muted">
          epoch <strong className="mls-number">{figure(epoch)}</strong>
        </span>
      )}
      <span className="mls-muted">
        step <strong className="mls-number">{count(step)}</strong>
      </span>
      <Elapsed run={run} />
      <StatusBadge status={run.status === "running" && stopping ? "stopping" : run.status} />
      {run.status === "running" && <StopButton stopping={stopping} feed={feed} />}
    </>
  );
}

function StopButton({ stopping, feed }: { stopping: boolean; feed: RunFeed }): ReactNode {
  return (
    <button
      type="button"
      className="mls-button mls-button-danger"
      disabled={stopping}
      title="End the training at its next step and keep its checkpoint"
      onClick={() => void feed.stop()}
    >
      {stopping ? "Stopping…" : "Stop"}
    </button>
  );
}

function Elapsed({ run }: { run: Run }): ReactNode {
  const now = useNow(1000, run.status === "running");
  const end = run.ended_at ? Date.parse(run.ended_at) : now;
  return <span className="mls-number mls-muted">{duration((end - Date.parse(run.started_at)) / 1000)}</span>;
}

/** How the run ended, once it has. */
function RunEnd({ run }: { run: Run }): ReactNode {
  if (run.status === "running") return null;
  const entries = summaryEntries(run);
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

function RunLine({ state, feed, color }: { state: RunFeedState; feed: RunFeed; color: string }): ReactNode {
  const { run, stopping } = state;
  const first = run && summaryEntries(run)[0];
  return (
    <div className="mls-run-line">
      <span className="mls-swatch" style={{ background: color }} />
      <strong dir="auto">{run ? runTitle(run) : `run ${feed.runId}`}</strong>
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
      {run?.status === "running" && <StopButton stopping={stopping} feed={feed} />}
    </div>
  );
}

const stepLabel = (value: number): string => (value >= 10_000 ? `${figure(value / 1000)}k` : String(value));

function PanelView(props: { panel: Panel; options: CurveOptions; syncKey: string }): ReactNode {
  const { panel, options } = props;
  const [cursor, setCursor] = useState<number | null>(null);
  return (
    <section className="mls-panel">
      <h4>{metricName(panel.name)}</h4>
      <div className="mls-legend">
        {panel.legend.map((entry) => (
          <span key={entry.label}>
            <span
              className={entry.dash ? "mls-swatch mls-swatch-dashed" : "mls-swatch"}
              style={{ color: entry.color, background: entry.dash ? undefined : entry.color }}
            />
            <span className="mls-muted">{entry.label}</span>
            <strong className="mls-number">
              {figure(cursor === null ? entry.last : valueAt(panel.data, entry.column, cursor))}
            </strong>
          </span>
        ))}
      </div>
      <Plot
        data={panel.data}
        lines={panel.lines}
        height={panel.main ? 190 : 100}
        logY={options.logY}
        seconds={options.x === "time"}
        formatX={options.x === "step" ? stepLabel : duration}
        formatY={figure}
        syncKey={props.syncKey}
        onCursor={setCursor}
        label={`Curves of ${panel.legend.map((entry) => entry.label).join(", ")}`}
      />
    </section>
  );
}

