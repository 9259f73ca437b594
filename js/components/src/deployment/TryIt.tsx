import {
  asLabError,
  mediumOf,
  type DeploymentFeed,
  type Deployment,
  type LabError,
  type ModelVersion,
  type PredictInput,
  type Prediction,
} from "@modelship-lab/core";
import { useEffect, useState, type ReactNode } from "react";
import { Banner } from "../Banner";
import { figure, milliseconds, percent } from "../format";
import { classColor } from "../colors";
import { ExplanationView } from "./ExplanationView";
import { RowForm, rowOf, typicalRow, type RowText } from "./RowForm";

/** Larger pictures than this are refused before they are sent. */
const LARGEST_IMAGE = 12_000_000;
const SHOWN_CLASSES = 10;

interface Picked {
  file: File;
  url: string;
}

interface Answer {
  prediction: Prediction;
  input: PredictInput;
  /** The picture that was asked about. */
  image: string | null;
}

async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  // In pieces, because a call takes a limited number of arguments.
  for (let start = 0; start < bytes.length; start += 8192) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(binary);
}

/** Ask the deployed model about a text, a picture or a row, and see why it answers as it does. */
export function TryIt(props: {
  feed: DeploymentFeed;
  deployment: Deployment;
  version: ModelVersion | null;
}): ReactNode {
  const { feed, deployment } = props;
  const preprocessing = props.version?.manifest.preprocessing;
  const medium = mediumOf(deployment.task);
  const tabular = medium === "table";
  const table = tabular && preprocessing?.kind === "table_encoding" ? preprocessing : null;
  const [text, setText] = useState("");
  const [picked, setPicked] = useState<Picked | null>(null);
  const [changed, setChanged] = useState<RowText>({});
  const [explain, setExplain] = useState(true);
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [problem, setProblem] = useState<LabError | null>(null);

  useEffect(() => {
    const url = picked?.url;
    return () => (url ? URL.revokeObjectURL(url) : undefined);
  }, [picked]);

  const ready =
    medium === "text"
      ? text.trim() !== ""
      : medium === "image"
        ? picked !== null
        : table !== null;

  const ask = async (): Promise<void> => {
    setBusy(true);
    setProblem(null);
    try {
      const input: PredictInput = picked
        ? { image: await base64(picked.file) }
        : table
          ? rowOf(table, { ...typicalRow(table), ...changed })
          : text;
      const prediction = await feed.predict(input, explain);
      setAnswer({ prediction, input, image: picked?.url ?? null });
    } catch (error) {
      setAnswer(null);
      setProblem(asLabError(error));
    } finally {
      setBusy(false);
    }
  };

  const pick = (file: File | undefined): void => {
    if (file) setPicked({ file, url: URL.createObjectURL(file) });
    setAnswer(null);
  };

  return (
    <section className="mls-try">
      <h3>Try it</h3>
      <div className="mls-try-parts">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (ready && !busy) void ask();
          }}
        >
          {medium === "text" && (
            <textarea
              className="mls-input"
              rows={4}
              dir="auto"
              placeholder="A text to classify"
              aria-label="Text to classify"
              value={text}
              onChange={(event) => setText(event.target.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && ready && !busy) void ask();
              }}
            />
          )}
          {medium === "image" && <ImagePicker picked={picked} pick={pick} />}
          {tabular &&
            (table ? (
              <RowForm
                table={table}
                row={{ ...typicalRow(table), ...changed }}
                change={(name, value) => setChanged({ ...changed, [name]: value })}
              />
            ) : (
              <p className="mls-muted">Fetching the names of the features…</p>
            ))}
          <div className="mls-try-actions">
            <button type="submit" className="mls-button mls-button-primary" disabled={!ready || busy}>
              {busy ? "Predicting…" : "Predict"}
            </button>
            <label className="mls-check">
              <input type="checkbox" checked={explain} onChange={(event) => setExplain(event.target.checked)} />
              Explain
            </label>
          </div>
        </form>
        <div className="mls-answer" aria-live="polite">
          {problem && <Banner kind="error">{problem.message}</Banner>}
          {answer ? (
            <AnswerView answer={answer} deployment={deployment} />
          ) : (
            !problem && <p className="mls-muted mls-centered">The answer appears here.</p>
          )}
        </div>
      </div>
    </section>
  );
}

function ImagePicker({ picked, pick }: { picked: Picked | null; pick: (file: File | undefined) => void }): ReactNode {
  const [over, setOver] = useState(false);
  const [refused, setRefused] = useState("");
  const take = (file: File | undefined): void => {
    if (!file) return;
    const reason = !file.type.startsWith("image/")
      ? `${file.name} is not a picture.`
      : file.size > LARGEST_IMAGE
        ? `${file.name} is larger than ${LARGEST_IMAGE / 1e6} MB.`
        : "";
    setRefused(reason);
    if (!reason) pick(file);
  };
  return (
    <label
      className={over ? "mls-drop mls-drop-over" : "mls-drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        event.stopPropagation();
        setOver(false);
        take(event.dataTransfer.files[0]);
      }}
    >
      {picked ? <img src={picked.url} alt={picked.file.name} /> : <span>Drop a picture here, or click to choose one</span>}
      {refused && <span role="alert">{refused}</span>}
      <input
        type="file"
        accept="image/*"
        className="mls-screen-reader"
        aria-label="Picture to classify"
        onChange={(event) => take(event.target.files?.[0])}
      />
    </label>
  );
}

/** The class, the classes that apply, or the number. */
function said({ prediction }: Prediction): string {
  if (Array.isArray(prediction)) return prediction.join(", ") || "none";
  return typeof prediction === "number" ? figure(prediction) : prediction;
}

function AnswerView({ answer, deployment }: { answer: Answer; deployment: Deployment }): ReactNode {
  const { prediction } = answer;
  const ranked = deployment.classes
    .map((name, index) => ({ name, index, probability: prediction.probabilities[index] ?? 0 }))
    .sort((a, b) => b.probability - a.probability);
  return (
    <>
      <div className="mls-verdict">
        <strong dir="auto">{said(prediction)}</strong>
        {prediction.confidence !== null && <span className="mls-number">{percent(prediction.confidence)}</span>}
        <span className="mls-spring" />
        <span className="mls-muted mls-number">
          {milliseconds(prediction.response_time_ms)} · {prediction.model_version}
        </span>
      </div>
      <div className="mls-probabilities">
        {ranked.slice(0, SHOWN_CLASSES).map(({ name, index, probability }) => (
          <div key={name}>
            <span className="mls-probability-name" title={name} dir="auto">
              {name}
            </span>
            <span className="mls-probability-bar">
              <span style={{ width: `${probability * 100}%`, background: classColor(index) }} />
            </span>
            <span className="mls-number">{percent(probability)}</span>
          </div>
        ))}
        {ranked.length > SHOWN_CLASSES && (
          <p className="mls-muted">and {ranked.length - SHOWN_CLASSES} classes with less</p>
        )}
      </div>
      {prediction.explanation && (
        <ExplanationView
          explanation={prediction.explanation}
          task={deployment.task}
          input={answer.input}
          image={answer.image}
        />
      )}
    </>
  );
}

