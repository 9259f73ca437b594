import type { LabelingSession, LabError } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { Banner, ProblemBanner } from "../Banner";
import { useStore } from "../useStore";

/** Whatever keeps decisions from being saved, or samples from being shown. */
export function Problems(props: { session: LabelingSession; problem: LabError | null }): ReactNode {
  const { session, problem } = props;
  const { unsaved, durable, refused } = useStore(session.outbox.store);
  return (
    <>
      {problem && <ProblemBanner problem={problem} unsaved={unsaved} retry={() => session.retry()} />}
      {!durable && unsaved > 0 && (
        <Banner kind="warning">
          This browser does not let the labeler store anything: keep the tab open until all is saved.
        </Banner>
      )}
      {refused.length > 0 && (
        <Banner kind="error" action={{ label: "Dismiss", run: () => session.outbox.dismissRefused() }}>
          <strong>
            {refused.length === 1 ? "One decision was" : `${refused.length} decisions were`} refused:
          </strong>{" "}
          {refused.at(-1)!.message}
        </Banner>
      )}
    </>
  );
}
