import type uPlot from "uplot";
import { firstAtLeast, type Curve, type Drawing, type Mark } from "./drawing";
import type { Colors } from "./theme";

/** With fewer points than this each has a dot: a line alone would hide that there are only a few. */
const FEW = 30;
const FAINT = 0.12;
const BAND = 0.26;

interface Paper {
  context: CanvasRenderingContext2D;
  box: uPlot.BBox;
  pixels: number;
  x: (value: number) => number;
  y: (value: number) => number;
  /** The values that are on it. */
  first: number;
  last: number;
  low: number;
  high: number;
  logX: boolean;
  logY: boolean;
}

/** Draws curves and marks onto a plot whose axes are there. */
export function paint(plot: uPlot, drawing: Drawing, colors: Colors, highlight: string | null): void {
  const paper = paperOf(plot);
  if (!paper) return;
  const { context, box } = paper;
  context.save();
  context.beginPath();
  context.rect(box.left, box.top, box.width, box.height);
  context.clip();
  context.lineJoin = "round";
  const lit = (curve: Curve): boolean => highlight === null || (curve.key ?? curve.label) === highlight;
  // What is highlighted lies on top, faint lines below.
  const order = [...drawing.curves].sort(
    (a, b) => (highlight === null ? 0 : Number(lit(a)) - Number(lit(b))) || (a.opacity ?? 1) - (b.opacity ?? 1),
  );
  for (const curve of order) paintCurve(paper, curve, colors.get(curve.color), lit(curve) ? 1 : FAINT);
  context.restore();
  context.save();
  for (const curve of order) if (!curve.silent && lit(curve)) paintOutside(paper, curve, colors.get(curve.color));
  for (const mark of drawing.marks) paintMark(paper, mark, colors.get(mark.color));
  context.restore();
}

function paperOf(plot: uPlot): Paper | null {
  const { x, y } = plot.scales;
  if (x?.min == null || x.max == null || y?.min == null || y.max == null) return null;
  const box = plot.bbox;
  const logX = isLog(x);
  const logY = isLog(y);
  return {
    context: plot.ctx,
    box,
    pixels: devicePixelRatio || 1,
    x: mapping(x.min, x.max, box.left, box.width, logX),
    y: mapping(y.min, y.max, box.top + box.height, -box.height, logY),
    first: x.min,
    last: x.max,
    low: y.min,
    high: y.max,
    logX,
    logY,
  };
}

function isLog(scale: uPlot.Scale): boolean {
  return Number(scale.distr) === 3;
}

function mapping(min: number, max: number, start: number, size: number, log: boolean): (value: number) => number {
  const to = log ? Math.log10 : (value: number): number => value;
  const first = to(min);
  const scale = size / (to(max) - first || 1);
  return (value) => start + (to(value) - first) * scale;
}

/** The positions of a curve's points that are on the paper, and one beyond each side, for the lines that lead there. */
function visible(paper: Paper, curve: Curve): [number, number] {
  const start = Math.max(0, firstAtLeast(curve.x, paper.first) - 1);
  const end = firstAtLeast(curve.x, paper.last);
  return [start, Math.min(curve.x.length, end + 2)];
}

function paintCurve(paper: Paper, curve: Curve, color: string, strength: number): void {
  const { context, pixels, box } = paper;
  const [start, end] = visible(paper, curve);
  const bottom = box.top + box.height;
  const line = new Path2D();
  const dots: [number, number][] = [];
  const alone: [number, number][] = [];
  const above: [number, number][] = [];
  const below: [number, number][] = [];
  const bands = new Path2D();
  let run = 0;
  let [x, y] = [0, 0];
  const close = (): void => {
    if (run === 1) alone.push([x, y]);
    if (above.length > 0) {
      bands.moveTo(...above[0]!);
      for (const place of above) bands.lineTo(...place);
      for (let index = below.length - 1; index >= 0; index--) bands.lineTo(...below[index]!);
      bands.closePath();
    }
    above.length = below.length = run = 0;
  };
  for (let index = start; index < end; index++) {
    const value = curve.y[index];
    if (value === undefined) continue;
    const at = curve.x[index]!;
    if (value === null || (paper.logY && value <= 0) || (paper.logX && at <= 0)) {
      close();
      continue;
    }
    x = paper.x(at);
    y = paper.y(value);
    if (run === 0) line.moveTo(x, y);
    else line.lineTo(x, y);
    run++;
    if (dots.length <= FEW) dots.push([x, y]);
    if (curve.low && curve.high) {
      const low = curve.low[index] ?? value;
      above.push([x, paper.y(curve.high[index] ?? value)]);
      below.push([x, paper.logY && low <= 0 ? bottom : paper.y(low)]);
    } else if (curve.fill) {
      above.push([x, y]);
      below.push([x, bottom]);
    }
  }
  close();
  const opacity = (curve.opacity ?? 1) * strength;
  context.fillStyle = context.strokeStyle = color;
  context.globalAlpha = (curve.fill && !curve.low ? 0.12 : BAND) * opacity;
  context.fill(bands);
  if (curve.low) {
    // The band of one spike is narrower than a pixel: its edge is what is seen of it.
    context.globalAlpha = 0.55 * opacity;
    context.lineWidth = 0.75 * pixels;
    context.setLineDash([]);
    context.stroke(bands);
  }
  context.globalAlpha = opacity;
  context.lineWidth = (curve.width ?? 1.75) * pixels;
  context.setLineDash((curve.dash ?? []).map((length) => length * pixels));
  context.stroke(line);
  context.setLineDash([]);
  for (const [left, top] of dots.length <= FEW && (curve.opacity ?? 1) === 1 ? dots : alone) {
    context.beginPath();
    context.arc(left, top, 2.5 * pixels, 0, 2 * Math.PI);
    context.fill();
  }
}

/** Small triangles at the edge over or under which points lie that are not shown. */
function paintOutside(paper: Paper, curve: Curve, color: string): void {
  const [start, end] = visible(paper, curve);
  let [lastTop, lastBottom] = [-Infinity, -Infinity];
  paper.context.fillStyle = color;
  for (let index = start; index < end; index++) {
    const value = curve.y[index];
    const at = curve.x[index]!;
    if (value === null || value === undefined || at < paper.first || at > paper.last) continue;
    if ((paper.logY && value <= 0) || (paper.logX && at <= 0)) continue;
    const x = paper.x(at);
    const gap = 9 * paper.pixels;
    if ((curve.high?.[index] ?? value) > paper.high && x - lastTop > gap) {
      triangle(paper, x, true);
      lastTop = x;
    }
    const low = curve.low?.[index] ?? value;
    if (low < paper.low && !(paper.logY && low <= 0) && x - lastBottom > gap) {
      triangle(paper, x, false);
      lastBottom = x;
    }
  }
}

function triangle({ context, box, pixels }: Paper, x: number, up: boolean): void {
  const edge = up ? box.top : box.top + box.height;
  const inward = (up ? 6 : -6) * pixels;
  context.beginPath();
  context.moveTo(x, edge);
  context.lineTo(x - 4 * pixels, edge + inward);
  context.lineTo(x + 4 * pixels, edge + inward);
  context.fill();
}

/** A cross at the bottom for "not a number", an arrow at the top or the bottom for an infinity. */
function paintMark(paper: Paper, mark: Mark, color: string): void {
  if (mark.x < paper.first || mark.x > paper.last || (paper.logX && mark.x <= 0)) return;
  const { context, box, pixels } = paper;
  const x = paper.x(mark.x);
  const y = mark.kind === "inf" ? box.top + 5 * pixels : box.top + box.height - 5 * pixels;
  const size = 3.5 * pixels;
  context.strokeStyle = color;
  context.lineWidth = 1.75 * pixels;
  context.beginPath();
  if (mark.kind === "nan") {
    context.moveTo(x - size, y - size);
    context.lineTo(x + size, y + size);
    context.moveTo(x - size, y + size);
    context.lineTo(x + size, y - size);
  } else {
    const tip = mark.kind === "inf" ? -1 : 1;
    context.moveTo(x - size, y);
    context.lineTo(x, y + tip * size);
    context.lineTo(x + size, y);
    context.moveTo(x, y + tip * size);
    context.lineTo(x, y - tip * size * 1.4);
  }
  context.stroke();
}
