import { mediumOf, type Attribution, type CellValue, type PredictInput, type Task } from "@modelship-lab/core";
import type { CSSProperties, ReactNode } from "react";
import { figure, percent } from "../format";

const SHOWN_FEATURES = 12;

/** What each part of the input did to the probability of a class, or to a number: for it in green, against it in red. */
export function ExplanationView(props: {
  explanation: Attribution;
  task: Task;
  input: PredictInput;
  image: string | null;
}): ReactNode {
  const { explanation, task } = props;
  const medium = mediumOf(task);
  const shown = explanation.label === "" ? figure : percent;
  const largest = Math.max(...explanation.values.map(Math.abs), 1e-9);
  return (
    <figure className="mls-explanation">
      <figcaption>
        {explanation.label === "" ? (
          <>
            What makes the number <span className="mls-for">larger</span> and{" "}
            <span className="mls-against">smaller</span>
          </>
        ) : (
          <>
            What speaks <span className="mls-for">for</span> and <span className="mls-against">against</span>{" "}
            <strong dir="auto">{explanation.label}</strong>
          </>
        )}
        <span className="mls-muted">
          {" "}
          from {shown(explanation.base)} to {shown(explanation.probability)}
        </span>
      </figcaption>
      {medium === "text" ? (
        <Tokens explanation={explanation} largest={largest} />
      ) : medium === "image" ? (
        <Regions explanation={explanation} largest={largest} image={props.image} />
      ) : (
        <Features explanation={explanation} largest={largest} input={props.input} />
      )}
      <p className="mls-muted mls-method">By {explanation.method}; they add up to the difference.</p>
    </figure>
  );
}

function tone(value: number, largest: number): CSSProperties {
  const color = value >= 0 ? "var(--mls-good)" : "var(--mls-bad)";
  const strength = Math.round((Math.abs(value) / largest) * 65);
  return { background: `color-mix(in srgb, ${color} ${strength}%, transparent)` };
}

const signed = (value: number): string => `${value >= 0 ? "+" : "−"}${figure(Math.abs(value))}`;

function Tokens({ explanation, largest }: { explanation: Attribution; largest: number }): ReactNode {
  return (
    <p className="mls-tokens" dir="auto">
      {explanation.parts.map((token, index) => {
        const value = explanation.values[index] ?? 0;
        return (
          <span key={index} style={tone(value, largest)} title={signed(value)}>
            {token}
          </span>
        );
      })}
    </p>
  );
}

function Regions(props: { explanation: Attribution; largest: number; image: string | null }): ReactNode {
  const { explanation, largest, image } = props;
  const regions = explanation.parts.map((part) => part.split(",").map(Number) as [number, number, number, number]);
  const width = Math.max(...regions.map((region) => region[2]));
  const height = Math.max(...regions.map((region) => region[3]));
  if (!image || !(width > 0) || !(height > 0)) return null;
  return (
    <div className="mls-regions" style={{ aspectRatio: `${width} / ${height}` }}>
      <img src={image} alt="The picture that was asked about" />
      {regions.map(([x0, y0, x1, y1], index) => {
        const value = explanation.values[index] ?? 0;
        return (
          <span
            key={index}
            title={signed(value)}
            style={{
              ...tone(value, largest),
              left: `${(x0 / width) * 100}%`,
              top: `${(y0 / height) * 100}%`,
              width: `${((x1 - x0) / width) * 100}%`,
              height: `${((y1 - y0) / height) * 100}%`,
            }}
          />
        );
      })}
    </div>
  );
}

function Features(props: { explanation: Attribution; largest: number; input: PredictInput }): ReactNode {
  const { explanation, largest, input } = props;
  const row = typeof input === "object" ? (input as Record<string, CellValue>) : {};
  const ranked = explanation.parts
    .map((name, index) => ({ name, value: explanation.values[index] ?? 0 }))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const rest = ranked.slice(SHOWN_FEATURES).reduce((sum, { value }) => sum + value, 0);
  return (
    <div className="mls-features">
      {ranked.slice(0, SHOWN_FEATURES).map(({ name, value }) => (
        <div key={name}>
          <span className="mls-feature-name" title={name}>
            {name} <span className="mls-muted">= {String(row[name] ?? "missing")}</span>
          </span>
          <span className="mls-feature-bar">
            <span
              className={value >= 0 ? "mls-feature-for" : "mls-feature-against"}
              style={{ width: `${(Math.abs(value) / largest) * 50}%` }}
            />
          </span>
          <span className="mls-number">{signed(value)}</span>
        </div>
      ))}
      {ranked.length > SHOWN_FEATURES && (
        <p className="mls-muted">
          {ranked.length - SHOWN_FEATURES} other features together {signed(rest)}
        </p>
      )}
    </div>
  );
}
