import { asLabError, type Connection, type Job, type JobKind, type LogLine, type Page } from "@modelship-lab/core";
import { useLayoutEffect, useRef, useState, type ReactNode } from "react";
import { Banner } from "../Banner";
import { ago, count, duration, percent } from "../format";
import { StatusBadge } from "../runs/status";
import { useAnswer } from "../useAnswer";

const KINDS: Record<JobKind, string> = {
  light_model: "Light model",
  embeddings: "Embeddings",
  label_errors: "Label errors",
  training: "Training",
  export: "Export",
};
/** So much of the end of a log is shown. */
const LOG_LINES = 500;

/** Whether a job waits or runs. */
export function isUnderWay(job: Job): boolean {
  return job.status === "waiting" || job.status === "running";
}

export interface JobListProps {
  connection: Connection;
  /** The newest first. */
  jobs: readonly Job[];
  /** Shows a run. */
  open: (runId: number) => void;
  /** Asks for the jobs anew. */
  renew: () => void;
}

/** What is done in the background: what runs and waits first, then what has ended; with logs, and to be cancelled. */
export function JobList({ connection, jobs, open, renew }: JobListProps): ReactNode {
  const [failed, setFailed] = useState<string | null>(null);
  const cancel = async (job: Job): Promise<void> => {
    try {
      await connection.request("DELETE", `jobs/${job.id}`);
      setFailed(null);
    } catch (error) {
      setFailed(asLabError(error).message);
    }
    renew();
  };
  if (jobs.length === 0) {
    return (
      <div className="mls-empty mls-centered">
        <p>No jobs yet</p>
        <p className="mls-muted">
          In a notebook: <code>%mlship train spam --background</code>
        </p>
      </div>
    );
  }
  const sections: [string, Job[]][] = [
    ["Under way", jobs.filter(isUnderWay).sort((a, b) => a.id - b.id)],
    ["Ended", jobs.filter((job) => !isUnderWay(job))],
  ];
  return (
    <>
      {failed && (
        <Banner kind="error" action={{ label: "OK", run: () => setFailed(null) }}>
          {failed}
        </Banner>
      )}
      {sections.map(
        ([title, some]) =>
          some.length > 0 && (
            <section key={title} className="mls-items" aria-label={title}>
              <h3>
                {title} <span className="mls-muted mls-number">{count(some.length)}</span>
              </h3>
              {some.map((job) => (
                <JobItem key={job.id} connection={connection} job={job} open={open} cancel={cancel} />
              ))}
            </section>
          ),
      )}
    </>
  );
}

function JobItem(props: {
  connection: Connection;
  job: Job;
  open: (runId: number) => void;
  cancel: (job: Job) => Promise<void>;
}): ReactNode {
  const { connection, job, open, cancel } = props;
  const [reading, setReading] = useState(false);
  const [asked, setAsked] = useState(false);
  const title = `${KINDS[job.kind]} ${job.id}`;
  const stopping = asked || job.cancel_requested;
  return (
    <article className="mls-item mls-job" aria-label={title}>
      <span className="mls-item-head">
        <strong dir="auto">{KINDS[job.kind]}</strong>
        <span className="mls-muted" dir="auto">
          {job.project}
        </span>
        <span className="mls-spring" />
        <StatusBadge status={stopping && isUnderWay(job) ? "stopping" : job.status} />
      </span>
      {job.status === "running" && (
        <span
          className="mls-bar"
          role="progressbar"
          aria-label={`Progress of ${title}`}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(job.progress * 100)}
        >
          <span className="mls-bar-labeled" style={{ width: `${job.progress * 100}%` }} />
        </span>
      )}
      <span className={job.error ? "mls-job-error" : "mls-muted"} dir="auto">
        {[job.error || job.message, whenOf(job)].filter(Boolean).join(" · ")}
      </span>
      <span className="mls-job-actions">
        <button type="button" className="mls-link" aria-expanded={reading} aria-label={`Log of ${title}`} onClick={() => setReading(!reading)}>
          Log
        </button>
        {job.run_id !== null && (
          <button type="button" className="mls-link" onClick={() => open(job.run_id!)}>
            Run {job.run_id}
          </button>
        )}
        <span className="mls-spring" />
        {isUnderWay(job) && (
          <button
            type="button"
            className="mls-link"
            disabled={stopping}
            aria-label={`${stopping ? "Cancelling…" : "Cancel"} ${title}`}
            title={job.kind === "training" ? "It ends with a checkpoint" : "What it has stored until then stays"}
            onClick={() => {
              setAsked(true);
              void cancel(job).finally(() => setAsked(false));
            }}
          >
            {stopping ? "Cancelling…" : "Cancel"}
          </button>
        )}
      </span>
      {reading && <JobLog connection={connection} job={job} />}
    </article>
  );
}

/** How long it takes yet, has waited, or took. */
function whenOf(job: Job): string {
  const now = Date.now();
  if (job.status === "waiting") return job.position ? `${count(job.position)} before it` : "waits for its turn";
  if (job.status === "running") {
    const left = job.estimated_end_at ? (Date.parse(job.estimated_end_at) - now) / 1000 : 0;
    return left > 0 ? `${percent(job.progress)}, about ${duration(left)} left` : percent(job.progress);
  }
  const took = job.started_at && job.ended_at ? ` in ${duration((Date.parse(job.ended_at) - Date.parse(job.started_at)) / 1000)}` : "";
  return `${ago(job.ended_at ?? job.created_at, now)}${took}`;
}

/** The end of what a job has logged; asked for again whenever the job is. */
function JobLog({ connection, job }: { connection: Connection; job: Job }): ReactNode {
  const path = `jobs/${job.id}/logs`;
  const { answer: size } = useAnswer<Page<LogLine>>(connection, path, { limit: 1 }, job);
  const offset = Math.max(0, (size?.total ?? 0) - LOG_LINES);
  const { answer, problem } = useAnswer<Page<LogLine>>(connection, path, { limit: LOG_LINES, offset }, size);
  const place = useRef<HTMLPreElement>(null);
  useLayoutEffect(() => {
    if (place.current) place.current.scrollTop = place.current.scrollHeight;
  }, [answer]);
  if (problem) return <Banner kind="error">{problem.message}</Banner>;
  if (!answer) return <p className="mls-muted">Fetching…</p>;
  if (answer.items.length === 0) return <p className="mls-muted">Nothing has been logged.</p>;
  return (
    <pre ref={place} className="mls-job-log" tabIndex={0} aria-label={`Log of job ${job.id}`}>
      {answer.offset > 0 && `… ${count(answer.offset)} lines before\n`}
      {answer.items.map((line) => `${line.time.slice(11, 19)} ${line.level === "INFO" ? "" : `${line.level} `}${line.message}\n`).join("")}
    </pre>
  );
}
