import type { FilterProblem, RunColumn } from "@modelship-lab/core";
import { useEffect, useId, useRef, useState, type CSSProperties, type KeyboardEvent, type ReactNode } from "react";
import { useSaved } from "../saved";
import { remembered, suggestions, type Suggestion } from "./filter_words";

/** A filter that nobody goes on to write is applied after so long. */
const APPLY_MS = 500;

export interface FilterBoxProps {
  filter: string;
  onFilter: (filter: string) => void;
  columns: readonly RunColumn[];
  problem: FilterProblem | null;
  /** Where the last filters are kept. */
  place: string;
}

/** A line for a Python expression: names are completed, a mistake is shown where it is. */
export function FilterBox({ filter, onFilter, columns, problem, place }: FilterBoxProps): ReactNode {
  const [text, setText] = useState(filter);
  const [applied, setApplied] = useState(filter);
  const [cursor, setCursor] = useState(filter.length);
  const [listed, setListed] = useState(false);
  const [chosen, setChosen] = useState(-1);
  const [scrolled, setScrolled] = useState(0);
  const [recent, setRecent] = useSaved<string[]>(`${place}:filters`, []);
  const box = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const listId = useId();

  // It was changed from outside, e.g. cleared.
  if (filter !== applied) {
    setApplied(filter);
    setText(filter);
  }
  useEffect(() => () => clearTimeout(timer.current), []);

  const apply = (next: string, remember: boolean): void => {
    clearTimeout(timer.current);
    setApplied(next.trim());
    onFilter(next.trim());
    if (remember) setRecent(remembered(recent, next));
  };
  const write = (next: string, at: number): void => {
    setText(next);
    setCursor(at);
    setListed(true);
    setChosen(-1);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => apply(next, false), APPLY_MS);
  };

  const past = text.trim() === "" ? recent : [];
  const { start, items } = suggestions(text, cursor, columns);
  const list: Suggestion[] = past.length > 0 ? past.map((one) => ({ text: one, help: "" })) : items;
  const open = listed && list.length > 0;

  const take = (index: number): void => {
    const { text: word } = list[index]!;
    if (past.length > 0) {
      setText(word);
      setListed(false);
      apply(word, true);
      return;
    }
    const next = text.slice(0, start) + word + text.slice(cursor);
    write(next, start + word.length);
    setListed(false);
    const at = start + word.length;
    // The caret follows when React has put the text in.
    requestAnimationFrame(() => box.current?.setSelectionRange(at, at));
  };

  const key = (event: KeyboardEvent): void => {
    event.stopPropagation();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return setListed(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setChosen((chosen + step + list.length + (chosen < 0 && step < 0 ? 1 : 0)) % list.length);
    } else if (event.key === "Tab" && open && (chosen >= 0 || cursor > start)) {
      event.preventDefault();
      take(Math.max(chosen, 0));
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (open && chosen >= 0) return take(chosen);
      setListed(false);
      apply(text, true);
    } else if (event.key === "Escape") {
      if (open) setListed(false);
      else if (text) {
        setText("");
        apply("", false);
      }
    }
  };

  const wrong = problem && applied !== "" ? problem : null;
  return (
    <div className="mls-filter" data-lm-suppress-shortcuts="true">
      <div className={wrong ? "mls-filter-line mls-filter-wrong" : "mls-filter-line"}>
        <svg className="mls-filter-icon" viewBox="0 0 16 16" aria-hidden="true">
          <path d="M2 3h12l-4.6 5.4V13l-2.8-1.6V8.4z" fill="none" stroke="currentColor" strokeWidth="1.3" strokeLinejoin="round" />
        </svg>
        <input
          ref={box}
          className="mls-filter-text"
          type="text"
          role="combobox"
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="off"
          aria-label="Filter"
          aria-expanded={open}
          aria-controls={listId}
          aria-activedescendant={open && chosen >= 0 ? `${listId}-${chosen}` : undefined}
          aria-invalid={wrong !== null}
          placeholder={'Filter, e.g.  metrics.loss < 0.3 and params.lr in (0.1, 0.01) and "baseline" in tags'}
          value={text}
          onChange={(event) => write(event.target.value, event.target.selectionStart ?? event.target.value.length)}
          onSelect={(event) => setCursor(event.currentTarget.selectionStart ?? 0)}
          onFocus={() => setListed(text.trim() === "")}
          onBlur={() => setListed(false)}
          onScroll={(event) => setScrolled(event.currentTarget.scrollLeft)}
          onKeyDown={key}
        />
        {text && (
          <button
            type="button"
            className="mls-filter-clear"
            aria-label="Clear the filter"
            onClick={() => {
              setText("");
              apply("", false);
              box.current?.focus();
            }}
          >
            ×
          </button>
        )}
      </div>
      {open && (
        <ul className="mls-filter-list" role="listbox" id={listId} aria-label={past.length > 0 ? "Last filters" : "Names"}>
          {past.length > 0 && <li className="mls-filter-group" role="presentation">Last filters</li>}
          {list.map((one, index) => (
            <li
              key={one.text}
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === chosen}
              // Not a click: the box would lose the focus before.
              onPointerDown={(event) => {
                event.preventDefault();
                take(index);
              }}
            >
              <code>{one.text}</code>
              <span className="mls-muted">{one.help}</span>
            </li>
          ))}
        </ul>
      )}
      {wrong && !open && (
        <p className="mls-filter-problem" role="alert" style={{ "--mls-place": wrong.place ?? 0, "--mls-scrolled": `${scrolled}px` } as CSSProperties}>
          {wrong.place !== null && <span className="mls-filter-caret" aria-hidden="true" />}
          <span>{wrong.message}</span>
        </p>
      )}
    </div>
  );
}
