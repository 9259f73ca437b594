import type { RunRow } from "@modelship-lab/core";
import { useEffect, useMemo, useRef, useState, type PointerEvent, type ReactNode } from "react";
import { plainName, valueOf, valueText } from "../runs/columns";
import { runCount } from "../runs/RunGrid";
import { axisColumns, figuresOf, mainColumn, usualAxes } from "./choice";
import { ColorLegend, ColumnChoice } from "./controls";
import { prepared, useInk, useWidth, type Ink } from "./ink";
import { shadeOf, shades } from "./palette";
import { axisOf, NOWHERE, type Axis } from "./parallel";
import type { RunsViewProps } from "./ParallelCoordinates";
import { spearman } from "./rank_correlation";

const HEIGHT = 430;
const FRAME = { left: 64, right: 18, top: 14, bottom: 46 };
const NEAR_PX = 9;
const MOST_RANKED = 14;

/** Runs as points: any column against any other in the color of a third, and how much each parameter goes with the figure. */
export function Scatter({ rows, columns, picked, onColumns, onOpen }: RunsViewProps): ReactNode {
  const known = useMemo(() => axisColumns(columns), [columns]);
  const figures = useMemo(() => known.filter((column) => column.type === "number" || column.type === "duration"), [known]);
  const params = useMemo(
    () => known.filter((column) => column.kind === "param" && column.type !== "text" && !(column.min !== null && column.min === column.max)),
    [known],
  );
  const [xName, setX] = useState<string | null>(null);
  const [yName, setY] = useState<string | null>(null);
  const [colorName, setColor] = useState<string | null>(null);
  const [logs, setLogs] = useState<Record<string, boolean>>({});
  const usual = useMemo(() => usualAxes(known), [known]);
  const y = yName ?? mainColumn(known) ?? figures[0]?.name ?? null;
  const x = xName ?? usual.find((name) => name !== y) ?? "duration_s";
  const color = colorName ?? usual.find((name) => name !== y && name !== x) ?? y;
  const wanted = JSON.stringify([...new Set([x, y, color, ...params.slice(0, 60).map((column) => column.name)].filter((name) => name !== null))]);
  useEffect(() => onColumns(JSON.parse(wanted) as string[]), [onColumns, wanted]);

  const axes = useMemo(
    () => (rows && y && color ? { x: axisOf(rows, x, logs[x]), y: axisOf(rows, y, logs[y]), color: axisOf(rows, color, logs[color]) } : null),
    [rows, x, y, color, logs],
  );
  const importance = useMemo(() => {
    if (!rows || !y) return [];
    const target = figuresOf(rows, y);
    return params
      .flatMap((column) => {
        const found = spearman(figuresOf(rows, column.name), target);
        return found ? [{ column, ...found }] : [];
      })
      .sort((a, b) => Math.abs(b.rho) - Math.abs(a.rho));
  }, [rows, y, params]);

  const log = (axis: Axis | undefined): ReactNode =>
    axis?.scale.canLog && (
      <button
        type="button"
        className="mls-axis-log"
        aria-pressed={axis.scale.log}
        title={`Show ${plainName(axis.name)} by magnitude`}
        onClick={() => setLogs({ ...logs, [axis.name]: !axis.scale.log })}
      >
        log
      </button>
    );
  return (
    <div className="mls-scatter">
      <div className="mls-view-tools">
        <ColumnChoice label="Across" columns={known} value={x} onChange={setX} />
        {log(axes?.x)}
        <ColumnChoice label="Up" columns={known} value={y} onChange={setY} />
        {log(axes?.y)}
        <ColumnChoice label="Color" columns={known} value={color} onChange={setColor} />
        {axes && <ColorLegend axis={axes.color} />}
        <span className="mls-spring" />
        <span className="mls-number mls-muted" role="status">
          {rows ? runCount(rows.length) : "Fetching…"}
        </span>
      </div>
      <div className="mls-scatter-parts">
        {rows && axes && <Points rows={rows} axes={axes} picked={picked} onOpen={(id) => onOpen([id])} />}
        {importance.length > 0 && y && (
          <section className="mls-importance">
            <h4>What goes with {plainName(y)}</h4>
            <p className="mls-muted">
              Spearman&rsquo;s rank correlation of each parameter; it tells what rises together, not what causes it.
            </p>
            <ol>
              {importance.slice(0, MOST_RANKED).map(({ column, rho, pairs }) => (
                <li key={column.name}>
                  <button type="button" aria-pressed={column.name === x} title={`${column.name}, ${runCount(pairs)}`} onClick={() => setX(column.name)}>
                    <span className="mls-importance-name" dir="auto">
                      {column.title}
                    </span>
                    <span className="mls-importance-track" aria-hidden="true">
                      <span
                        className={rho < 0 ? "mls-importance-down" : "mls-importance-up"}
                        style={{ width: `${Math.abs(rho) * 50}%`, [rho < 0 ? "right" : "left"]: "50%" }}
                      />
                    </span>
                    <span className="mls-number">{rho > 0 ? "+" : ""}{rho.toFixed(2)}</span>
                  </button>
                </li>
              ))}
            </ol>
          </section>
        )}
      </div>
    </div>
  );
}

interface PointsProps {
  rows: readonly RunRow[];
  axes: { x: Axis; y: Axis; color: Axis };
  picked?: ReadonlySet<number>;
  onOpen: (runId: number) => void;
}

/** Where each run is drawn; NaN for one that lacks a value. */
function placed(axis: Axis, from: number, to: number): Float32Array {
  return axis.drawn.map((place, run) => (axis.places[run] === NOWHERE ? NaN : from + (to - from) * inset(axis, place)));
}

/** A place with some room before the first and behind the last one. */
function inset(axis: Axis, place: number): number {
  const room = axis.scale.kind === "category" ? 0.08 : 0.025;
  return room + place * (1 - 2 * room);
}

function Points({ rows, axes, picked, onOpen }: PointsProps): ReactNode {
  const [place, setPlace] = useState<HTMLDivElement | null>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const ink = useInk(place);
  const width = useWidth(place);
  const [hovered, setHovered] = useState<number | null>(null);
  const xs = useMemo(() => placed(axes.x, FRAME.left, Math.max(width - FRAME.right, FRAME.left + 10)), [axes.x, width]);
  const ys = useMemo(() => placed(axes.y, HEIGHT - FRAME.bottom, FRAME.top), [axes.y]);

  useEffect(() => {
    if (!canvas.current || !ink || width === 0) return;
    const context = prepared(canvas.current, width, HEIGHT);
    if (!context) return;
    const begun = performance.now();
    drawAxes(context, axes, width, ink);
    drawPoints(context, xs, ys, axes.color, rows, picked, ink);
    canvas.current.dataset.drawnMs = (performance.now() - begun).toFixed(1);
  }, [axes, xs, ys, width, ink, rows, picked]);

  const find = (event: PointerEvent<HTMLElement>): void => {
    const box = event.currentTarget.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * HEIGHT) / box.height];
    let [found, distance]: [number | null, number] = [null, NEAR_PX ** 2];
    for (let run = 0; run < xs.length; run++) {
      const away = (xs[run]! - x) ** 2 + (ys[run]! - y) ** 2;
      if (away < distance) [found, distance] = [run, away];
    }
    setHovered(found);
  };
  const row = hovered === null ? undefined : rows[hovered];
  const names = [...new Set([axes.x.name, axes.y.name, axes.color.name])];
  return (
    <div
      className={row ? "mls-scatter-place mls-scatter-hit" : "mls-scatter-place"}
      ref={setPlace}
      role="img"
      aria-label={`${plainName(axes.y.name)} against ${plainName(axes.x.name)} of ${runCount(rows.length)}`}
      style={{ height: HEIGHT }}
      onPointerMove={find}
      onPointerLeave={() => setHovered(null)}
      onClick={() => {
        if (row) onOpen(row.id);
      }}
    >
      <canvas ref={canvas} style={{ width, height: HEIGHT }} />
      {row && hovered !== null && (
        <>
          <span className="mls-scatter-ring" style={{ left: xs[hovered], top: ys[hovered] }} />
          <div
            className="mls-tip"
            style={{
              ...(xs[hovered]! > width / 2 ? { right: width - xs[hovered]! + 14 } : { left: xs[hovered]! + 14 }),
              top: Math.min(ys[hovered]! + 8, HEIGHT - 100),
            }}
          >
            <strong dir="auto">{row.name || row.recipe || "run"}</strong> <span className="mls-muted">run {row.id}</span>
            <dl>
              {names.map((name) => (
                <div key={name}>
                  <dt dir="auto">{plainName(name)}</dt>
                  <dd>{valueText(valueOf(row, name), name === "duration_s" ? "duration" : "number") || "–"}</dd>
                </div>
              ))}
            </dl>
          </div>
        </>
      )}
    </div>
  );
}

function drawAxes(context: CanvasRenderingContext2D, axes: PointsProps["axes"], width: number, ink: Ink): void {
  const [left, right, top, bottom] = [FRAME.left, width - FRAME.right, FRAME.top, HEIGHT - FRAME.bottom];
  context.font = `11px ${ink.font}`;
  context.lineWidth = 1;
  const at = (axis: Axis, place: number, from: number, to: number): number =>
    Math.round(from + (to - from) * inset(axis, place)) + 0.5;
  context.strokeStyle = ink.line;
  context.fillStyle = ink.muted;
  context.textAlign = "center";
  let free = -Infinity;
  for (const tick of axes.x.scale.ticks) {
    const x = at(axes.x, tick.place, left, right);
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, bottom);
    context.stroke();
    const half = context.measureText(tick.label).width / 2;
    // Labels that would run into one another are left out.
    if (x - half < free) continue;
    free = x + half + 8;
    context.fillText(cut(context, tick.label, 110), x, bottom + 16);
  }
  context.textAlign = "right";
  for (const tick of axes.y.scale.ticks) {
    const y = at(axes.y, tick.place, bottom, top);
    context.beginPath();
    context.moveTo(left, y);
    context.lineTo(right, y);
    context.stroke();
    context.fillText(cut(context, tick.label, FRAME.left - 22), left - 7, y + 4);
  }
  context.fillStyle = ink.text;
  context.font = `600 12px ${ink.font}`;
  context.textAlign = "center";
  context.fillText(plainName(axes.x.name), (left + right) / 2, HEIGHT - 8);
  context.save();
  context.translate(12, (top + bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(plainName(axes.y.name), 0, 0);
  context.restore();
}

function cut(context: CanvasRenderingContext2D, text: string, room: number): string {
  let short = text;
  while (short.length > 1 && context.measureText(short).width > room) short = `${short.slice(0, -2)}…`;
  return short;
}

function drawPoints(
  context: CanvasRenderingContext2D,
  xs: Float32Array,
  ys: Float32Array,
  color: Axis,
  rows: readonly RunRow[],
  picked: ReadonlySet<number> | undefined,
  ink: Ink,
): void {
  const colors = shades(ink.dark);
  const radius = xs.length > 3000 ? 2.2 : xs.length > 300 ? 3 : 4.5;
  context.globalAlpha = xs.length > 3000 ? 0.55 : 0.8;
  for (let run = 0; run < xs.length; run++) {
    if (Number.isNaN(xs[run]!) || Number.isNaN(ys[run]!)) continue;
    const place = color.places[run]!;
    context.fillStyle = place === NOWHERE ? ink.muted : colors[shadeOf(place)]!;
    context.beginPath();
    context.arc(xs[run]!, ys[run]!, radius, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
  if (!picked || picked.size === 0 || picked.size === rows.length) return;
  context.strokeStyle = ink.text;
  context.lineWidth = 1.5;
  rows.forEach((row, run) => {
    if (!picked.has(row.id)) return;
    context.beginPath();
    context.arc(xs[run]!, ys[run]!, radius + 2, 0, 2 * Math.PI);
    context.stroke();
  });
}
