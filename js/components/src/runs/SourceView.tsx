import type { Artifact, Connection, Page, Run } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { ProblemBanner } from "../Banner";
import { useAnswer } from "../useAnswer";
import { filePath, TextView } from "./TextView";

/** Files in which a run keeps its code: the notebook's cells or the script, a tracked cell, what git does not have yet. */
const SOURCE = /^source\/|^cell\.py$/;

/** What ran: cells, changes since the last commit, command line, packages. */
export function SourceView({ connection, run }: { connection: Connection; run: Run }): ReactNode {
  const { answer, problem, retry } = useAnswer<Page<Artifact>>(connection, `runs/${run.id}/artifacts`, { kind: "file" }, run);
  const { packages, git, command, ...rest } = run.environment;
  const commit = isRecord(git) ? git : {};
  const facts: [string, string][] = [
    ["command", Array.isArray(command) ? command.map(quoted).join(" ") : said(command)],
    ["commit", [said(commit.commit), said(commit.branch), commit.dirty ? "with changes" : ""].filter(Boolean).join(" · ")],
    ...Object.entries(rest).map(([name, value]): [string, string] => [name.replaceAll("_", " "), said(value)]),
  ];
  const files = (answer?.items ?? []).filter(({ name }) => SOURCE.test(name));
  return (
    <div className="mls-run-source">
      <dl className="mls-run-facts">
        {facts
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd dir="auto">{value}</dd>
            </div>
          ))}
      </dl>
      {problem && <ProblemBanner problem={problem} retry={retry} />}
      {files.map((file) => (
        <details key={file.name} open>
          <summary dir="auto">{file.name}</summary>
          <TextView connection={connection} path={filePath(run.id, file)} version={file.digest} />
        </details>
      ))}
      {isRecord(packages) && (
        <details>
          <summary>packages</summary>
          <pre className="mls-code">
            {Object.entries(packages)
              .map(([name, version]) => `${name}==${said(version)}`)
              .join("\n")}
          </pre>
        </details>
      )}
    </div>
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A word as a shell takes it. */
function quoted(word: unknown): string {
  const text = said(word);
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A value of any kind as text. */
export function said(value: unknown): string {
  if (value === null || value === undefined || value === "") return "";
  if (Array.isArray(value)) return value.map(said).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
