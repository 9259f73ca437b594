import type { SweepSummary } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { figure } from "../format";

const [WIDTH, HEIGHT] = [420, 130];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 8, 8, 20];

/** The value of each trial as a dot, and the best so far as a line. */
export function BestCurve({ course, metric }: { course: SweepSummary["course"]; metric: string }): ReactNode {
  const values = course.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const first = course[0]!.number;
  const last = course.at(-1)!.number;
  const x = (number: number): number => LEFT + ((number - first) / Math.max(1, last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number =>
    high === low ? HEIGHT / 2 : TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const line = course.map(({ number, best }, place) =>
    place === 0 ? `M${x(number)},${y(best)}` : `H${x(number)}V${y(best)}`,
  );
  return (
    <figure className="mls-sweep-curve">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Best ${metric} by trials: ${figure(course.at(-1)!.best)}`}>
        {[...new Set([high, low])].map((value) => (
          <g key={value}>
            <line className="mls-sweep-grid" x1={LEFT} x2={WIDTH - RIGHT} y1={y(value)} y2={y(value)} />
            <text x={LEFT - 6} y={y(value) + 4} textAnchor="end">
              {figure(value)}
            </text>
          </g>
        ))}
        <text x={LEFT} y={HEIGHT - 4}>
          trial {first}
        </text>
        <text x={WIDTH - RIGHT} y={HEIGHT - 4} textAnchor="end">
          {last}
        </text>
        {course.map(({ number, value }) => (
          <circle key={number} cx={x(number)} cy={y(value)} r={2.5}>
            <title>{`trial ${number}: ${figure(value)}`}</title>
          </circle>
        ))}
        <path d={line.join("")} />
      </svg>
    </figure>
  );
}
