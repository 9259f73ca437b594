import { useState, type ReactNode } from "react";
import { plainName, type Column } from "../runs/columns";
import { useInk } from "./ink";
import { shades } from "./palette";
import type { Axis } from "./parallel";

const GROUPS: [Column["kind"], string][] = [
  ["summary", "Final figures"],
  ["metric", "Metrics"],
  ["param", "Parameters"],
  ["run", "Run"],
];

/** One column to be chosen of all. */
export function ColumnChoice(props: {
  label: string;
  columns: readonly Column[];
  value: string | null;
  onChange: (name: string) => void;
}): ReactNode {
  return (
    <label className="mls-choice">
      {props.label}
      <select className="mls-input" value={props.value ?? ""} onChange={(event) => props.onChange(event.target.value)}>
        {GROUPS.map(([kind, title]) => {
          const members = props.columns.filter((column) => column.kind === kind);
          return (
            members.length > 0 && (
              <optgroup key={kind} label={title}>
                {members.map((column) => (
                  <option key={column.name} value={column.name}>
                    {column.title}
                  </option>
                ))}
              </optgroup>
            )
          );
        })}
      </select>
    </label>
  );
}

/** What the colors mean. */
export function ColorLegend({ axis }: { axis: Axis }): ReactNode {
  const [bar, setBar] = useState<HTMLElement | null>(null);
  const ink = useInk(bar);
  const { ends } = axis.scale;
  if (!ends) return null;
  const colors = shades(ink?.dark ?? false).join(", ");
  return (
    <span className="mls-color-legend" title={plainName(axis.name)}>
      <span className="mls-number mls-muted">{ends[0]}</span>
      <span className="mls-color-bar" ref={setBar} style={{ backgroundImage: `linear-gradient(to right, ${colors})` }} />
      <span className="mls-number mls-muted">{ends[1]}</span>
    </span>
  );
}
