import { summarizeSweep, SweepFeed, type Connection, type SweepSummary, type Trial } from "@modelship-lab/core";
import { useMemo, useState, type ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { ParallelCoordinates } from "../comparison/ParallelCoordinates";
import { count, duration, textOf } from "../format";
import { Elapsed } from "../runs/Elapsed";
import { metricName, StatusBadge, summaryFigure } from "../runs/status";
import { useClosable, useStore } from "../useStore";
import { BestCurve } from "./BestCurve";
import { trialColumns, trialRows } from "./trial_rows";

/** So many trials are listed until more are asked for. */
const SHOWN = 20;

export interface SweepViewProps {
  connection: Connection;
  runId: number;
  open: (runIds: number[]) => void;
}

/** A sweep as it goes: how far it is, the best trial so far, and all trials. */
export function SweepView({ connection, runId, open }: SweepViewProps): ReactNode {
  const feed = useClosable(() => new SweepFeed(connection, runId), [connection, runId]);
  return feed && <SweepScreen feed={feed} open={open} />;
}

function SweepScreen({ feed, open }: { feed: SweepFeed; open: (runIds: number[]) => void }): ReactNode {
  const { run, trials, problem } = useStore(feed.store);
  const sweep = useMemo(() => (run ? summarizeSweep(run, trials) : null), [run, trials]);
  return (
    <div className="mls-sweep">
      {problem && <ProblemBanner problem={problem} retry={() => feed.retry()} />}
      {sweep && (
        <>
          <Progress sweep={sweep} />
          <div className="mls-sweep-parts">
            {sweep.best && <Best sweep={sweep} best={sweep.best} open={open} />}
            {sweep.course.length > 1 && <BestCurve course={sweep.course} metric={metricName(sweep.metric)} />}
          </div>
          {sweep.course.length > 1 && <TrialLines sweep={sweep} open={open} />}
          <Trials sweep={sweep} open={open} />
        </>
      )}
    </div>
  );
}

/** The trials as lines from their parameters to what came of them. */
function TrialLines({ sweep, open }: { sweep: SweepSummary; open: (runIds: number[]) => void }): ReactNode {
  const rows = useMemo(() => trialRows(sweep), [sweep]);
  const columns = useMemo(() => trialColumns(sweep, rows), [sweep, rows]);
  return <ParallelCoordinates rows={rows} columns={columns} height={300} onColumns={noColumns} onOpen={open} />;
}

/** All that there is to know of the trials is there. */
function noColumns(): void {}

function Progress({ sweep }: { sweep: SweepSummary }): ReactNode {
  const { planned, ended, remaining_s, trials } = sweep;
  const counts = new Map<string, number>();
  for (const { status } of trials) if (status !== "finished") counts.set(status, (counts.get(status) ?? 0) + 1);
  return (
    <div className="mls-progress">
      {planned !== null && (
        <div className="mls-bar" role="progressbar" aria-label="Trials done" aria-valuemin={0} aria-valuemax={planned} aria-valuenow={ended}>
          <span className="mls-bar-labeled" style={{ width: `${(ended / Math.max(1, planned)) * 100}%` }} />
        </div>
      )}
      <div className="mls-facts">
        <span>
          <strong className="mls-number">{count(ended)}</strong> {planned !== null && `of ${count(planned)} `}trials done
        </span>
        {[...counts].map(([status, amount]) => (
          <span key={status}>
            <strong className="mls-number">{count(amount)}</strong> {status}
          </span>
        ))}
        <span className="mls-spring" />
        {remaining_s !== null && remaining_s > 0 && (
          <span>
            about <strong>{duration(remaining_s)}</strong> left
          </span>
        )}
      </div>
    </div>
  );
}

function Best({ sweep, best, open }: { sweep: SweepSummary; best: Trial; open: (runIds: number[]) => void }): ReactNode {
  return (
    <section className="mls-sweep-best">
      <h4>
        {sweep.isMax ? "Greatest" : "Least"} {metricName(sweep.metric)}
      </h4>
      <strong className="mls-sweep-value mls-number">{summaryFigure(sweep.metric, best.value!)}</strong>
      <span className="mls-muted">
        trial {best.number},{" "}
        <button type="button" className="mls-link" onClick={() => open([best.run.id])}>
          run {best.run.id}
        </button>
      </span>
      <dl>
        {sweep.names.map((name) => (
          <div key={name}>
            <dt className="mls-muted">{name}</dt>
            <dd className="mls-number">{textOf(best.run.params[name]) ?? "–"}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Trials({ sweep, open }: { sweep: SweepSummary; open: (runIds: number[]) => void }): ReactNode {
  const [all, setAll] = useState(false);
  const { trials, names, metric, best } = sweep;
  if (trials.length === 0) return <p className="mls-muted mls-empty">The first trial appears here as soon as it begins.</p>;
  const shown = all ? trials : trials.slice(0, SHOWN);
  return (
    <div className="mls-sweep-trials">
      <table className="mls-table">
        <thead>
          <tr>
            <th scope="col">Trial</th>
            <th scope="col">Run</th>
            <th scope="col">Status</th>
            <th scope="col">{metricName(metric)}</th>
            {names.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
            <th scope="col">Took</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ number, run, status, value }) => (
            <tr key={run.id} className={run.id === best?.run.id ? "mls-sweep-first" : undefined} onClick={() => open([run.id])}>
              <td className="mls-number mls-muted">{number}</td>
              <td className="mls-number">
                <button type="button" className="mls-link" aria-label={`Open run ${run.id}`}>
                  {run.id}
                </button>
              </td>
              <td title={run.error || undefined}>
                <StatusBadge status={status} />
              </td>
              <td className="mls-number">{value === null ? "–" : summaryFigure(metric, value)}</td>
              {names.map((name) => (
                <td key={name} className="mls-number">
                  {textOf(run.params[name]) ?? "–"}
                </td>
              ))}
              <td>
                <Elapsed run={run} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length < trials.length && (
        <button type="button" className="mls-link" onClick={() => setAll(true)}>
          Show all {count(trials.length)} trials
        </button>
      )}
    </div>
  );
}
