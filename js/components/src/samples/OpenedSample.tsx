import { saidIn, type Sample } from "@modelship-lab/core";
import { useEffect, useRef, type KeyboardEvent, type ReactNode } from "react";
import { percent } from "../format";
import { SampleView } from "../labeler/SampleView";
import type { PictureCache } from "../Picture";

/** One sample of the grid as a labeler sees it, with the keys of the labeler. */
export function OpenedSample(props: {
  sample: Sample | undefined;
  place: number;
  total: number;
  pictures: PictureCache;
  onMove: (by: number) => void;
  onClose: () => void;
  onKey: (event: KeyboardEvent) => void;
}): ReactNode {
  const { sample, place, total, onMove, onClose } = props;
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.focus({ preventScroll: true }), []);
  const key = (event: KeyboardEvent): void => {
    if (event.target !== event.currentTarget) return;
    if (event.key === "Escape" || event.key === "Enter") onClose();
    else if (event.key === "ArrowDown" || event.key === "ArrowRight") onMove(1);
    else if (event.key === "ArrowUp" || event.key === "ArrowLeft") onMove(-1);
    else return props.onKey(event);
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
          {place + 1} of {total}
        </span>
        <button type="button" className="mls-button" disabled={place >= total - 1} aria-label="The next sample" onClick={() => onMove(1)}>
          ↓
        </button>
      </div>
      {sample && (
        <>
          <div className="mls-opened-body" key={sample.id}>
            <SampleView sample={sample} pictures={props.pictures} />
          </div>
          <p className="mls-muted" aria-live="polite">
            Sample {sample.id}: <strong dir="auto">{saidIn(sample) || sample.status}</strong>
            {sample.suggestion && ` · suggested: ${saidIn(sample.suggestion)}`}
            {/* No model says how sure it is of a number. */}
            {sample.suggestion && sample.suggestion.number == null && ` (${percent(sample.suggestion.confidence)})`}
            {sample.note && ` · ${sample.note}`}
          </p>
        </>
      )}
    </div>
  );
}
