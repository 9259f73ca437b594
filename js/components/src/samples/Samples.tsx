import {
  asLabError,
  kindOf,
  mediumOf,
  newKey,
  SampleFeed,
  type Connection,
  type LabelAction,
  type NewBulk,
  type Page,
  type Project,
  type SampleCount,
  type SampleFilter,
  type SampleSelection,
  type SavedBulk,
  type SavedRequests,
  type Undone,
  type Value,
} from "@modelship-lab/core";
import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { counted } from "../format";
import { keysOfClasses, meaningOfKey } from "../labeler/keys";
import { PictureCache } from "../Picture";
import { sortKeys } from "../runs/columns";
import { useSaved } from "../saved";
import { useAnswer } from "../useAnswer";
import { useClosable, useStore } from "../useStore";
import { amountOf, asFilter, EVERYTHING, extended, isNothing, MOST_IDS, NOTHING, toggled, type Choice } from "./choice";
import { columnsOf, type Column } from "./columns";
import { OpenedSample } from "./OpenedSample";
import { SampleActions } from "./SampleActions";
import { SampleRows } from "./SampleRows";
import { isFilterSet, SampleTools } from "./SampleTools";

export interface SamplesProps {
  connection: Connection;
  labId: string;
  projectId: number;
  /** What a notebook asked for; the reader's own changes are kept by the browser. */
  filter?: SampleFilter;
  sort?: string;
  /** CSS height of the rows; default: of a cell's output. */
  height?: string;
}

interface SavedView {
  filter: SampleFilter;
  sort: string;
  /** Null: as the project's task has it. */
  tiles: boolean | null;
  widths: Record<string, number>;
}

/** Any number of samples to be searched, filtered, sorted, looked through, and labeled many at once. */
export function Samples(props: SamplesProps): ReactNode {
  const { connection, projectId, filter, sort = "id" } = props;
  const { answer: project, problem, retry } = useAnswer<Project>(connection, `projects/${projectId}`);
  const place = `samples:${props.labId}:${projectId}:${JSON.stringify([filter ?? {}, sort])}`;
  const [view, setView] = useSaved<SavedView>(place, { filter: filter ?? {}, sort, tiles: null, widths: {} });
  const feed = useClosable(() => new SampleFeed(connection, projectId, { filter: view.filter, sort: view.sort }), [connection, projectId]);
  if (!project || !feed) {
    return (
      <div className="mls mls-samples">
        {problem ? <ProblemBanner problem={problem} retry={retry} /> : <p className="mls-muted mls-centered mls-empty">Fetching…</p>}
      </div>
    );
  }
  return <SamplesScreen {...props} project={project} feed={feed} view={view} setView={setView} />;
}

/** What is to be said about the selected samples, and how that is called. */
interface Said {
  decision: Value & { action: LabelAction };
  /** "Label … as spam" */
  title: (samples: string) => string;
  done: string;
}

interface Asked extends Said {
  samples: SampleFilter;
  count: number;
}

function SamplesScreen(
  props: SamplesProps & { project: Project; feed: SampleFeed; view: SavedView; setView: (change: Partial<SavedView>) => void },
): ReactNode {
  const { connection, project, feed, view, setView } = props;
  const state = useStore(feed.store);
  const [choice, setChoice] = useState<Choice>(NOTHING);
  const [cursor, setCursor] = useState(0);
  const [anchor, setAnchor] = useState(0);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<string | null>(null);
  const [notice, setNotice] = useState("");
  const [prefix, setPrefix] = useState<string | null>(null);
  const [opened, setOpened] = useState(false);
  const [acts, setActs] = useState<readonly string[]>([]);
  const [selectionsVersion, setSelectionsVersion] = useState(0);
  const [screen, setScreen] = useState<HTMLElement | null>(null);
  const search = useRef<HTMLInputElement>(null);
  const pictures = useMemo(() => new PictureCache(connection), [connection]);
  const path = `projects/${project.id}`;
  const saved = useAnswer<Page<SampleSelection>>(connection, `${path}/selections`, undefined, selectionsVersion).answer;
  const { filter, sort } = view;
  const { samples, total } = state;
  const isImage = project.task !== null && mediumOf(project.task) === "image";
  const tiles = view.tiles ?? isImage;
  const columns = useMemo(() => columnsOf(project, samples.values()), [project, samples]);
  const keys = useMemo(() => keysOfClasses(project.classes, project.settings.keys), [project]);
  const kind = kindOf(project);
  /** What is drawn or typed is said in the labeler. */
  const isChosenHere = kind === "label" || kind === "labels";

  useEffect(() => feed.ask({ filter, sort }), [feed, filter, sort]);
  useEffect(() => {
    if (!screen) return;
    const observer = new IntersectionObserver((seen) => feed.setActive(seen.at(-1)?.isIntersecting ?? true));
    observer.observe(screen);
    return () => observer.disconnect();
  }, [feed, screen]);

  const focus = useCallback((): void => {
    const place = screen?.querySelector<HTMLElement>(".mls-opened-sample, [role=grid]");
    place?.focus({ preventScroll: true });
  }, [screen]);
  const change = useCallback(
    (more: Partial<SampleFilter>): void => {
      setView({ filter: { ...filter, ...more } });
      setChoice(NOTHING);
      setAsked(null);
      setCursor(0);
    },
    [filter, setView],
  );
  const show = useCallback((first: number, last: number) => feed.show(first, last), [feed]);

  const pick = useCallback(
    (place: number, range: boolean): void => {
      setAsked(null);
      if (!range) {
        setAnchor(place);
        const sample = samples.get(place);
        if (sample) setChoice((before) => toggled(before, sample.id));
        return;
      }
      const [first, last] = place < anchor ? [place, anchor] : [anchor, place];
      if (last - first >= MOST_IDS) {
        setNotice(`At most ${counted(MOST_IDS, "sample")} can be chosen one by one: Ctrl+A selects all of the filter.`);
        return;
      }
      void feed.between(first, last).then((ids) => setChoice((before) => extended(before, ids)));
    },
    [anchor, feed, samples],
  );
  const pickAll = useCallback((): void => {
    setAsked(null);
    setChoice((before) => (before.everything && before.ids.size === 0 ? NOTHING : EVERYTHING));
  }, []);
  const open = useCallback((place: number): void => {
    setCursor(place);
    setOpened(true);
  }, []);
  const close = (): void => {
    setOpened(false);
    setTimeout(() => screen?.querySelector<HTMLElement>("[role=grid]")?.focus({ preventScroll: true }));
  };

  /** Does something, one after the other, and tells what went wrong. */
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    if (busy) return;
    setBusy(true);
    setFailed(null);
    try {
      await work();
    } catch (error) {
      setFailed(asLabError(error).message);
    } finally {
      setBusy(false);
      setAsked(null);
      focus();
    }
  };
  const save = (said: Said, meant: SampleFilter, count: number): Promise<void> =>
    attempt(async () => {
      const bulk: NewBulk = { ...said.decision, source: "human", samples: meant, expected: count, key: newKey() };
      const answer = await connection.request<SavedBulk>("POST", `${path}/labels/bulk`, { body: bulk });
      setActs((before) => [...before, answer.batch]);
      setNotice(`${counted(answer.saved, "sample")} ${said.done}. U takes it back.`);
      setChoice(NOTHING);
      void feed.renew();
    });
  /** A single sample is labeled at once; of many the count is shown first. */
  const propose = (said: Said): void => {
    const current = samples.get(cursor);
    if (opened || isNothing(choice)) {
      if (current) void save(said, { ids: [current.id] }, 1).then(() => setCursor((before) => Math.min(before + 1, total - 1)));
      return;
    }
    const meant = asFilter(choice, filter);
    void (async () => {
      try {
        const { count } = await connection.request<SampleCount>("POST", `${path}/samples/count`, { body: meant });
        setAsked({ ...said, samples: meant, count });
      } catch (error) {
        setFailed(asLabError(error).message);
      }
    })();
  };
  const label = (name: string): void => {
    if (!isChosenHere) {
      setNotice(`${kind === "spans" ? "Spans" : "Boxes"} are drawn one by one: use the labeler.`);
      return;
    }
    const value: Value = kind === "labels" ? { labels: [name] } : { label: name };
    propose({ decision: { action: "label", ...value }, title: (many) => `Label ${many} as ${name}`, done: `labeled ${name}` });
  };
  const skip = (): void => propose({ decision: { action: "skip" }, title: (many) => `Skip ${many}`, done: "skipped" });
  const flag = (): void => propose({ decision: { action: "flag" }, title: (many) => `Flag ${many}`, done: "flagged" });
  const undo = (): Promise<void> =>
    attempt(async () => {
      const batch = acts.at(-1) ?? null;
      const undone = await connection.request<Undone>("POST", `${path}/labels/undo`, { body: { batch, key: newKey() } });
      setActs((before) => before.slice(0, -1));
      setNotice(`${counted(undone.count ?? 1, "decision")} taken back.`);
      void feed.renew();
    });
  const send = (detail: string): Promise<void> =>
    attempt(async () => {
      const body = { samples: asFilter(choice, filter), detail };
      const { added, waiting } = await connection.request<SavedRequests>("POST", `${path}/queue/requests`, { body });
      setNotice(`${counted(added, "sample")} sent to the queue${waiting > 0 ? `, where ${waiting} waited already` : ""}.`);
      setChoice(NOTHING);
    });
  const remember = (name: string): Promise<void> =>
    attempt(async () => {
      const body = { name, samples: asFilter(choice, filter) };
      const { count } = await connection.request<SampleSelection>("POST", `${path}/selections`, { body });
      setSelectionsVersion((before) => before + 1);
      setNotice(`${counted(count, "sample")} saved as “${name}”.`);
    });

  const key = (event: KeyboardEvent): void => {
    const meaning = meaningOfKey(event, keys, prefix);
    setPrefix(meaning.kind === "prefix" ? meaning.prefix : null);
    // A key that is held down must not label one sample after the other.
    if (meaning.kind === "none" || event.repeat) return;
    event.preventDefault();
    switch (meaning.kind) {
      case "class":
        return label(project.classes[meaning.index]!);
      case "skip":
        return skip();
      case "flag":
        return flag();
      case "undo":
        return void undo();
      case "search":
        return search.current?.focus();
      case "cancel":
        setAsked(null);
        setFailed(null);
        if (!asked) setChoice(NOTHING);
    }
  };

  const amount = amountOf(choice, total);
  return (
    <div
      className="mls mls-samples"
      ref={setScreen}
      data-lm-suppress-shortcuts="true"
      // A notebook takes keys for commands of its own.
      onKeyDown={(event) => {
        event.stopPropagation();
      }}
      onKeyDownCapture={(event) => {
        // The keyboard stays in the grid while a count waits for a yes.
        if (!asked || (event.key !== "Escape" && event.key !== "Enter")) return;
        // On a button, Cancel for one, Enter means the button.
        if (event.key === "Enter" && event.target instanceof HTMLButtonElement) return;
        event.preventDefault();
        event.stopPropagation();
        if (event.key === "Enter" && asked.count > 0) void save(asked, asked.samples, asked.count);
        else setAsked(null);
      }}
    >
      <SampleTools
        project={project}
        filter={filter}
        selections={saved?.items ?? []}
        search={search}
        onFilter={change}
        onClear={() => {
          setView({ filter: {} });
          setChoice(NOTHING);
        }}
        leave={focus}
      />
      {state.problem && <ProblemBanner problem={state.problem} retry={() => void feed.renew()} />}
      <div className="mls-sample-line">
        {amount > 0 || failed ? (
          <SampleActions
            project={project}
            amount={amount}
            everything={choice.everything && choice.ids.size === 0}
            proposal={asked && { title: asked.title(counted(asked.count, "sample")), count: asked.count }}
            busy={busy}
            failed={failed}
            onLabel={label}
            onSkip={skip}
            onFlag={flag}
            onQueue={(detail) => void send(detail)}
            onSave={(name) => void remember(name)}
            onYes={() => asked && void save(asked, asked.samples, asked.count)}
            onNo={() => {
              setAsked(null);
              focus();
            }}
            onClear={() => setChoice(NOTHING)}
            onSeen={() => setFailed(null)}
          />
        ) : (
          <span className="mls-muted mls-number">{state.loaded ? counted(total, "sample") : !state.problem && "Fetching…"}</span>
        )}
        <span className="mls-spring" />
        {isImage && (
          <div className="mls-segments" role="group" aria-label="How the samples are shown">
            <button type="button" aria-pressed={tiles} onClick={() => setView({ tiles: true })}>
              Tiles
            </button>
            <button type="button" aria-pressed={!tiles} onClick={() => setView({ tiles: false })}>
              Table
            </button>
          </div>
        )}
      </div>
      {opened ? (
        <OpenedSample
          connection={connection}
          project={project}
          sample={samples.get(cursor)}
          place={cursor}
          total={total}
          pictures={pictures}
          onMove={(by) => {
            const to = Math.min(Math.max(cursor + by, 0), total - 1);
            feed.show(to, to);
            setCursor(to);
          }}
          onClose={close}
          onKey={key}
        />
      ) : state.loaded && total === 0 ? (
        <p className="mls-muted mls-centered mls-empty">
          {isFilterSet(filter) ? (
            "No sample is meant by the filter."
          ) : (
            <>
              This project has no samples yet. Import some with <code>%mlship import {project.name} FILE</code>.
            </>
          )}
        </p>
      ) : (
        <SampleRows
          key={String(tiles)}
          tiles={tiles}
          total={total}
          samples={samples}
          columns={columns}
          widths={view.widths}
          pictures={pictures}
          sort={sortKeys([sort])[0]!}
          choice={choice}
          cursor={Math.min(cursor, Math.max(total - 1, 0))}
          waiting={state.waiting}
          height={props.height ?? "min(60vh, 460px)"}
          onCursor={setCursor}
          onShow={show}
          onSort={(column) => setView({ sort: nextSort(sort, column) })}
          onWidth={(name, width) => setView({ widths: { ...view.widths, [name]: width } })}
          onPick={pick}
          onPickAll={pickAll}
          onOpen={open}
          onKey={key}
        />
      )}
      <div className="mls-sample-footer mls-muted">
        <span role="status">{prefix ? `${prefix.toUpperCase()} – now a digit, or Esc` : notice}</span>
        <span className="mls-spring" />
        <span className="mls-sample-keys">
          {isChosenHere &&
            project.classes.slice(0, MOST_NAMED).map((name, index) => <KeyOf key={name} keys={keys[index]!.join(" ").toUpperCase()} does={name} />)}
          {isChosenHere && project.classes.length > MOST_NAMED && <span aria-hidden="true">…</span>}
          {(opened ? KEYS_OF_OPENED : KEYS_OF_GRID).map(([keys, does]) => (
            <KeyOf key={keys} keys={keys} does={does} />
          ))}
        </span>
      </div>
    </div>
  );
}

/** So many classes are named with their keys. */
const MOST_NAMED = 4;
const KEYS_OF_GRID = [
  ["Space", "select"],
  ["Ctrl A", "all"],
  ["Enter", "open"],
  ["U", "undo"],
] as const;
const KEYS_OF_OPENED = [
  ["↑ ↓", "others"],
  ["Esc", "back"],
  ["U", "undo"],
] as const;

function KeyOf({ keys, does }: { keys: string; does: string }): ReactNode {
  return (
    <span dir="auto">
      <kbd className="mls-key">{keys}</kbd> {does}
    </span>
  );
}

/** The order after a click on a heading: figures go down first, and what was clicked before goes the other way. */
function nextSort(sort: string, column: Column): string {
  if (column.sort === null) return sort;
  const first = column.type === "number" && column.sort !== "id" ? `-${column.sort}` : column.sort;
  const second = first.startsWith("-") ? first.slice(1) : `-${first}`;
  return sort === first ? second : first;
}
