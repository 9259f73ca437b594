import { kindOf, saidIn, SAMPLE_PREVIEW, valueOf, type Connection, type Project, type Sample } from "@modelship-lab/core";
import { useEffect, useMemo, useRef, type KeyboardEvent, type ReactNode, type Ref } from "react";
import { Banner } from "../Banner";
import { count, percent } from "../format";
import { CodePoints } from "../labeler/editors/text";
import { PartList } from "../labeler/editors/PartList";
import { SampleView, type Drawn } from "../labeler/SampleView";
import type { ZoomHandle } from "../labeler/ZoomStage";
import type { PictureCache } from "../Picture";
import { useAnswer } from "../useAnswer";

interface OpenedSampleProps {
  connection: Connection;
  project: Project;
  sample: Sample | undefined;
  place: number;
  total: number;
  pictures: PictureCache;
  onMove: (by: number) => void;
  onClose: () => void;
  onKey: (event: KeyboardEvent) => void;
}

/** One sample of the grid as a labeler sees it, with what is said of it drawn into it, and the keys of the labeler. */
export function OpenedSample(props: OpenedSampleProps): ReactNode {
  const { sample, place, total, onMove, onClose } = props;
  const box = useRef<HTMLDivElement>(null);
  const zoom = useRef<ZoomHandle>(null);
  useEffect(() => box.current?.focus({ preventScroll: true }), []);
  const key = (event: KeyboardEvent): void => {
    if (event.target !== event.currentTarget) return;
    if (event.key === "Escape" || event.key === "Enter") onClose();
    else if (event.key === "ArrowDown" || event.key === "ArrowRight") onMove(1);
    else if (event.key === "ArrowUp" || event.key === "ArrowLeft") onMove(-1);
    else if (!zoom.current?.press(event)) return props.onKey(event);
    event.preventDefault();
  };
  return (
    <div ref={box} className="mls-opened-sample" role="dialog" aria-label={`Sample ${sample?.id ?? ""}`} tabIndex={-1} onKeyDown={key}>
      <div className="mls-opened-line">
        <button type="button" className="mls-link mls-back" onClick={onClose}>
          ← Back to the samples
        </button>
        <span className="mls-spring" />
        <button type="button" className="mls-button" disabled={place === 0} aria-label="The sample before" onClick={() => onMove(-1)}>
          ↑
        </button>
        <span className="mls-muted mls-number">
          {count(place + 1)} of {count(total)}
        </span>
        <button type="button" className="mls-button" disabled={place >= total - 1} aria-label="The next sample" onClick={() => onMove(1)}>
          ↓
        </button>
      </div>
      {!sample ? (
        <p className="mls-muted mls-centered mls-empty">Fetching…</p>
      ) : isCut(sample) ? (
        <WholeSample {...props} key={sample.id} sample={sample} zoom={zoom} />
      ) : (
        <Shown {...props} sample={sample} zoom={zoom} />
      )}
    </div>
  );
}

interface ShownProps extends OpenedSampleProps {
  sample: Sample;
  zoom: Ref<ZoomHandle>;
}

/** Whether only the beginning of a text came with the page. */
function isCut({ text }: Sample): boolean {
  return text !== null && text.length > SAMPLE_PREVIEW && text.endsWith("…");
}

function WholeSample(props: ShownProps): ReactNode {
  const { answer, problem, retry } = useAnswer<Sample>(props.connection, `samples/${props.sample.id}`);
  return (
    <>
      {problem && (
        <Banner kind="error" action={{ label: "Try again", run: retry }}>
          Only the beginning of this text is here: {problem.message}
        </Banner>
      )}
      <Shown {...props} sample={answer ? { ...props.sample, text: answer.text } : props.sample} />
    </>
  );
}

/** The content of a sample, and in words what is said of it. */
function Shown({ sample, project, pictures, zoom }: ShownProps): ReactNode {
  const { suggestion } = sample;
  const drawn = useMemo((): Drawn | undefined => {
    const said = valueOf(sample);
    const value = said ?? valueOf(suggestion);
    return value ? { value, classes: project.classes, suggested: said === null } : undefined;
  }, [sample, suggestion, project]);
  const parts = useMemo(() => partsOf(sample.text ?? "", drawn), [sample.text, drawn]);
  const kind = kindOf(project);
  const said = saidIn(sample);
  return (
    <>
      <div className="mls-opened-body" key={sample.id}>
        <SampleView sample={sample} pictures={pictures} drawn={drawn} zoom={zoom} />
      </div>
      {(kind === "spans" || kind === "boxes") && (
        <PartList
          name={kind === "spans" ? "Spans" : "Boxes"}
          none={drawn ? `It was said that there is no ${kind === "spans" ? "span" : "box"}` : "Nothing is said of it yet"}
          classes={project.classes}
          parts={parts}
        />
      )}
      <p className="mls-opened-said" aria-live="polite">
        <span className="mls-muted">Sample {sample.id}</span>
        <span className={`mls-badge ${STATUS_TONES[sample.status] ?? ""}`}>{sample.status}</span>
        {said && kind !== "spans" && kind !== "boxes" && <strong dir="auto">{said}</strong>}
        {drawn?.suggested && parts.length > 0 && <span className="mls-muted">drawn as it was suggested</span>}
        {suggestion && (
          <span className="mls-muted" dir="auto">
            suggested: {saidIn(suggestion) || "nothing"}
            {/* No model says how sure it is of a number. */}
            {suggestion.number == null && ` (${percent(suggestion.confidence)})`}
          </span>
        )}
        {sample.note && (
          <span dir="auto">
            <span aria-hidden="true">✎</span> {sample.note}
          </span>
        )}
      </p>
    </>
  );
}

const STATUS_TONES: Partial<Record<Sample["status"], string>> = {
  labeled: "mls-badge-good",
  auto: "mls-badge-busy",
  flagged: "mls-badge-warn",
};

/** What is drawn, piece by piece. */
function partsOf(text: string, drawn: Drawn | undefined): { label: string; text?: string }[] {
  if (drawn?.value.boxes) return drawn.value.boxes.map(({ label }) => ({ label }));
  if (!drawn?.value.spans) return [];
  const points = new CodePoints(text);
  return drawn.value.spans.map((span) => {
    const { start, end } = points.toUnits(span);
    return { label: span.label, text: text.slice(start, end) };
  });
}
