import { DeploymentFeed, WINDOW_S, type Connection, type Deployment, type WindowMetrics } from "@modelship-lab/core";
import { useId, useMemo, useState, type ReactNode } from "react";
import type uPlot from "uplot";
import { Banner, ProblemBanner } from "../Banner";
import { Plot, type Line } from "../chart/Plot";
import { ago, count, duration, figure, milliseconds, percent } from "../format";
import { StatusBadge } from "../runs/status";
import { useClosable, useNow, useStore } from "../useStore";
import { TryIt } from "./TryIt";

export interface DeploymentViewProps {
  connection: Connection;
  deploymentId: number;
}

/** One deployed model: what it does second by second, and a place to ask it something. */
export function DeploymentView({ connection, deploymentId }: DeploymentViewProps): ReactNode {
  const feed = useClosable(() => new DeploymentFeed(connection, deploymentId), [connection, deploymentId]);
  return feed ? <DeploymentScreen feed={feed} /> : <div className="mls mls-deployment" />;
}

function DeploymentScreen({ feed }: { feed: DeploymentFeed }): ReactNode {
  const { deployment, version, windows, problem } = useStore(feed.store);
  if (!deployment) {
    return (
      <div className="mls mls-deployment">
        {problem ? (
          <ProblemBanner problem={problem} retry={() => feed.retry()} />
        ) : (
          <p className="mls-muted mls-centered mls-empty">Fetching the deployment…</p>
        )}
      </div>
    );
  }
  return (
    <div
      className="mls mls-deployment"
      // What is typed here is not meant for the notebook.
      data-lm-suppress-shortcuts="true"
      onKeyDown={(event) => event.stopPropagation()}
    >
      <div className="mls-header">
        <div className="mls-title">
          <h2 dir="auto">{deployment.name}</h2>
          <span className="mls-muted">
            serves {deployment.model} · v{deployment.version}
          </span>
        </div>
        {deployment.restarts > 0 && (
          <span className="mls-badge mls-badge-warn">
            {deployment.restarts} {deployment.restarts === 1 ? "restart" : "restarts"}
          </span>
        )}
        <StatusBadge status={deployment.status} />
      </div>
      {problem && <ProblemBanner problem={problem} retry={() => feed.retry()} />}
      {deployment.status === "failed" && (
        <Banner kind="error">
          <strong>The deployment failed.</strong> {deployment.error}
        </Banner>
      )}
      <Facts deployment={deployment} />
      <Traffic windows={windows} />
      {deployment.status === "ready" && <TryIt feed={feed} deployment={deployment} version={version} />}
    </div>
  );
}

function Facts({ deployment }: { deployment: Deployment }): ReactNode {
  const [copied, setCopied] = useState(false);
  const start = deployment.cold_start_ms.total;
  const parts = Object.entries(deployment.cold_start_ms)
    .filter(([name]) => name !== "total")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${milliseconds(value)}`)
    .join(", ");
  return (
    <div className="mls-facts mls-deployment-facts">
      {deployment.address && (
        <span>
          direct address <code>{deployment.address}</code>{" "}
          <button
            type="button"
            className="mls-link"
            onClick={() => {
              void navigator.clipboard.writeText(deployment.address!).then(() => setCopied(true));
            }}
          >
            {copied ? "copied" : "copy"}
          </button>
        </span>
      )}
      {start !== undefined && (
        <span title={parts}>
          started in <strong>{milliseconds(start)}</strong>
        </span>
      )}
      <span>deployed {ago(deployment.updated_at)}</span>
    </div>
  );
}

const RATE: Line[] = [
  { label: "requests/s", color: "var(--mls-brand)", fill: true },
  { label: "errors/s", color: "var(--mls-bad)", fill: true },
];
const LATENCY: Line[] = [
  { label: "p50", color: "#10b981" },
  { label: "p95", color: "#f59e0b" },
  { label: "p99", color: "#ef5a6f" },
];

/** Every second of the window as a column, also those in which nothing was said. */
function columns(windows: WindowMetrics[], now_s: number): { rate: uPlot.AlignedData; latency: uPlot.AlignedData } {
  const newest = windows.length ? Math.round(Date.parse(windows.at(-1)!.time) / 1000) : now_s;
  // The server's clock counts; ours only tells how long ago its newest word was, if it is close to it.
  const end = Math.abs(now_s - newest) < WINDOW_S ? Math.max(newest, now_s - 2) : newest;
  const x = Array.from({ length: WINDOW_S }, (_, index) => index - WINDOW_S + 1);
  const bySecond = new Map(windows.map((window) => [Math.round(Date.parse(window.time) / 1000) - end, window]));
  const pick = (value: (window: WindowMetrics) => number | null, empty: number | null): (number | null)[] =>
    x.map((second) => {
      const window = bySecond.get(second);
      return window ? value(window) : empty;
    });
  return {
    rate: [x, pick((window) => window.requests, 0), pick((window) => window.errors, 0)],
    latency: [
      x,
      pick((window) => window.p50_ms, null),
      pick((window) => window.p95_ms, null),
      pick((window) => window.p99_ms, null),
    ],
  };
}

function Traffic({ windows }: { windows: WindowMetrics[] }): ReactNode {
  const now_s = Math.floor(useNow(1000) / 1000);
  const syncKey = useId();
  const { rate, latency } = useMemo(() => columns(windows, now_s), [windows, now_s]);
  const total = windows.reduce((sum, window) => sum + window.requests, 0);
  const errors = windows.reduce((sum, window) => sum + window.errors, 0);
  const active = windows.findLast((window) => window.requests > 0) ?? null;
  const seconds = (value: number): string => (value === 0 ? "now" : `−${duration(-value)}`);
  return (
    <>
      <dl className="mls-summary">
        <Figure name="last 5 minutes" value={count(total)} unit={total === 1 ? "request" : "requests"} />
        <Figure
          name="errors"
          value={count(errors)}
          unit={total > 0 && errors > 0 ? percent(errors / total) : ""}
          bad={errors > 0}
        />
        <Figure name="latest p50" value={milliseconds(active?.p50_ms)} />
        <Figure name="latest p95" value={milliseconds(active?.p95_ms)} />
        <Figure name="latest p99" value={milliseconds(active?.p99_ms)} />
      </dl>
      <div className="mls-panels">
        <section className="mls-panel">
          <h4>requests and errors a second</h4>
          <Plot
            data={rate}
            lines={RATE}
            height={140}
            fromZero
            seconds
            formatX={seconds}
            formatY={figure}
            syncKey={syncKey}
            label="Requests and errors a second over the last five minutes"
          />
        </section>
        <section className="mls-panel">
          <h4>
            latency in ms{" "}
            {LATENCY.map((line) => (
              <span key={line.label} className="mls-legend-inline">
                <span className="mls-swatch" style={{ background: line.color }} />
                <span className="mls-muted">{line.label}</span>
              </span>
            ))}
          </h4>
          <Plot
            data={latency}
            lines={LATENCY}
            height={140}
            fromZero
            seconds
            formatX={seconds}
            formatY={figure}
            syncKey={syncKey}
            label="Latency over the last five minutes: p50, p95 and p99"
          />
        </section>
      </div>
    </>
  );
}

function Figure(props: { name: string; value: string; unit?: string; bad?: boolean }): ReactNode {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd className={props.bad ? "mls-bad-figure" : undefined}>
        {props.value} {props.unit && <small className="mls-muted">{props.unit}</small>}
      </dd>
    </div>
  );
}
