import type { ReactNode } from "react";
import { figure } from "../format";
import { nearest, type Curve, type Drawing } from "./drawing";
import type { Hover } from "./props";

/** So many values are listed; of more, those nearest to the pointer. */
const MOST = 12;
/** A point farther away from the pointer, in pixels, is not under it. */
const REACH = 24;
const MOST_WIDE = 300;

interface Value {
  curve: Curve;
  value: number;
  low: number | null;
  high: number | null;
}

/** The values of all curves under the pointer, the largest first. */
export function valuesAt({ curves }: Drawing, x: number, reach: number): Value[] {
  return curves
    .flatMap((curve) => {
      if (curve.silent) return [];
      const index = nearest(curve.x, x);
      const value = curve.y[index];
      if (value === null || value === undefined || Math.abs(curve.x[index]! - x) > reach) return [];
      return [{ curve, value, low: curve.low?.[index] ?? null, high: curve.high?.[index] ?? null }];
    })
    .sort((a, b) => b.value - a.value);
}

export interface TooltipProps {
  drawing: Drawing;
  hover: Hover;
  /** How much of x a pixel is. */
  perPixel: number;
  title: string;
}

/** What stands under the pointer. */
export function Tooltip({ drawing, hover, perPixel, title }: TooltipProps): ReactNode {
  const values = valuesAt(drawing, hover.x, REACH * perPixel);
  const marks = drawing.marks.filter((mark) => Math.abs(mark.x - hover.x) <= 6 * perPixel).slice(0, 3);
  if (values.length === 0 && marks.length === 0) return null;
  const closest = values.reduce<Value | null>(
    (best, one) => (!best || Math.abs(one.value - hover.y) < Math.abs(best.value - hover.y) ? one : best),
    null,
  );
  const start = Math.max(0, Math.min(values.indexOf(closest!) - MOST / 2, values.length - MOST));
  const shown = values.slice(start, start + MOST);
  const right = hover.left < hover.width / 2;
  const maxWidth = Math.min(MOST_WIDE, Math.max(hover.left, hover.width - hover.left) + 20);
  const beside = right ? { left: hover.left + 14 } : { right: hover.width - hover.left + 14 };
  return (
    <div className="mls-tooltip" style={{ top: Math.max(0, hover.top - 20), maxWidth, ...beside }} aria-hidden="true">
      <div className="mls-tooltip-title mls-number">{title}</div>
      {start > 0 && <div className="mls-muted">{start} above</div>}
      {shown.map((one) => (
        <div key={one.curve.key ?? one.curve.label} className={one === closest ? "mls-tooltip-closest" : undefined}>
          <span className="mls-swatch" style={{ background: one.curve.color }} />
          <span className="mls-tooltip-label" dir="auto">
            {one.curve.label}
          </span>
          <span className="mls-number">
            {figure(one.value)}
            {one.low !== null && one.high !== null && one.low < one.high && (
              <span className="mls-muted">
                {" "}
                {figure(one.low)}…{figure(one.high)}
              </span>
            )}
          </span>
        </div>
      ))}
      {marks.map((mark, index) => (
        <div key={`mark ${index}`}>
          <span className="mls-swatch" style={{ background: mark.color }} />
          <span className="mls-tooltip-label">{mark.label}</span>
          <strong>{mark.kind === "nan" ? "NaN" : mark.kind === "inf" ? "∞" : "−∞"}</strong>
        </div>
      ))}
      {start + shown.length < values.length && (
        <div className="mls-muted">{values.length - start - shown.length} below</div>
      )}
    </div>
  );
}
