import { LabelingSession, type Connection, type QueueOrder } from "@modelship-lab/core";
import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { ProblemBanner, Banner } from "../Banner";
import { percent } from "../format";
import { PictureCache } from "../Picture";
import { useClosable, useStore } from "../useStore";
import { ClassList } from "./ClassList";
import { Help } from "./Help";
import { keysOfClasses, meaningOfKey } from "./keys";
import { ProgressView } from "./ProgressView";
import { SampleView } from "./SampleView";

const PRELOADED = 20;

export interface LabelerProps {
  connection: Connection;
  labId: string;
  projectId: number;
  order?: QueueOrder;
}

/** The screen on which a person labels the samples of one project. */
export function Labeler(props: LabelerProps): ReactNode {
  const { connection, labId, projectId, order } = props;
  const session = useClosable(
    () => new LabelingSession(connection, projectId, labId, order),
    [connection, projectId, labId, order],
  );
  return session ? <LabelerScreen session={session} connection={connection} /> : <div className="mls mls-labeler" />;
}

function LabelerScreen({ session, connection }: { session: LabelingSession; connection: Connection }): ReactNode {
  const state = useStore(session.store);
  const outbox = useStore(session.outbox.store);
  const [prefix, setPrefix] = useState<string | null>(null);
  const [help, setHelp] = useState(false);
  const [announcement, setAnnouncement] = useState("");
  const root = useRef<HTMLDivElement>(null);
  const pictures = useMemo(() => new PictureCache(connection), [connection]);
  const { project, current, progress, upcoming } = state;
  const classes = useMemo(() => project?.classes ?? [], [project]);
  const keys = useMemo(() => keysOfClasses(classes), [classes]);
  const suggestion = current?.suggestion ?? null;

  useEffect(() => {
    for (const sample of upcoming.slice(0, PRELOADED)) {
      // A picture that cannot be loaded is reported when it is its turn to be shown.
      if (sample.image) pictures.load(sample.image).catch(() => undefined);
    }
  }, [pictures, upcoming]);

  const focus = (): void => root.current?.focus({ preventScroll: true });

  const choose = (label: string): void => {
    if (!current) return;
    session.decide("label", label);
    setAnnouncement(`Labeled ${label}.`);
  };
  const skip = (): void => {
    session.decide("skip");
    setAnnouncement("Skipped.");
  };
  const flag = (): void => {
    session.decide("flag");
    setAnnouncement("Flagged.");
  };
  const undo = (): void => {
    void session.undo();
    setAnnouncement("Undone.");
  };
  const accept = (): void => {
    session.accept();
    if (suggestion) setAnnouncement(`Accepted ${suggestion.label}.`);
  };

  /** Returns true when the key was meant for the labeler. */
  const press = (event: KeyboardEvent<HTMLDivElement>): boolean => {
    const meaning = meaningOfKey(event, keys, prefix);
    if (help && meaning.kind !== "help" && meaning.kind !== "cancel") return false;
    setPrefix(meaning.kind === "prefix" ? meaning.prefix : null);
    // A key that is held down must not label one sample after the other.
    if (event.repeat && meaning.kind !== "undo") return meaning.kind !== "none";
    switch (meaning.kind) {
      case "class":
        choose(classes[meaning.index]!);
        return true;
      case "accept":
        accept();
        return true;
      case "skip":
        skip();
        return true;
      case "flag":
        flag();
        return true;
      case "undo":
        undo();
        return true;
      case "help":
        setHelp(!help);
        focus();
        return true;
      case "search": {
        const search = root.current?.querySelector<HTMLInputElement>("input[type=search]");
        search?.focus();
        return search !== null;
      }
      case "cancel":
        setHelp(false);
        focus();
        return true;
      case "prefix":
        return true;
      case "none":
        return false;
    }
  };

  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>): void => {
    const target = event.target as HTMLElement;
    const typing = target.matches("input, textarea, select");
    const onButton = target.matches("button") && (event.key === " " || event.key === "Enter");
    if (event.ctrlKey || event.metaKey || event.altKey) {
      const undoes = !typing && meaningOfKey(event, keys, null).kind === "undo";
      if (!undoes) {
        // Saving the notebook and other commands with a modifier stay JupyterLab's.
        const element = event.currentTarget;
        element.removeAttribute("data-lm-suppress-shortcuts");
        setTimeout(() => element.setAttribute("data-lm-suppress-shortcuts", "true"));
        return;
      }
    }
    // Nothing typed here may reach the notebook: there "d d" deletes a cell.
    event.stopPropagation();
    if (typing || onButton || event.nativeEvent.isComposing) return;
    if (press(event)) event.preventDefault();
  };

  const problem = outbox.problem ?? state.problem;
  const loading = current === null && !(state.exhausted && project);
  const disabled = current === null;

  return (
    <div
      ref={root}
      className="mls mls-labeler"
      tabIndex={0}
      role="application"
      aria-label={`Labeler${project ? ` of project ${project.name}` : ""}. Press question mark for help.`}
      data-lm-suppress-shortcuts="true"
      onKeyDown={onKeyDown}
      onPointerDown={(event) => {
        const target = event.target as HTMLElement;
        if (target.closest("input, textarea, select, a, [role=dialog]")) return;
        // Text can still be selected: only the focus is taken.
        setTimeout(focus);
      }}
    >
      <header className="mls-header">
        <div className="mls-title">
          <h2 dir="auto">{project?.name ?? "…"}</h2>
          {project?.task && <span className="mls-muted">{TASKS[project.task]}</span>}
        </div>
        <SaveStatus unsaved={outbox.unsaved} saved={outbox.saved} away={outbox.problem !== null} />
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
            <option value="random">random</option>
            <option value="sequential">sequential</option>
          </select>
        </label>
        <button
          type="button"
          className="mls-icon-button"
          aria-label="Help with the keys"
          title="Keys (?)"
          onClick={() => setHelp(true)}
        >
          ?
        </button>
      </header>

      <ProgressView progress={progress} />

      {problem && <ProblemBanner problem={problem} unsaved={outbox.unsaved} retry={() => session.retry()} />}
      {!outbox.durable && outbox.unsaved > 0 && (
        <Banner kind="warning">
          This browser does not let the labeler store anything: keep the tab open until all is saved.
        </Banner>
      )}
      {outbox.refused.length > 0 && (
        <Banner kind="error" action={{ label: "Dismiss", run: () => session.outbox.dismissRefused() }}>
          <strong>
            {outbox.refused.length === 1 ? "One decision was" : `${outbox.refused.length} decisions were`} refused:
          </strong>{" "}
          {outbox.refused.at(-1)!.message}
        </Banner>
      )}
      {state.source !== "queue" && (
        <Banner kind="info" action={{ label: "Back to the queue", run: () => session.restart("queue") }}>
          A second look at the {state.source} samples.
        </Banner>
      )}

      <div className="mls-work">
        <div className="mls-stage">
          <div className="mls-card" aria-live="polite">
            {/* The key makes a long text begin at its top again. */}
            <div className="mls-card-body" key={current?.id ?? "none"}>
              {current ? (
                <SampleView sample={current} pictures={pictures} />
              ) : loading ? (
                <p className="mls-muted mls-centered">
                  {problem ? "Waiting for the lab server…" : "Fetching samples…"}
                </p>
              ) : (
                <AllDone session={session} />
              )}
            </div>
          </div>
          <div className={suggestion ? "mls-suggestion" : "mls-suggestion mls-suggestion-none"}>
            {suggestion ? (
              <button type="button" className="mls-suggestion-button" onClick={accept}>
                <span className="mls-muted">Suggestion</span>
                <strong dir="auto">{suggestion.label}</strong>
                <span className="mls-meter" aria-hidden="true">
                  <span style={{ width: `${suggestion.confidence * 100}%` }} />
                </span>
                <span className="mls-number">{percent(suggestion.confidence)}</span>
                <span className="mls-muted mls-source" title={`Suggested by ${suggestion.source}`}>
                  {suggestion.source}
                </span>
                <kbd className="mls-key">Space</kbd>
              </button>
            ) : (
              <span className="mls-muted">{current ? "No suggestion for this sample" : ""}</span>
            )}
          </div>
        </div>
        <ClassList
          classes={classes}
          keys={keys}
          byClass={progress?.by_class ?? {}}
          prefix={prefix}
          suggested={suggestion?.label ?? null}
          disabled={disabled}
          choose={choose}
          leave={focus}
        />
      </div>

      <footer className="mls-footer">
        <KeyButton name="Skip" keyName="S" disabled={disabled} run={skip} />
        <KeyButton name="Flag" keyName="F" disabled={disabled} run={flag} />
        <KeyButton name="Undo" keyName="U" disabled={state.undoing} run={undo} />
        <span className="mls-hint" role="status">
          {state.notice || (prefix && `${prefix.toUpperCase()} – now a digit, or Esc`) || (
            <>
              {current && (
                <>
                  Sample {current.id}
                  {current.status !== "unlabeled" && `, ${current.status}`}
                </>
              )}
            </>
          )}
        </span>
        <span className="mls-focus-hint">Click here to use the keys</span>
      </footer>
      <div className="mls-screen-reader" aria-live="polite">
        {announcement}
      </div>
      {help && (
        <Help
          classes={classes}
          keys={keys}
          close={() => {
            setHelp(false);
            focus();
          }}
        />
      )}
    </div>
  );
}

const TASKS = {
  text_classification: "Text classification",
  image_classification: "Image classification",
  tabular_classification: "Tabular classification",
  token_classification: "Spans in texts",
  object_detection: "Boxes in images",
} as const;

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

function KeyButton(props: { name: string; keyName: string; disabled: boolean; run: () => void }): ReactNode {
  return (
    <button
      type="button"
      className="mls-button"
      disabled={props.disabled}
      aria-keyshortcuts={props.keyName}
      onClick={props.run}
    >
      {props.name} <kbd className="mls-key">{props.keyName}</kbd>
    </button>
  );
}

function AllDone({ session }: { session: LabelingSession }): ReactNode {
  const { progress, source, project } = useStore(session.store);
  if (progress && progress.total === 0) {
    return (
      <div className="mls-done">
        <h3>This project has no samples yet</h3>
        <p className="mls-muted">
          Import some with <code>%mlship import {project?.name} FILE</code>; they appear here by themselves.
        </p>
      </div>
    );
  }
  const aside = source === "queue" ? progress : null;
  return (
    <div className="mls-done">
      <div className="mls-done-mark" aria-hidden="true">
        ✓
      </div>
      <h3>{source === "queue" ? "Everything is labeled" : `No ${source} samples are left`}</h3>
      <p className="mls-muted">New samples appear here by themselves.</p>
      <div className="mls-done-actions">
        {aside && aside.skipped > 0 && (
          <button type="button" className="mls-button" onClick={() => session.restart("skipped")}>
            Look at the {aside.skipped} skipped
          </button>
        )}
        {aside && aside.flagged > 0 && (
          <button type="button" className="mls-button" onClick={() => session.restart("flagged")}>
            Look at the {aside.flagged} flagged
          </button>
        )}
      </div>
    </div>
  );
}
