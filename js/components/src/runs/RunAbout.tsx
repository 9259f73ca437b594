import { isSweep, type Run } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { said } from "./SourceView";

/** What somebody gave a run: its tags, notes and parameters. */
export function RunAbout({ run }: { run: Run }): ReactNode {
  // Those of a sweep are its plan, which stands with its trials.
  const params = isSweep(run) ? [] : Object.entries(run.params).map(([name, value]) => [name, said(value)] as const);
  return (
    <>
      {run.tags.length > 0 && (
        <p className="mls-run-tags" aria-label="Tags">
          {run.tags.map((tag) => (
            <span key={tag} className="mls-tag" dir="auto">
              {tag}
            </span>
          ))}
        </p>
      )}
      {run.notes && (
        <p className="mls-run-notes" aria-label="Notes" dir="auto">
          {run.notes}
        </p>
      )}
      {params.length > 0 && (
        <details className="mls-run-params">
          <summary>{params.map(([name, value]) => `${name} = ${value}`).join(" · ")}</summary>
          <dl className="mls-run-facts" aria-label="Parameters">
            {params.map(([name, value]) => (
              <div key={name}>
                <dt dir="auto">{name}</dt>
                <dd dir="auto">{value}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </>
  );
}
