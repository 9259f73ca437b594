import { hasThreshold } from "@modelship-lab/core";
import type { LabelSource, Project, SampleFilter, SampleSelection, SampleStatus } from "@modelship-lab/core";
import { useEffect, useState, type ReactNode, type RefObject } from "react";

const STATUSES: readonly SampleStatus[] = ["unlabeled", "labeled", "auto", "skipped", "flagged"];
const SOURCES: readonly LabelSource[] = ["human", "import", "gold", "rule", "model"];
/** So long nobody types, and what was typed is searched for. */
const TYPING_MS = 250;

export interface SampleToolsProps {
  project: Project;
  filter: SampleFilter;
  selections: readonly SampleSelection[];
  search: RefObject<HTMLInputElement | null>;
  onFilter: (change: Partial<SampleFilter>) => void;
  onClear: () => void;
  /** Gives the keyboard back to the grid. */
  leave: () => void;
}

/** Whether a filter leaves anything out. */
export function isFilterSet(filter: SampleFilter): boolean {
  return Object.values(filter).some((value) => (Array.isArray(value) ? value.length > 0 : value != null && value !== ""));
}

/** The search box and the conditions of the filter. */
export function SampleTools(props: SampleToolsProps): ReactNode {
  const { project, filter, selections, onFilter } = props;
  const status = filter.status ?? [];
  const [open, setOpen] = useState(false);
  const isSet = isFilterSet(filter);
  return (
    <div className="mls-sample-tools" role="search" aria-label="Filter of the samples">
      <SearchBox {...props} />
      <button type="button" className="mls-button mls-sample-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
        Filter{isSet && " (on)"}
      </button>
      <div className="mls-sample-conditions" data-open={open}>
        <div className="mls-segments" role="group" aria-label="Status">
          {STATUSES.map((one) => (
            <button
              key={one}
              type="button"
              aria-pressed={status.includes(one)}
              onClick={() => onFilter({ status: status.includes(one) ? status.filter((other) => other !== one) : [...status, one] })}
            >
              {one}
            </button>
          ))}
        </div>
        <div className="mls-sample-more">
          {/* Of numbers no model says how sure it is. */}
          {project.classes.length > 0 && (
            <>
              <Choice title="Label" value={filter.label} names={project.classes} onChange={(label) => onFilter({ label })} />
              <Choice title="Suggestion" value={filter.suggested} names={project.classes} onChange={(suggested) => onFilter({ suggested })} />
              <span className="mls-choice" role="group" aria-label="Confidence of the suggestion">
                Confidence
                <Bound name="least" value={filter.min_confidence} onChange={(min_confidence) => onFilter({ min_confidence })} />
                –
                <Bound name="most" value={filter.max_confidence} onChange={(max_confidence) => onFilter({ max_confidence })} />
              </span>
            </>
          )}
          <Choice title="Source" value={filter.source} names={SOURCES} onChange={(source) => onFilter({ source: source as LabelSource | null })} />
          {selections.length > 0 && (
            <Choice
              title="Selection"
              value={filter.selection}
              names={selections.map(({ name }) => name)}
              onChange={(selection) => onFilter({ selection })}
            />
          )}
          {hasThreshold(project) && (
            <label className="mls-toggle">
              <input
                type="checkbox"
                checked={filter.below_threshold ?? false}
                onChange={(event) => onFilter({ below_threshold: event.target.checked || null })}
              />
              Below the threshold
            </label>
          )}
          <label className="mls-toggle">
            <input type="checkbox" checked={filter.noted ?? false} onChange={(event) => onFilter({ noted: event.target.checked || null })} />
            With a note
          </label>
        </div>
      </div>
      {filter.ids && <span className="mls-muted">{filter.ids.length} that were chosen</span>}
      {isSet && (
        <button type="button" className="mls-link" onClick={props.onClear}>
          Show all
        </button>
      )}
    </div>
  );
}

function SearchBox({ filter, search, onFilter, leave }: SampleToolsProps): ReactNode {
  const searched = filter.search ?? "";
  const [held, setHeld] = useState({ searched, typed: searched });
  const current = held.searched === searched ? held : { searched, typed: searched };
  if (current !== held) setHeld(current);
  const { typed } = current;
  useEffect(() => {
    if (typed === searched) return;
    const timer = setTimeout(() => onFilter({ search: typed }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, searched, onFilter]);
  return (
    <input
      ref={search}
      className="mls-input mls-sample-search"
      type="search"
      placeholder="Search ( / )"
      aria-label="Search in texts, fields and names"
      value={typed}
      onChange={(event) => setHeld({ searched, typed: event.target.value })}
      onKeyDown={(event) => {
        if (event.key !== "Escape" && event.key !== "Enter") return;
        onFilter({ search: typed });
        leave();
      }}
    />
  );
}

function Choice(props: {
  title: string;
  value: string | null | undefined;
  names: readonly string[];
  onChange: (name: string | null) => void;
}): ReactNode {
  return (
    <label className="mls-choice">
      {props.title}
      <select value={props.value ?? ""} onChange={(event) => props.onChange(event.target.value || null)}>
        <option value="">any</option>
        {props.names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Bound(props: { name: "least" | "most"; value: number | null | undefined; onChange: (value: number | null) => void }): ReactNode {
  return (
    <input
      className="mls-input mls-sample-bound"
      type="number"
      aria-label={props.name === "least" ? "Confidence from" : "Confidence up to"}
      placeholder={props.name === "least" ? "0" : "1"}
      min={0}
      max={1}
      step={0.05}
      value={props.value ?? ""}
      onChange={(event) => {
        const value = event.target.valueAsNumber;
        if (event.target.value === "") props.onChange(null);
        else if (value >= 0 && value <= 1) props.onChange(value);
      }}
    />
  );
}
