import { asLabError, type Artifact, type Connection } from "@modelship-lab/core";
import { useEffect, useState, type ReactNode } from "react";

/** A text is shown up to so many characters. */
const LONGEST = 100_000;

/** Where the server has an artifact's file. */
export function filePath(runId: number, { name, step }: Artifact): string {
  return `runs/${runId}/artifacts/${encodeURIComponent(name)}${step === null ? "" : `?step=${step}`}`;
}

/**
 * A text as it was kept: never as a page.
 *
 * @param version has it read again where there is another one under the same path
 */
export function TextView(props: { connection: Connection; path: string; version: string }): ReactNode {
  const { connection, path, version } = props;
  const [text, setText] = useState<string | null>(null);
  useEffect(() => {
    let gone = false;
    connection.text(path).then(
      (read) => {
        if (!gone) setText(read);
      },
      (error: unknown) => {
        if (!gone) setText(asLabError(error).message);
      },
    );
    return () => {
      gone = true;
    };
  }, [connection, path, version]);
  if (text === null) return <p className="mls-muted">Fetching…</p>;
  return (
    <pre className="mls-code" dir="auto">
      {text.slice(0, LONGEST)}
      {text.length > LONGEST && "…"}
    </pre>
  );
}
