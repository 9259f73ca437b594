import type { Calibration } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { count, percent } from "../format";

const SIZE = 150;
const LARGEST = 6;

/** How often the model is right when it is so sure: on the diagonal it is as sure as it may be. */
export function CalibrationView({ calibration }: { calibration: Calibration }): ReactNode {
  const { confidence, accuracy, rows } = calibration;
  const most = Math.max(1, ...rows);
  const points = rows.flatMap((amount, bin) =>
    amount > 0 ? [{ x: confidence[bin]! * SIZE, y: (1 - accuracy[bin]!) * SIZE, amount, bin }] : [],
  );
  if (points.length === 0) return null;
  return (
    <section className="mls-calibration">
      <h4>Calibration</h4>
      <p className="mls-muted">
        off by <strong className="mls-number">{percent(calibration.error)}</strong> on average
      </p>
      <svg
        viewBox={`-34 -8 ${SIZE + 46} ${SIZE + 42}`}
        role="img"
        aria-label={`Calibration: ${points.map(({ bin }) => `${percent(accuracy[bin])} right where ${percent(confidence[bin])} sure`).join(", ")}`}
      >
        <rect className="mls-calibration-frame" width={SIZE} height={SIZE} />
        <line className="mls-calibration-best" x1={0} y1={SIZE} x2={SIZE} y2={0} />
        <polyline points={points.map(({ x, y }) => `${x},${y}`).join(" ")} />
        {points.map(({ x, y, amount, bin }) => (
          <circle key={bin} cx={x} cy={y} r={2 + (LARGEST - 2) * Math.sqrt(amount / most)}>
            <title>{`${count(amount)} rows: ${percent(confidence[bin])} sure, ${percent(accuracy[bin])} right`}</title>
          </circle>
        ))}
        {[0, 1].map((end) => (
          <g key={end}>
            <text x={end * SIZE} y={SIZE + 14} textAnchor="middle">{`${end * 100}%`}</text>
            <text x={-6} y={(1 - end) * SIZE + 4} textAnchor="end">{`${end * 100}%`}</text>
          </g>
        ))}
        <text x={SIZE / 2} y={SIZE + 28} textAnchor="middle">
          sure
        </text>
        <text x={-8} y={SIZE / 2 + 4} textAnchor="end">
          right
        </text>
      </svg>
    </section>
  );
}
