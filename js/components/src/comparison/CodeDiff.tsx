import { asLabError, type Connection, type Page, type Run } from "@modelship-lab/core";
import { useEffect, useMemo, useState, type ReactNode } from "react";
import { Banner } from "../Banner";
import { runTitle } from "../runs/status";
import { useSaved } from "../saved";
import { diff, hunks, sideBySide, type DiffLine, type Hunk } from "./code_diff";

/** The files of a run that say what was executed. */
const CODE = /^(source\/.*|cell\.py|.*\.(py|patch|sh|ya?ml|toml|txt|md))$/;
const FIRST = ["source/cells.py", "cell.py", "source/changes.patch"];
const LARGEST = 2_000_000;

interface File {
  name: string;
  size: number;
}

/** The code of two runs, file by file. */
export function CodeDiff({ connection, runs }: { connection: Connection; runs: readonly Run[] }): ReactNode {
  const [leftId, setLeft] = useState(runs[0]!.id);
  const [rightId, setRight] = useState((runs[1] ?? runs[0]!).id);
  const [layout, setLayout] = useSaved<{ unified: boolean }>("code-diff", { unified: false });
  const left = useFiles(connection, leftId);
  const right = useFiles(connection, rightId);
  const [chosen, setChosen] = useState<string | null>(null);
  const names = useMemo(() => {
    const found = [...new Set([...(left ?? []), ...(right ?? [])].filter((file) => CODE.test(file.name)).map((file) => file.name))];
    const rank = (name: string): number => (FIRST.indexOf(name) + 1 || FIRST.length + 1);
    return found.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  }, [left, right]);
  const name = chosen !== null && names.includes(chosen) ? chosen : (names[0] ?? null);
  const choice = (label: string, value: number, set: (id: number) => void): ReactNode => (
    <label className="mls-choice">
      {label}
      <select className="mls-input" value={value} onChange={(event) => set(Number(event.target.value))}>
        {runs.map((run) => (
          <option key={run.id} value={run.id}>
            {run.id} · {runTitle(run)}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <section className="mls-code-diff">
      <div className="mls-view-tools">
        {choice("From", leftId, setLeft)}
        {choice("to", rightId, setRight)}
        {names.length > 1 && (
          <label className="mls-choice">
            File
            <select className="mls-input" value={name ?? ""} onChange={(event) => setChosen(event.target.value)}>
              {names.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
        )}
        <span className="mls-spring" />
        <div className="mls-segments" role="group" aria-label="Layout">
          {[false, true].map((unified) => (
            <button key={String(unified)} type="button" aria-pressed={layout.unified === unified} onClick={() => setLayout({ unified })}>
              {unified ? "Unified" : "Side by side"}
            </button>
          ))}
        </div>
      </div>
      {left === null || right === null ? (
        <p className="mls-muted mls-centered mls-empty">Fetching…</p>
      ) : name === null ? (
        <p className="mls-muted mls-centered mls-empty">Neither run has kept its code.</p>
      ) : (
        <FileDiff
          key={`${leftId} ${rightId} ${name}`}
          connection={connection}
          name={name}
          sides={[
            { id: leftId, file: left.find((file) => file.name === name) },
            { id: rightId, file: right.find((file) => file.name === name) },
          ]}
          unified={layout.unified}
        />
      )}
    </section>
  );
}

/** The files of a run; null until they are known. */
function useFiles(connection: Connection, runId: number): File[] | null {
  const [state, setState] = useState<{ runId: number; files: File[] } | null>(null);
  useEffect(() => {
    let wasted = false;
    connection
      .request<Page<File>>("GET", `runs/${runId}/artifacts`, { query: { kind: "file" } })
      .then((page) => page.items)
      .catch(() => [])
      .then((files) => {
        if (!wasted) setState({ runId, files });
      })
      .catch(() => undefined);
    return () => {
      wasted = true;
    };
  }, [connection, runId]);
  return state?.runId === runId ? state.files : null;
}

interface FileDiffProps {
  connection: Connection;
  name: string;
  sides: [Side, Side];
  unified: boolean;
}

interface Side {
  id: number;
  file: File | undefined;
}

function FileDiff({ connection, name, sides, unified }: FileDiffProps): ReactNode {
  const [state, setState] = useState<{ lines: DiffLine[] | null } | { problem: string } | null>(null);
  const wanted = JSON.stringify(sides);
  useEffect(() => {
    let wasted = false;
    const read = async ({ id, file }: Side): Promise<string> => {
      if (!file) return "";
      if (file.size > LARGEST) throw new Error(`${name} of run ${id} is too large to be compared here.`);
      return connection.text(`runs/${id}/artifacts/${encodeURIComponent(name)}`);
    };
    Promise.all((JSON.parse(wanted) as [Side, Side]).map(read))
      .then(([left, right]) => {
        if (!wasted) setState({ lines: diff(left!, right!) });
      })
      .catch((error: unknown) => {
        if (!wasted) setState({ problem: error instanceof Error ? error.message : asLabError(error).message });
      });
    return () => {
      wasted = true;
    };
  }, [connection, name, wanted]);

  if (!state) return <p className="mls-muted mls-centered mls-empty">Fetching…</p>;
  if ("problem" in state) return <Banner kind="error">{state.problem}</Banner>;
  if (!state.lines) return <Banner kind="info">The two are too different to be compared line by line.</Banner>;
  const missing = sides.find((side) => !side.file);
  const [removed, added] = ["removed", "added"].map((kind) => state.lines!.filter((line) => line.kind === kind).length);
  return (
    <figure className="mls-diff">
      <figcaption>
        <code>{name}</code>
        {removed! + added! === 0 ? (
          <span className="mls-muted">equal in both runs</span>
        ) : (
          <span className="mls-number">
            <span className="mls-diff-plus">+{added}</span> <span className="mls-diff-minus">−{removed}</span>
          </span>
        )}
        {missing && <span className="mls-muted">run {missing.id} has not kept this file</span>}
      </figcaption>
      <div className="mls-diff-place">
        {hunks(state.lines).map((hunk, index) => (
          <HunkView key={index} hunk={hunk} unified={unified} />
        ))}
      </div>
    </figure>
  );
}

function HunkView({ hunk, unified }: { hunk: Hunk; unified: boolean }): ReactNode {
  const [open, setOpen] = useState(!hunk.folded);
  if (!open) {
    return (
      <button type="button" className="mls-diff-fold" onClick={() => setOpen(true)}>
        {hunk.lines.length} equal {hunk.lines.length === 1 ? "line" : "lines"}
      </button>
    );
  }
  if (unified) {
    return hunk.lines.map((line, index) => (
      <div key={index} className={`mls-diff-line mls-diff-${line.kind}`}>
        <LineNumber value={line.left} />
        <LineNumber value={line.right} />
        <Text line={line} />
      </div>
    ));
  }
  return sideBySide(hunk.lines).map(([left, right], index) => (
    <div key={index} className="mls-diff-pair">
      {[left, right].map((line, side) => (
        <div key={side} className={`mls-diff-line mls-diff-${line?.kind ?? "empty"}`}>
          <LineNumber value={line && (side === 0 ? line.left : line.right)} />
          {line && <Text line={line} />}
        </div>
      ))}
    </div>
  ));
}

function LineNumber({ value }: { value: number | null }): ReactNode {
  return (
    <span className="mls-diff-number" aria-hidden="true">
      {value ?? ""}
    </span>
  );
}

/** The text of a line; it is somebody's code, and stays text. */
function Text({ line }: { line: DiffLine }): ReactNode {
  const sign = line.kind === "added" ? "+" : line.kind === "removed" ? "−" : " ";
  return (
    <code className="mls-diff-text">
      <span className="mls-diff-sign" aria-hidden="true">
        {sign}
      </span>
      {line.kind !== "same" && <span className="mls-screen-reader">{line.kind}: </span>}
      {line.pieces.map((piece, index) => (piece.changed ? <mark key={index}>{piece.text}</mark> : <span key={index}>{piece.text}</span>))}
    </code>
  );
}
