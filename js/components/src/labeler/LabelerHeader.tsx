import { hasThreshold, type LabelingSession, type QueueOrder, type Task } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { useStore } from "../useStore";
import { Sources } from "./Sources";

/** What is done in a project, in words. */
export const TASKS: Record<Task, string> = {
  text_classification: "Text classification",
  image_classification: "Image classification",
  tabular_classification: "Tabular classification",
  token_classification: "Spans in texts",
  object_detection: "Boxes in images",
  text_regression: "A number for each text",
  image_regression: "A number for each image",
  tabular_regression: "A number for each row",
};

/** Which project it is, what of it is shown in which order, and how much of the work is saved. */
export function LabelerHeader(props: {
  session: LabelingSession;
  focus: () => void;
  help: () => void;
  /** Whether the guidelines are shown; null where there are none. */
  guidelines: boolean | null;
  read: (shown: boolean) => void;
}): ReactNode {
  const { session, focus, guidelines } = props;
  const state = useStore(session.store);
  const outbox = useStore(session.outbox.store);
  const { project } = state;
  return (
    <div className="mls-header">
      <div className="mls-title">
        <h2 dir="auto">{project?.name ?? "…"}</h2>
        {project?.task && (
          <span className="mls-muted">
            {TASKS[project.task]}
            {project.multilabel && ", any number of classes"}
          </span>
        )}
      </div>
      <SaveStatus unsaved={outbox.unsaved} saved={outbox.saved} away={outbox.problem !== null} />
      <Sources
        state={state}
        choose={(source) => {
          session.restart(source);
          focus();
        }}
      />
      <label className="mls-order">
        <span className="mls-muted">Order</span>
        <select
          className="mls-input"
          value={state.order}
          onChange={(event) => {
            session.setOrder(event.target.value as QueueOrder);
            focus();
          }}
        >
          <option value="uncertainty">most uncertain first</option>
          <option value="margin">closest decisions first</option>
          <option value="entropy">most open first</option>
          <option value="diversity">most different first</option>
          <option value="random">random</option>
          <option value="sequential">sequential</option>
          {(state.order === "below_threshold" || (project && hasThreshold(project))) && (
            <option value="below_threshold">only those below the threshold</option>
          )}
        </select>
      </label>
      {guidelines !== null && (
        <button
          type="button"
          className="mls-button"
          aria-expanded={guidelines}
          onClick={() => props.read(!guidelines)}
        >
          Guidelines
        </button>
      )}
      <button
        type="button"
        className="mls-icon-button"
        aria-label="Help with the keys"
        title="Keys (?)"
        onClick={props.help}
      >
        ?
      </button>
    </div>
  );
}

function SaveStatus(props: { unsaved: number; saved: number; away: boolean }): ReactNode {
  const kind = props.away ? "bad" : props.unsaved > 0 ? "busy" : "good";
  return (
    <span className={`mls-save mls-save-${kind}`} title="Decisions of this session that the server has acknowledged">
      <span className="mls-dot" aria-hidden="true" />
      <span className="mls-number">{props.saved}</span> saved
      {props.unsaved > 0 && (
        <>
          , <span className="mls-number">{props.unsaved}</span> unsaved
        </>
      )}
    </span>
  );
}
