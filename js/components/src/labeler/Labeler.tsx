import {
  kindOf,
  LabelingSession,
  mediumOf,
  numberProblem,
  proposalFor,
  type Connection,
  type QueueOrder,
  type Value,
} from "@modelship-lab/core";
import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { PictureCache } from "../Picture";
import { useSaved } from "../saved";
import { useClosable, useStore } from "../useStore";
import { AllDone } from "./AllDone";
import { ClassList } from "./ClassList";
import { isNone, sameValue, useDraft } from "./draft";
import type { EditorHandle } from "./editors/editor";
import { EDITORS } from "./editors/kinds";
import { Guidelines } from "./Guidelines";
import { Help } from "./Help";
import { KeyButton } from "./KeyButton";
import { keysOfClasses, meaningOfKey, type KeyMeaning } from "./keys";
import { LabelerHeader } from "./LabelerHeader";
import { Problems } from "./Problems";
import { ProgressView } from "./ProgressView";
import { inWords, Proposed } from "./Proposed";
import { Remark, type RemarkKind } from "./Remark";
import { Why } from "./Why";

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
  if (!session) return <div className="mls mls-labeler" />;
  return <LabelerScreen session={session} connection={connection} place={`${labId}/${projectId}`} />;
}

function LabelerScreen(props: { session: LabelingSession; connection: Connection; place: string }): ReactNode {
  const { session, connection } = props;
  const state = useStore(session.store);
  const outbox = useStore(session.outbox.store);
  const [prefix, setPrefix] = useState<string | null>(null);
  const [help, setHelp] = useState(false);
  const [remark, setRemark] = useState<RemarkKind | null>(null);
  const [active, setActive] = useState<string | null>(null);
  const [announcement, setAnnouncement] = useState("");
  const [reading, read] = useSaved(`labeler/${props.place}`, { guidelines: true });
  const root = useRef<HTMLDivElement>(null);
  const editor = useRef<EditorHandle>(null);
  /** For which sample the labeler was told that nothing is chosen. */
  const asked = useRef<number | null>(null);
  const pictures = useMemo(() => new PictureCache(connection), [connection]);
  const { project, current, progress, upcoming } = state;
  const classes = useMemo(() => project?.classes ?? [], [project]);
  const keys = useMemo(() => keysOfClasses(classes, project?.settings.keys), [classes, project]);
  const kind = project ? kindOf(project) : "label";
  const { Editor, empty, none, draws } = EDITORS[kind];
  const proposal = useMemo(() => proposalFor(current), [current]);
  const draft = useDraft(current, state.before, proposal?.from === "label" ? proposal.value : null, empty);
  const taken = none !== null && proposal !== null && sameValue(draft.value, proposal.value);

  useEffect(() => {
    for (const sample of upcoming.slice(0, PRELOADED)) {
      // A picture that cannot be loaded is reported when it is its turn to be shown.
      if (sample.image) pictures.load(sample.image).catch(() => undefined);
    }
  }, [pictures, upcoming]);

  const focus = useCallback((): void => root.current?.focus({ preventScroll: true }), []);
  const choose = useCallback((label: string): void => editor.current?.choose(label), []);

  /** Tells why a number cannot be saved. */
  const refused = (value: Value): boolean => {
    const problem = kind === "number" && project ? numberProblem(value.number, project.settings) : "";
    if (problem) session.say(problem);
    return problem !== "";
  };
  const save = (): void => {
    if (!current || none === null) return;
    if (refused(draft.value)) return;
    if (isNone(draft.value) && asked.current !== current.id) {
      asked.current = current.id;
      session.say(`Nothing is chosen. Press Enter again to save ${none}.`);
      return;
    }
    session.label(draft.value);
    setAnnouncement(`Saved ${inWords(draft.value)}.`);
  };
  const accept = (): void => {
    if (none === null || !proposal) {
      session.accept();
      if (proposal) setAnnouncement(`Accepted ${inWords(proposal.value)}.`);
    } else if (taken) {
      if (refused(draft.value)) return;
      session.label(draft.value);
      setAnnouncement(`Saved ${inWords(draft.value)}.`);
    } else {
      draft.change(proposal.value);
      setAnnouncement(`${inWords(proposal.value)} taken over. Press the blank again to save it.`);
    }
  };
  const undo = (): void => {
    if (!draft.undo()) void session.undo();
  };
  const open = (what: RemarkKind): void => {
    if (current) setRemark(what);
  };
  const leave = (): void => {
    setRemark(null);
    focus();
  };
  const put = (what: RemarkKind, text = ""): void => {
    leave();
    if (what === "note") session.note(text);
    else if (what === "skip") session.skip(text);
    else session.flag(text);
    setAnnouncement({ note: "Note saved.", skip: "Skipped.", flag: "Flagged." }[what]);
  };

  /** Returns true when the key was meant for the labeler. */
  const act = (meaning: KeyMeaning): boolean => {
    switch (meaning.kind) {
      case "class":
        choose(classes[meaning.index]!);
        return true;
      case "accept":
        accept();
        return true;
      case "save":
        save();
        return none !== null;
      case "skip":
      case "flag":
        if (current) put(meaning.kind);
        return true;
      case "skip_why":
      case "flag_why":
        open(meaning.kind === "skip_why" ? "skip" : "flag");
        return true;
      case "note":
        open("note");
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

  const press = (event: KeyboardEvent<HTMLDivElement>): boolean => {
    const meaning = meaningOfKey(event, keys, prefix);
    if (help && meaning.kind !== "help" && meaning.kind !== "cancel") return false;
    const begun = prefix !== null;
    setPrefix(meaning.kind === "prefix" ? meaning.prefix : null);
    const free = meaning.kind === "none" || (meaning.kind === "cancel" && !begun && !help);
    if (free && editor.current?.press(event)) return true;
    // A key that is held down must not label one sample after the other.
    if (event.repeat && meaning.kind !== "undo") return meaning.kind !== "none";
    return act(meaning);
  };

  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>): void => {
    const target = event.target as HTMLElement;
    const typing = target.closest("input, textarea, select, form") !== null;
    const elsewhere = target.matches("button, a, summary") && [" ", "Enter", "Tab"].includes(event.key);
    if (event.ctrlKey || event.metaKey || event.altKey) {
      const undoes = meaningOfKey(event, keys, null).kind === "undo";
      const ours = !typing && (undoes || editor.current?.press(event));
      if (!ours) {
        // Saving the notebook and other commands with a modifier stay JupyterLab's.
        const element = event.currentTarget;
        element.removeAttribute("data-lm-suppress-shortcuts");
        setTimeout(() => element.setAttribute("data-lm-suppress-shortcuts", "true"));
        return;
      }
      if (undoes) undo();
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    // Nothing typed here may reach the notebook: there "d d" deletes a cell.
    event.stopPropagation();
    if (typing || elsewhere || event.nativeEvent.isComposing) return;
    if (press(event)) event.preventDefault();
  };

  const problem = outbox.problem ?? state.problem;
  const loading = current === null && !(state.exhausted && project);
  const disabled = current === null;
  const guidelines = project?.settings.guidelines ?? "";

  return (
    <div
      ref={root}
      className="mls mls-labeler"
      data-kind={kind}
      data-pictures={project?.task != null && mediumOf(project.task) === "image"}
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
      <LabelerHeader
        session={session}
        focus={focus}
        help={() => setHelp(true)}
        guidelines={guidelines === "" ? null : reading.guidelines}
        read={(shown) => read({ guidelines: shown })}
      />
      <ProgressView progress={progress} />
      <Problems session={session} problem={problem} />

      <div className="mls-work">
        {guidelines !== "" && reading.guidelines && (
          <Guidelines text={guidelines} hide={() => read({ guidelines: false })} />
        )}
        <div className="mls-stage">
          <Why sample={current} edit={() => open("note")} />
          {current && project ? (
            <Editor
              sample={current}
              classes={classes}
              settings={project.settings}
              value={draft.value}
              change={draft.change}
              save={(value) => session.label(value)}
              submit={save}
              active={active}
              activate={setActive}
              announce={setAnnouncement}
              pictures={pictures}
              handle={editor}
            />
          ) : (
            <div className="mls-card" aria-live="polite">
              <div className="mls-card-body">
                {loading ? (
                  <p className="mls-muted mls-centered">
                    {problem ? "Waiting for the lab server…" : "Fetching samples…"}
                  </p>
                ) : (
                  <AllDone session={session} />
                )}
              </div>
            </div>
          )}
          <Proposed sample={current} proposal={proposal} taken={taken} accept={accept} />
        </div>
        {kind !== "number" && (
          <ClassList
            classes={classes}
            keys={keys}
            byClass={progress?.by_class}
            prefix={prefix}
            suggested={proposal?.value ?? null}
            pressed={draws ? active : (draft.value.labels ?? null)}
            disabled={disabled}
            choose={choose}
            leave={focus}
          />
        )}
      </div>

      {remark && current && (
        <Remark
          key={`${remark} ${current.id}`}
          kind={remark}
          reasons={project?.settings.skip_reasons ?? []}
          start={remark === "note" ? (current.note ?? "") : ""}
          done={(text) => (remark === "note" && text === "" ? leave() : put(remark, text))}
          leave={leave}
        />
      )}
      <div className="mls-footer">
        {none !== null && <KeyButton name="Save" keyName="Enter" disabled={disabled} run={save} primary />}
        <KeyButton name="Skip" keyName="S" disabled={disabled} run={() => put("skip")} why={() => open("skip")} />
        <KeyButton name="Flag" keyName="F" disabled={disabled} run={() => put("flag")} why={() => open("flag")} />
        <KeyButton name="Note" keyName="N" disabled={disabled} run={() => open("note")} />
        <KeyButton name="Undo" keyName="U" disabled={state.undoing} run={undo} />
        <span className="mls-hint" role="status">
          {state.notice || (prefix && `${prefix.toUpperCase()} – now the second key, or Esc`)}
        </span>
        <span className="mls-focus-hint">Click here to use the keys</span>
      </div>
      <div className="mls-screen-reader" aria-live="polite">
        {announcement}
      </div>
      {help && (
        <Help
          classes={classes}
          keys={keys}
          kind={kind}
          close={() => {
            setHelp(false);
            focus();
          }}
        />
      )}
    </div>
  );
}
