import type { RunRow } from "@modelship-lab/core";
import { useEffect, useMemo, useRef, useState, type CSSProperties, type KeyboardEvent, type PointerEvent, type ReactNode } from "react";
import { count } from "../format";
import { ColumnPicker } from "../runs/ColumnPicker";
import { plainName, valueOf, valueText, type Column } from "../runs/columns";
import { runCount } from "../runs/RunGrid";
import { axisColumns, mainColumn, usualAxes } from "./choice";
import { ColorLegend, ColumnChoice } from "./controls";
import { prepared, useInk, useWidth } from "./ink";
import { shadeOf, shades } from "./palette";
import { axisOf, axisX, axisY, drawLines, drawOne, nearest, NOWHERE, passing, type Axis, type Brush, type Frame } from "./parallel";

const AXIS_GAP = 74;
const MOST_COMPARED = 50;
/** So near to an end of an axis is the end. */
const END = 0.02;

export interface RunsViewProps {
  /** Null until they have come. */
  rows: readonly RunRow[] | null;
  columns: Column[];
  /** Runs that are selected elsewhere. */
  picked?: ReadonlySet<number>;
  /** Says which columns the rows must have. */
  onColumns: (names: readonly string[]) => void;
  onOpen: (runIds: number[]) => void;
}

/** Each run as a line through its parameters and figures; a brush on an axis leaves those that pass it. */
export function ParallelCoordinates(props: RunsViewProps & { height?: number }): ReactNode {
  const { rows, columns, onColumns, onOpen, height = 430 } = props;
  const known = useMemo(() => axisColumns(columns), [columns]);
  const [chosen, setChosen] = useState<string[] | null>(null);
  const names = useMemo(() => chosen ?? usualAxes(known), [chosen, known]);
  const [colorName, setColorName] = useState<string | null>(null);
  const color = colorName ?? mainColumn(known) ?? names.at(-1) ?? null;
  const [logs, setLogs] = useState<Record<string, boolean>>({});
  const [brushes, setBrushes] = useState<Record<string, Brush>>({});
  const wanted = JSON.stringify(color && !names.includes(color) ? [...names, color] : names);
  useEffect(() => onColumns(JSON.parse(wanted) as string[]), [onColumns, wanted]);

  const axes = useMemo(() => (rows ? names.map((name) => axisOf(rows, name, logs[name])) : []), [rows, names, logs]);
  const colorAxis = useMemo(() => (rows && color ? axisOf(rows, color, logs[color]) : null), [rows, color, logs]);
  const passes = useMemo(() => passing(axes, brushes, rows?.length ?? 0), [axes, brushes, rows]);
  const left = useMemo(() => passes.reduce((sum, one) => sum + one, 0), [passes]);
  const brushed = Object.keys(brushes).length > 0;

  return (
    <div className="mls-parallel">
      <div className="mls-view-tools">
        <ColumnPicker
          label="Axes"
          columns={known}
          shown={names}
          onShown={setChosen}
          onUsual={() => {
            setChosen(null);
            setBrushes({});
          }}
        />
        <ColumnChoice label="Color" columns={known} value={color} onChange={setColorName} />
        {colorAxis && color && <ColorLegend axis={colorAxis} />}
        <span className="mls-spring" />
        <span className="mls-number mls-muted" role="status">
          {rows ? (brushed ? `${count(left)} of ${runCount(rows.length)}` : runCount(rows.length)) : "Fetching…"}
        </span>
        {brushed && rows && left > 0 && (
          <button
            type="button"
            className="mls-button"
            onClick={() => onOpen(rows.filter((_, run) => passes[run]).slice(0, MOST_COMPARED).map((row) => row.id))}
          >
            Compare {left > MOST_COMPARED ? `the first ${MOST_COMPARED}` : count(left)}
          </button>
        )}
        {brushed && (
          <button type="button" className="mls-link" onClick={() => setBrushes({})}>
            Clear brushes
          </button>
        )}
      </div>
      {rows && axes.length < 2 ? (
        <p className="mls-muted mls-centered mls-empty">Choose at least two axes.</p>
      ) : (
        rows && (
          <Lines
            rows={rows}
            axes={axes}
            colorAxis={colorAxis}
            passes={passes}
            brushes={brushes}
            height={height}
            onBrush={(name, brush) => {
              const others = without(brushes, name);
              setBrushes(brush ? { ...others, [name]: brush } : others);
            }}
            onOrder={setChosen}
            onLog={(name, log) => {
              setLogs({ ...logs, [name]: log });
              setBrushes(without(brushes, name));
            }}
            onOpen={(id) => onOpen([id])}
          />
        )
      )}
    </div>
  );
}

function without(brushes: Readonly<Record<string, Brush>>, name: string): Record<string, Brush> {
  return Object.fromEntries(Object.entries(brushes).filter(([one]) => one !== name));
}

interface LinesProps {
  rows: readonly RunRow[];
  axes: Axis[];
  colorAxis: Axis | null;
  passes: Uint8Array;
  brushes: Record<string, Brush>;
  /** Of the whole picture, in CSS pixels. */
  height: number;
  onBrush: (name: string, brush: Brush | null) => void;
  onOrder: (names: string[]) => void;
  onLog: (name: string, log: boolean) => void;
  onOpen: (runId: number) => void;
}

function Lines(props: LinesProps): ReactNode {
  const { rows, axes, colorAxis, passes, brushes, height } = props;
  const [place, setPlace] = useState<HTMLDivElement | null>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const above = useRef<HTMLCanvasElement>(null);
  const ink = useInk(place);
  const seen = useWidth(place);
  const width = Math.max(seen, axes.length * AXIS_GAP);
  const [hovered, setHovered] = useState<{ run: number; x: number; y: number } | null>(null);
  const [dragged, setDragged] = useState<{ name: string; x: number } | null>(null);
  const bottom = axes.some((axis) => axis.hasNone) ? 48 : 16;
  const frame: Frame = useMemo(
    () => ({ width, top: 58, height: height - 58 - bottom, left: 54, right: 70 }),
    [width, height, bottom],
  );
  const colors = useMemo(() => shades(ink?.dark ?? false), [ink]);
  const shade = useMemo(
    () => (colorAxis ? colorAxis.places.map((one) => (one === NOWHERE ? -1 : one)) : new Float32Array(rows.length).fill(0.4)),
    [colorAxis, rows],
  );

  useEffect(() => {
    if (!canvas.current || !ink || seen === 0) return;
    const context = prepared(canvas.current, width, height);
    if (!context) return;
    const begun = performance.now();
    drawLines(context, frame, axes, passes, shade, colors, ink);
    canvas.current.dataset.drawnMs = (performance.now() - begun).toFixed(1);
  }, [frame, axes, passes, shade, colors, ink, width, height, seen]);

  useEffect(() => {
    if (!above.current || !ink || seen === 0) return;
    const context = prepared(above.current, width, height);
    if (context && hovered && passes[hovered.run]) {
      const one = shade[hovered.run]!;
      drawOne(context, frame, axes, hovered.run, one < 0 ? ink.text : colors[shadeOf(one)]!, ink);
    }
  }, [hovered, frame, axes, passes, shade, colors, ink, width, height, seen]);

  const point = (event: PointerEvent<HTMLElement>): { x: number; y: number } => {
    const box = event.currentTarget.getBoundingClientRect();
    // A saved output may be shown scaled.
    return { x: ((event.clientX - box.left) * width) / box.width, y: ((event.clientY - box.top) * height) / box.height };
  };
  const hover = (event: PointerEvent<HTMLElement>): void => {
    if (event.buttons !== 0) return;
    const { x, y } = point(event);
    const run = nearest(frame, axes, passes, x, y);
    setHovered(run === null ? null : { run, x, y });
  };
  const names = axes.map((axis) => axis.name);
  const reorder = (name: string, to: number): void => {
    const others = names.filter((one) => one !== name);
    others.splice(to, 0, name);
    if (String(others) !== String(names)) props.onOrder(others);
  };

  return (
    <div className="mls-parallel-place" ref={setPlace}>
      <div
        className="mls-parallel-stage"
        role="img"
        aria-label={`Parallel coordinates of ${runCount(rows.length)}: ${names.map(plainName).join(", ")}`}
        style={{ width, height }}
        onPointerMove={hover}
        onPointerLeave={() => setHovered(null)}
        onClick={() => {
          if (hovered) props.onOpen(rows[hovered.run]!.id);
        }}
      >
        <canvas ref={canvas} style={{ width, height }} />
        <canvas ref={above} style={{ width, height }} />
        {axes.map((axis, index) => (
          <AxisView
            key={axis.name}
            axis={axis}
            frame={frame}
            x={dragged?.name === axis.name ? dragged.x : axisX(frame, index, axes.length)}
            brush={brushes[axis.name] ?? null}
            last={index === axes.length - 1}
            onBrush={(brush) => {
              setHovered(null);
              props.onBrush(axis.name, brush);
            }}
            onLog={() => props.onLog(axis.name, !axis.scale.log)}
            onMove={(by) => reorder(axis.name, Math.min(Math.max(index + by, 0), axes.length - 1))}
            onDrag={(x) => {
              setHovered(null);
              setDragged(x === null ? null : { name: axis.name, x });
              if (x === null) return;
              const gap = (frame.width - frame.left - frame.right) / (axes.length - 1);
              reorder(axis.name, Math.min(Math.max(Math.round((x - frame.left) / gap), 0), axes.length - 1));
            }}
          />
        ))}
        {hovered && passes[hovered.run] === 1 && <Tip row={rows[hovered.run]!} axes={axes} x={hovered.x} y={hovered.y} width={width} height={height} />}
      </div>
    </div>
  );
}

function Tip(props: { row: RunRow; axes: Axis[]; x: number; y: number; width: number; height: number }): ReactNode {
  const { row, axes, x, y, width, height } = props;
  const side: CSSProperties = x > width / 2 ? { right: width - x + 14 } : { left: x + 14 };
  return (
    <div className="mls-tip" style={{ ...side, top: Math.min(y + 12, height - 40 - axes.length * 18) }}>
      <strong dir="auto">{row.name || row.recipe || "run"}</strong> <span className="mls-muted">run {row.id}</span>
      <dl>
        {axes.map((axis) => (
          <div key={axis.name}>
            <dt dir="auto">{plainName(axis.name)}</dt>
            <dd>{valueText(valueOf(row, axis.name), axis.name === "duration_s" ? "duration" : "number") || "–"}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

interface AxisProps {
  axis: Axis;
  frame: Frame;
  x: number;
  brush: Brush | null;
  last: boolean;
  onBrush: (brush: Brush | null) => void;
  onLog: () => void;
  onMove: (by: number) => void;
  onDrag: (x: number | null) => void;
}

function AxisView({ axis, frame, x, brush, last, onBrush, onLog, onMove, onDrag }: AxisProps): ReactNode {
  const lowest = axis.hasNone ? NOWHERE - 0.03 : 0;
  const placeAt = (event: PointerEvent<HTMLElement>, box: DOMRect): number => {
    const place = 1 - ((event.clientY - box.top) / (box.height || 1)) * (1 - lowest);
    // Nobody hits the very end, and who comes near it means it.
    return place > 1 - END ? 1 : place < lowest + END ? lowest : place;
  };
  const paint = (event: PointerEvent<HTMLDivElement>): void => {
    event.preventDefault();
    event.stopPropagation();
    const track = event.currentTarget;
    const box = track.getBoundingClientRect();
    const start = placeAt(event, box);
    let moved = false;
    track.setPointerCapture?.(event.pointerId);
    track.onpointermove = (next) => {
      const end = placeAt(next as unknown as PointerEvent<HTMLElement>, box);
      moved ||= Math.abs(end - start) > 0.01;
      if (moved) onBrush([Math.min(start, end), Math.max(start, end)]);
    };
    track.onpointerup = track.onpointercancel = () => {
      track.onpointermove = track.onpointerup = track.onpointercancel = null;
      if (!moved) onBrush(null);
    };
  };
  const drag = (event: PointerEvent<HTMLButtonElement>): void => {
    const title = event.currentTarget;
    const start = event.clientX;
    title.setPointerCapture?.(event.pointerId);
    title.onpointermove = (next) => onDrag(x + next.clientX - start);
    title.onpointerup = title.onpointercancel = () => {
      title.onpointermove = title.onpointerup = title.onpointercancel = null;
      onDrag(null);
    };
  };
  const key = (event: KeyboardEvent): void => {
    const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (by === 0) return;
    event.preventDefault();
    onMove(by);
  };
  const stop = (event: { stopPropagation: () => void }): void => event.stopPropagation();
  const span = frame.height * (1 - lowest);
  return (
    <div className={last ? "mls-axis mls-axis-last" : "mls-axis"} style={{ left: x, top: frame.top, height: frame.height }} onClick={stop}>
      <div className="mls-axis-head">
        <button
          type="button"
          className="mls-axis-title"
          dir="auto"
          title={`${axis.name}\nDrag, or use the arrow keys, to move the axis`}
          onPointerDown={drag}
          onKeyDown={key}
        >
          {plainName(axis.name)}
        </button>
        {axis.scale.canLog && (
          <button type="button" className="mls-axis-log" aria-pressed={axis.scale.log} title="Show by magnitude" onClick={onLog}>
            log
          </button>
        )}
      </div>
      <span className="mls-axis-line" />
      {axis.scale.ticks.map((tick) => (
        <span key={tick.label} className="mls-axis-tick" style={{ top: `${(1 - tick.place) * 100}%` }}>
          <span dir="auto">{tick.label}</span>
        </span>
      ))}
      {axis.hasNone && (
        <span className="mls-axis-tick mls-axis-none" style={{ top: `${(1 - NOWHERE) * 100}%` }}>
          <span>none</span>
        </span>
      )}
      <div className="mls-axis-track" data-axis={axis.name} style={{ height: span }} onPointerDown={paint} onPointerMove={stop} />
      {brush && (
        <span
          className="mls-axis-brush"
          style={{ top: axisY(frame, brush[1]) - frame.top, height: Math.max(2, (brush[1] - brush[0]) * frame.height) }}
        />
      )}
    </div>
  );
}
