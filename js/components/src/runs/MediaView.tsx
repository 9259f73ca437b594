import type { Artifact, ArtifactKind, Connection, Page, Run } from "@modelship-lab/core";
import { useEffect, useMemo, useState, type ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { SMALL } from "../Picture";
import { useAnswer } from "../useAnswer";
import { TableView } from "./TableView";
import { filePath, TextView } from "./TextView";

const KINDS: ArtifactKind[] = ["image", "figure", "table", "text"];

/** Pictures, figures, tables and texts that a run kept, each with its steps. */
export function MediaView({ connection, run }: { connection: Connection; run: Run }): ReactNode {
  // The record is another one whenever the run told of something, a new file among others.
  const { answer, problem, retry } = useAnswer<Page<Artifact>>(connection, `runs/${run.id}/artifacts`, {}, run);
  const groups = useMemo(() => {
    const byName = new Map<string, Artifact[]>();
    for (const artifact of answer?.items ?? []) {
      if (!KINDS.includes(artifact.kind)) continue;
      byName.set(artifact.name, [...(byName.get(artifact.name) ?? []), artifact]);
    }
    for (const steps of byName.values()) steps.sort((a, b) => (a.step ?? 0) - (b.step ?? 0));
    return [...byName].sort(([a], [b]) => a.localeCompare(b));
  }, [answer]);

  if (problem) return <ProblemBanner problem={problem} retry={retry} />;
  if (!answer) return <p className="mls-muted mls-centered mls-empty">Fetching what the run kept…</p>;
  if (groups.length === 0) {
    return (
      <p className="mls-muted mls-centered mls-empty">
        No pictures, tables or texts. Keep one with <code>run.log_image(name, image, step=…)</code>.
      </p>
    );
  }
  return (
    <div className="mls-media">
      {groups.map(([name, steps]) => (
        <MediaCard key={name} connection={connection} runId={run.id} name={name} steps={steps} />
      ))}
    </div>
  );
}

/** One artifact at the step that the reader chose, the newest at first. */
function MediaCard(props: { connection: Connection; runId: number; name: string; steps: Artifact[] }): ReactNode {
  const { connection, runId, name, steps } = props;
  const [chosen, setChosen] = useState<number | null>(null);
  const place = Math.min(chosen ?? steps.length - 1, steps.length - 1);
  const artifact = steps[place]!;
  return (
    <figure className={`mls-panel mls-media-${artifact.kind}`}>
      <figcaption className="mls-panel-head">
        <h4 dir="auto">{name}</h4>
        {artifact.step !== null && <span className="mls-muted mls-number">step {artifact.step}</span>}
      </figcaption>
      {steps.length > 1 && (
        <input
          type="range"
          min={0}
          max={steps.length - 1}
          value={place}
          aria-label={`Step of ${name}`}
          aria-valuetext={`step ${artifact.step}`}
          onChange={(event) => setChosen(Number(event.target.value))}
        />
      )}
      <Media connection={connection} runId={runId} artifact={artifact} />
      {artifact.caption && (
        <p className="mls-muted" dir="auto">
          {artifact.caption}
        </p>
      )}
    </figure>
  );
}

function Media({ connection, runId, artifact }: { connection: Connection; runId: number; artifact: Artifact }): ReactNode {
  if (artifact.kind === "table") return <TableView connection={connection} runId={runId} artifact={artifact} />;
  if (artifact.kind === "text") return <TextView connection={connection} path={filePath(runId, artifact)} version={artifact.digest} />;
  return <Picture connection={connection} path={filePath(runId, artifact)} artifact={artifact} />;
}

/** A picture, or a figure that only another program can draw, to be downloaded. */
function Picture({ connection, path, artifact }: { connection: Connection; path: string; artifact: Artifact }): ReactNode {
  const [found, setFound] = useState<{ path: string; url: string } | null>(null);
  const { digest } = artifact;
  useEffect(() => {
    let gone = false;
    connection.fileUrl(path).then(
      (url) => {
        if (!gone) setFound({ path, url });
      },
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [connection, path, digest]);
  if (found?.path !== path) return <p className="mls-muted">Fetching…</p>;
  if (artifact.content_type.startsWith("image/")) {
    const step = artifact.step === null ? "" : `, step ${artifact.step}`;
    return (
      <img
        src={found.url}
        alt={artifact.caption || `${artifact.name}${step}`}
        loading="lazy"
        onLoad={({ currentTarget: { classList, naturalWidth, naturalHeight } }) =>
          classList.toggle("mls-media-small", Math.max(naturalWidth, naturalHeight) < SMALL)
        }
      />
    );
  }
  return (
    <p>
      <a className="mls-link" href={found.url} download={artifact.name.split("/").at(-1)}>
        Download the figure
      </a>{" "}
      <span className="mls-muted">({artifact.content_type})</span>
    </p>
  );
}
