import type { ReactNode } from "react";
import type { Choices, PanelSize, XAxis } from "./choices";

/** So many metrics are offered as an axis. */
const MOST_AXES = 200;

export interface RunControlsProps {
  choices: Choices;
  choose: (change: Partial<Choices>) => void;
  metrics: readonly string[];
  /** Why the filter cannot be used as it is, if so. */
  filterProblem: string;
}

/** How the charts are to be drawn, and which. */
export function RunControls({ choices, choose, metrics, filterProblem }: RunControlsProps): ReactNode {
  const { smoothing } = choices;
  return (
    <div className="mls-controls" role="toolbar" aria-label="Charts">
      <input
        type="search"
        className="mls-input mls-metric-filter"
        placeholder="Filter metrics, e.g. val|loss"
        aria-label="Filter metrics by a regular expression"
        aria-invalid={filterProblem !== ""}
        title={filterProblem || undefined}
        value={choices.filter}
        onChange={(event) => choose({ filter: event.target.value })}
      />
      <label>
        Smoothing
        <input
          type="range"
          min={0}
          max={0.99}
          step={0.01}
          value={smoothing}
          aria-valuetext={smoothing === 0 ? "off" : smoothing.toFixed(2)}
          onChange={(event) => choose({ smoothing: Number(event.target.value) })}
        />
        <span className="mls-number mls-smoothing">{smoothing === 0 ? "off" : smoothing.toFixed(2)}</span>
      </label>
      <label>
        over
        <select
          className="mls-input"
          value={choices.x}
          onChange={(event) => choose({ x: event.target.value as XAxis, range: null })}
        >
          <option value="step">steps</option>
          <option value="relative">time since the start</option>
          <option value="clock">time of day</option>
          <optgroup label="another metric">
            {metrics.slice(0, MOST_AXES).map((name) => (
              <option key={name} value={`metric:${name}`}>
                {name}
              </option>
            ))}
          </optgroup>
        </select>
      </label>
      <Switch label="log x" on={choices.logX} set={(logX) => choose({ logX })} />
      <Switch label="log y" on={choices.logY} set={(logY) => choose({ logY })} />
      <Switch
        label="ignore outliers"
        title="Leave room for most values only; what lies beyond is marked at the edge"
        on={choices.robust}
        set={(robust) => choose({ robust })}
      />
      <label>
        <span className="mls-screen-reader">Size of the charts</span>
        <select
          className="mls-input"
          value={choices.size}
          onChange={(event) => choose({ size: event.target.value as PanelSize })}
        >
          <option value="small">small</option>
          <option value="medium">medium</option>
          <option value="large">large</option>
        </select>
      </label>
      {choices.range && (
        <button type="button" className="mls-button mls-button-small" onClick={() => choose({ range: null })}>
          Show everything
        </button>
      )}
      {filterProblem && (
        <span className="mls-problem-text" role="alert">
          {filterProblem}
        </span>
      )}
    </div>
  );
}

function Switch(props: { label: string; title?: string; on: boolean; set: (on: boolean) => void }): ReactNode {
  return (
    <label title={props.title}>
      <input type="checkbox" checked={props.on} onChange={(event) => props.set(event.target.checked)} />
      {props.label}
    </label>
  );
}
