import type { ReactNode } from "react";
import { figure } from "../format";

type Pair = readonly [number, number];

const SIDE = 240;
const MARGIN = 10;

/** Held-out numbers as they are and as they were predicted, and by how much each is off. */
export function NumbersView({ pairs }: { pairs: readonly Pair[] }): ReactNode {
  const all = pairs.flat();
  const low = Math.min(...all);
  const high = Math.max(...all);
  const residuals = pairs.map(([actual, predicted]): Pair => [predicted, actual - predicted]);
  const reach = Math.max(...residuals.map(([, off]) => Math.abs(off)));
  return (
    <>
      <Scatter
        title="Predicted (up) by actual"
        points={pairs}
        x={[low, high]}
        y={[low, high]}
        line={[
          [low, low],
          [high, high],
        ]}
      />
      <Scatter
        title="Residuals: actual less predicted (up) by predicted"
        points={residuals}
        x={[low, high]}
        y={[-reach, reach]}
        line={[
          [low, 0],
          [high, 0],
        ]}
      />
    </>
  );
}

function Scatter(props: {
  title: string;
  points: readonly Pair[];
  x: Pair;
  y: Pair;
  line: readonly [Pair, Pair];
}): ReactNode {
  const place = (value: number, [from, to]: Pair): number =>
    MARGIN + ((value - from) / (to - from || 1)) * (SIDE - 2 * MARGIN);
  const across = (value: number): number => place(value, props.x);
  const down = (value: number): number => SIDE - place(value, props.y);
  const [start, end] = props.line;
  return (
    <figure className="mls-scatter">
      <figcaption className="mls-muted">{props.title}</figcaption>
      <svg viewBox={`0 0 ${SIDE} ${SIDE}`} role="img" aria-label={props.title}>
        <line x1={across(start[0])} y1={down(start[1])} x2={across(end[0])} y2={down(end[1])} />
        {props.points.map(([x, y], index) => (
          <circle key={index} cx={across(x)} cy={down(y)} r={2.5} />
        ))}
      </svg>
      <div className="mls-muted mls-number mls-scatter-ends">
        <span>{figure(props.x[0])}</span>
        <span>{figure(props.x[1])}</span>
      </div>
    </figure>
  );
}
