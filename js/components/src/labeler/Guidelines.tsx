import { memo, type ReactNode } from "react";
import { Markdown } from "../markdown";

/** What labelers should know, beside the samples. */
export const Guidelines = memo(function Guidelines(props: { text: string; hide: () => void }): ReactNode {
  return (
    <section className="mls-guidelines" aria-label="Guidelines" tabIndex={-1}>
      <header>
        <h3>Guidelines</h3>
        <button type="button" className="mls-part-remove" aria-label="Hide the guidelines" onClick={props.hide}>
          ×
        </button>
      </header>
      <Markdown text={props.text} />
    </section>
  );
});
