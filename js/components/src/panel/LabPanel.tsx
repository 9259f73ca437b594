import { OverviewFeed, type Connection, type OverviewState } from "@modelship-lab/core";
import { useEffect, useState, type ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { count, milliseconds, percent } from "../format";
import { TASKS } from "../labeler/LabelerHeader";
import { RunList } from "../runs/RunList";
import type { RunOpener } from "../runs/opener";
import { StatusBadge } from "../runs/status";
import { useClosable, useStore } from "../useStore";
import { isUnderWay, JobList } from "./JobList";

/** What the reader wants to see in the main area. */
export interface Opener extends RunOpener {
  labeler(projectId: number, name: string): void;
  /** The grid of a project's samples. */
  samples(projectId: number, name: string): void;
  /** All runs of a project, or of the lab. */
  runTable(project: string | null): void;
  deployment(deploymentId: number, name: string): void;
}

export interface LabPanelProps {
  connection: Connection;
  opener: Opener;
}

type Section = "projects" | "runs" | "jobs" | "deployments";

/** The lab at a glance: projects, runs, jobs, deployments. */
export function LabPanel({ connection, opener }: LabPanelProps): ReactNode {
  const feed = useClosable(() => new OverviewFeed(connection), [connection]);
  return feed ? <Overview feed={feed} connection={connection} opener={opener} /> : <div className="mls mls-lab" />;
}

function Overview({ feed, connection, opener }: LabPanelProps & { feed: OverviewFeed }): ReactNode {
  const state = useStore(feed.store);
  const [section, setSection] = useState<Section>("projects");
  const [place, setPlace] = useState<HTMLElement | null>(null);

  useEffect(() => {
    if (!place) return;
    // A side panel that is folded away has no size.
    const observer = new IntersectionObserver((entries) => feed.setActive(entries.at(-1)?.isIntersecting ?? true));
    observer.observe(place);
    return () => observer.disconnect();
  }, [feed, place]);

  const sections: [Section, number][] = [
    ["projects", state.projects.length],
    ["runs", state.runs.length],
    ["jobs", state.jobs.filter(isUnderWay).length],
    ["deployments", state.deployments.length],
  ];
  return (
    <div className="mls mls-lab" ref={setPlace}>
      <div className="mls-tabs" role="tablist" aria-label="ModelShip Lab">
        {sections.map(([name, amount]) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={section === name}
            onClick={() => setSection(name)}
          >
            {name} <span className="mls-muted mls-number">{state.loaded ? count(amount) : ""}</span>
          </button>
        ))}
      </div>
      {state.problem && <ProblemBanner problem={state.problem} retry={() => feed.retry()} />}
      {!state.loaded ? (
        !state.problem && <p className="mls-muted mls-centered mls-empty">Fetching…</p>
      ) : section === "projects" ? (
        <Projects state={state} opener={opener} />
      ) : section === "runs" ? (
        <>
          <button type="button" className="mls-button" onClick={() => opener.runTable(null)}>
            Open the table of all runs
          </button>
          <RunList runs={state.runs} open={(ids) => (ids.length > 1 ? opener.comparison(ids) : opener.runs(ids))} />
        </>
      ) : section === "jobs" ? (
        <JobList connection={connection} jobs={state.jobs} open={(runId) => opener.runs([runId])} renew={() => feed.retry()} />
      ) : (
        <Deployments state={state} opener={opener} />
      )}
    </div>
  );
}

function Empty({ title, command }: { title: string; command: string }): ReactNode {
  return (
    <div className="mls-empty mls-centered">
      <p>{title}</p>
      <p className="mls-muted">
        In a notebook: <code>{command}</code>
      </p>
    </div>
  );
}

function Projects({ state, opener }: { state: OverviewState; opener: Opener }): ReactNode {
  if (state.projects.length === 0) {
    return <Empty title="No projects yet" command="%mlship new spam --type text_classification --classes ham,spam" />;
  }
  return (
    <div className="mls-items">
      {state.projects.map((project) => {
        const progress = state.progress[project.id];
        const share = progress && progress.total > 0 ? progress.labeled / progress.total : 0;
        return (
          <div key={project.id} className="mls-item-with-more">
          <button
            type="button"
            className="mls-item"
            title={project.task ? `Label ${project.name}` : `${project.name} has no task: there is nothing to label`}
            disabled={project.task === null}
            onClick={() => opener.labeler(project.id, project.name)}
          >
            <span className="mls-item-head">
              <strong dir="auto">{project.name}</strong>
              <span className="mls-muted">{project.task ? TASKS[project.task].toLowerCase() : "runs only"}</span>
              <span className="mls-spring" />
              <span className="mls-number">{progress ? percent(share) : ""}</span>
            </span>
            <span className="mls-bar">
              <span className="mls-bar-labeled" style={{ width: `${share * 100}%` }} />
            </span>
            <span className="mls-muted">
              {progress
                ? `${count(progress.labeled)} of ${count(progress.total)} labeled · ${project.classes.length} classes`
                : "…"}
            </span>
          </button>
            {project.task !== null && (
              <button type="button" className="mls-link" aria-label={`Samples of ${project.name}`} onClick={() => opener.samples(project.id, project.name)}>
                All samples
              </button>
            )}
          </div>
        );
      })}
    </div>
  );
}

function Deployments({ state, opener }: { state: OverviewState; opener: Opener }): ReactNode {
  if (state.deployments.length === 0) {
    return <Empty title="No deployments yet" command="%mlship deploy spam-filter/1 --name spam-api" />;
  }
  return (
    <div className="mls-items">
      {state.deployments.map((deployment) => {
        const traffic = state.traffic[deployment.id];
        return (
          <button
            key={deployment.id}
            type="button"
            className="mls-item"
            onClick={() => opener.deployment(deployment.id, deployment.name)}
          >
            <span className="mls-item-head">
              <strong dir="auto">{deployment.name}</strong>
              <span className="mls-spring" />
              <StatusBadge status={deployment.status} />
            </span>
            <span className="mls-muted">
              {deployment.model} ·{" "}
              {traffic && traffic.requests > 0
                ? `${count(traffic.requests)} requests/min · p95 ${milliseconds(traffic.p95_ms)}`
                : "no requests in the last minute"}
              {deployment.restarts > 0 && ` · ${deployment.restarts} restarts`}
            </span>
          </button>
        );
      })}
    </div>
  );
}
