import type { LabError } from "@modelship-lab/core";
import type { ReactNode } from "react";

/** Says what is wrong and what to do about it. */
export function Banner(props: {
  kind: "error" | "warning" | "info";
  children: ReactNode;
  action?: { label: string; run: () => void };
}): ReactNode {
  return (
    <div className={`mls-banner mls-banner-${props.kind}`} role={props.kind === "info" ? "status" : "alert"}>
      <div className="mls-banner-text">{props.children}</div>
      {props.action && (
        <button type="button" className="mls-button" onClick={props.action.run}>
          {props.action.label}
        </button>
      )}
    </div>
  );
}

/** The banner for a failed request: what happened, and what the reader can do. */
export function ProblemBanner(props: { problem: LabError; retry: () => void; unsaved?: number }): ReactNode {
  const { problem, unsaved = 0 } = props;
  const kept = unsaved > 0 ? ` ${unsaved} unsaved ${unsaved === 1 ? "decision is" : "decisions are"} kept here.` : "";
  const action = { label: "Try again", run: props.retry };
  if (problem.signedOut) {
    return (
      <Banner kind="error" action={action}>
        <strong>Your session has expired.</strong> Sign in to Jupyter again in another tab, then come back.{kept}
      </Banner>
    );
  }
  if (problem.status === 0) {
    return (
      <Banner kind="warning" action={action}>
        <strong>The lab server does not answer.</strong> Check that Jupyter is running. It is asked again by itself.
        {kept}
      </Banner>
    );
  }
  return (
    <Banner kind={problem.temporary ? "warning" : "error"} action={action}>
      {problem.message}
      {kept}
    </Banner>
  );
}
