import type { CSSProperties, ReactNode } from "react";
import { classColor } from "../../colors";

/** What is said so far, piece by piece: to look over, to choose from, to take back. */
export function PartList(props: {
  name: string;
  /** What to say while there is nothing. */
  none: string;
  classes: readonly string[];
  parts: readonly { label: string; text?: string }[];
  chosen?: number | null;
  choose?: (index: number) => void;
  /** Without it they are only looked at. */
  remove?: (index: number) => void;
}): ReactNode {
  const { parts, choose, remove } = props;
  return (
    <ul className="mls-parts" aria-label={props.name}>
      {parts.length === 0 && <li className="mls-muted">{props.none}</li>}
      {parts.map(({ label, text }, index) => {
        const what = (
          <>
            {text !== undefined && <q dir="auto">{text}</q>}
            <strong dir="auto">{label}</strong>
          </>
        );
        return (
          <li
            key={index}
            className={index === props.chosen ? "mls-part mls-part-chosen" : "mls-part"}
            style={{ "--mls-class-color": classColor(props.classes.indexOf(label)) } as CSSProperties}
          >
            {choose ? (
              <button type="button" aria-pressed={index === props.chosen} onClick={() => choose(index)}>
                {what}
              </button>
            ) : (
              <span>{what}</span>
            )}
            {remove && (
              <button
                type="button"
                className="mls-part-remove"
                aria-label={`Take ${text === undefined ? label : `${label}: ${text}`} back`}
                onClick={() => remove(index)}
              >
                ×
              </button>
            )}
          </li>
        );
      })}
    </ul>
  );
}
