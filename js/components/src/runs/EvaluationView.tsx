import { mediumOf, type Connection, type Evaluation } from "@modelship-lab/core";
import { useMemo, useState, type CSSProperties, type ReactNode } from "react";
import { count, figure, percent } from "../format";
import { Picture, PictureCache } from "../Picture";
import { CalibrationView } from "./CalibrationView";
import { NumbersView } from "./NumbersView";

/** More classes than this are listed by their confusions instead of drawn as a matrix. */
const LARGEST_MATRIX = 25;
const SHOWN_ERRORS = 12;

interface Cell {
  actual: string;
  predicted: string;
}

/** How the model did on rows that it has not seen: figures, confusion matrix, worst errors. */
export function EvaluationView(props: { connection: Connection; evaluation: Evaluation }): ReactNode {
  const { connection, evaluation } = props;
  const pictures = useMemo(() => new PictureCache(connection), [connection]);
  const [cell, setCell] = useState<Cell | null>(null);
  const worst = evaluation.worst.filter(
    (error) => !cell || (error.actual === cell.actual && error.predicted === cell.predicted),
  );
  return (
    <details className="mls-evaluation" open>
      <summary>
        <h3>On {count(evaluation.rows)} held-out samples</h3>
        <span className="mls-muted">
          {evaluation.kind === "number" ? (
            <>
              mean absolute error <strong>{figure(evaluation.mae ?? null)}</strong>
              {evaluation.unit && ` ${evaluation.unit}`} (always the median:{" "}
              {figure(evaluation.baseline_mae ?? null)}) · median{" "}
              <strong>{figure(evaluation.median_absolute_error ?? null)}</strong> · RMSE{" "}
              <strong>{figure(evaluation.rmse ?? null)}</strong> · R² <strong>{figure(evaluation.r2 ?? null)}</strong>
            </>
          ) : (
            <>
              accuracy <strong>{percent(evaluation.accuracy)}</strong> (always the commonest class:{" "}
              {percent(evaluation.baseline_accuracy)}) · macro F1 <strong>{percent(evaluation.macro_f1)}</strong>
              {evaluation.micro_f1 != null && (
                <>
                  {" "}
                  · micro F1 <strong>{percent(evaluation.micro_f1)}</strong> · Hamming loss{" "}
                  <strong>{figure(evaluation.hamming_loss ?? null)}</strong>
                </>
              )}{" "}
              · log
              loss <strong>{figure(evaluation.log_loss)}</strong>
            </>
          )}
        </span>
      </summary>
      <div className="mls-evaluation-parts">
        {(evaluation.pairs?.length ?? 0) > 0 && <NumbersView pairs={evaluation.pairs!} />}
        {evaluation.confusion.length === 0 ? null : evaluation.classes.length <= LARGEST_MATRIX ? (
          <ConfusionMatrix evaluation={evaluation} selected={cell} select={setCell} />
        ) : (
          <Confusions evaluation={evaluation} />
        )}
        {evaluation.calibration && <CalibrationView calibration={evaluation.calibration} />}
        <Simpler evaluation={evaluation} />
        <section className="mls-errors">
          <h4>
            {cell ? (
              <>
                {cell.actual} taken for {cell.predicted}{" "}
                <button type="button" className="mls-link" onClick={() => setCell(null)}>
                  show all
                </button>
              </>
            ) : (
              "Worst errors"
            )}
          </h4>
          {worst.length === 0 && (
            <p className="mls-muted">{cell ? "None of the worst errors is of this kind." : withoutErrors(evaluation)}</p>
          )}
          {worst.slice(0, SHOWN_ERRORS).map((error) => (
            <div key={error.sample_id} className="mls-error">
              <span className="mls-muted mls-number">#{error.sample_id}</span>
              {mediumOf(evaluation.task) === "image" ? (
                <span className="mls-error-picture">
                  <Picture cache={pictures} digest={error.preview} alt={`Sample ${error.sample_id}`} />
                </span>
              ) : (
                <span className="mls-error-preview" dir="auto" title={error.preview}>
                  {error.preview}
                </span>
              )}
              <span className="mls-error-verdict">
                {error.actual} <span className="mls-muted">→</span> <strong>{error.predicted}</strong>{" "}
                {evaluation.kind !== "number" && (
                  <span className="mls-muted mls-number">{percent(error.confidence)}</span>
                )}
              </span>
            </div>
          ))}
        </section>
      </div>
    </details>
  );
}

function withoutErrors(evaluation: Evaluation): string {
  const errors = evaluation.confusion.some((row, actual) => row.some((count, said) => count > 0 && said !== actual));
  return errors ? "It is not known which samples these rows were." : "There are none.";
}

/** What simpler models reach on the same rows, and in which of them this one is worst. */
function Simpler({ evaluation }: { evaluation: Evaluation }): ReactNode {
  const { baselines = [], slices = [] } = evaluation;
  const shown = evaluation.kind === "number" ? figure : percent;
  if (baselines.length + slices.length === 0) return null;
  return (
    <section>
      {baselines.length > 0 && <h4>Simpler models</h4>}
      {baselines.map((one) => (
        <div key={one.name} className="mls-error">
          <strong className="mls-number">{shown(one.mae ?? one.accuracy)}</strong>
          <span className="mls-error-preview">{one.name}</span>
        </div>
      ))}
      {slices.length > 0 && <h4>Worst in</h4>}
      {slices.map((one) => (
        <div key={one.name} className="mls-error">
          <strong className="mls-number">{shown(one.score)}</strong>
          <span className="mls-error-preview" dir="auto" title={one.name}>
            {one.name} <span className="mls-muted mls-number">{count(one.rows)}</span>
          </span>
        </div>
      ))}
    </section>
  );
}

/** Rows are the actual classes, columns the predicted ones; a click lists the errors of a cell. */
function ConfusionMatrix(props: {
  evaluation: Evaluation;
  selected: Cell | null;
  select: (cell: Cell | null) => void;
}): ReactNode {
  const { classes, confusion, per_class } = props.evaluation;
  return (
    <div className="mls-matrix-place">
      <table className="mls-matrix">
        <caption className="mls-muted">Actual (rows) and predicted (columns)</caption>
        <thead>
          <tr>
            <td />
            {classes.map((name) => (
              <th key={name} scope="col" title={name}>
                <span>{name}</span>
              </th>
            ))}
            <th scope="col">recall</th>
          </tr>
        </thead>
        <tbody>
          {confusion.map((row, actual) => {
            const total = row.reduce((sum, amount) => sum + amount, 0);
            return (
              <tr key={classes[actual]}>
                <th scope="row" title={classes[actual]}>
                  {classes[actual]}
                </th>
                {row.map((amount, predicted) => {
                  const cell = { actual: classes[actual]!, predicted: classes[predicted]! };
                  const right = actual === predicted;
                  const strength = total > 0 ? Math.sqrt(amount / total) : 0;
                  const selected = props.selected?.actual === cell.actual && props.selected.predicted === cell.predicted;
                  return (
                    <td
                      key={predicted}
                      className={right ? "mls-right" : amount > 0 ? "mls-wrong" : "mls-none"}
                      style={{ "--mls-strength": `${Math.round(strength * 70)}%` } as CSSProperties}
                    >
                      {right || amount === 0 ? (
                        amount
                      ) : (
                        <button
                          type="button"
                          aria-pressed={selected}
                          title={`${count(amount)} × ${cell.actual} taken for ${cell.predicted}`}
                          onClick={() => props.select(selected ? null : cell)}
                        >
                          {amount}
                        </button>
                      )}
                    </td>
                  );
                })}
                <td className="mls-muted mls-recall">{percent(per_class[actual]?.recall)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Confusions({ evaluation }: { evaluation: Evaluation }): ReactNode {
  const { classes, confusion } = evaluation;
  const pairs = confusion
    .flatMap((row, actual) => row.map((amount, predicted) => ({ actual, predicted, amount })))
    .filter(({ actual, predicted, amount }) => actual !== predicted && amount > 0)
    .sort((a, b) => b.amount - a.amount)
    .slice(0, SHOWN_ERRORS);
  return (
    <section>
      <h4>Most frequent confusions</h4>
      {pairs.map(({ actual, predicted, amount }) => (
        <div key={`${actual}-${predicted}`} className="mls-error">
          <strong className="mls-number">{count(amount)}</strong>
          <span className="mls-error-preview">
            {classes[actual]} <span className="mls-muted">→</span> {classes[predicted]}
          </span>
        </div>
      ))}
    </section>
  );
}
