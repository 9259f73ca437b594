import type { Progress } from "@modelship-lab/core";
import type { ReactNode } from "react";
import { count, duration, percent } from "../format";

/** How far the labeling is, as a bar and in words. */
export function ProgressView({ progress }: { progress: Progress | null }): ReactNode {
  const total = Math.max(1, progress?.total ?? 1);
  const share = (amount: number | undefined): string => `${((amount ?? 0) / total) * 100}%`;
  const auto = progress?.auto ?? 0;
  const decided = progress ? progress.labeled + auto + progress.skipped + progress.flagged : 0;
  return (
    <div className="mls-progress">
      <div
        className="mls-bar"
        role="progressbar"
        aria-label="Decided samples"
        aria-valuemin={0}
        aria-valuemax={progress?.total ?? 0}
        aria-valuenow={decided}
      >
        <span className="mls-bar-labeled" style={{ width: share(progress?.labeled) }} />
        <span className="mls-bar-auto" style={{ width: share(auto) }} />
        <span className="mls-bar-skipped" style={{ width: share(progress?.skipped) }} />
        <span className="mls-bar-flagged" style={{ width: share(progress?.flagged) }} />
      </div>
      {progress && (
        <div className="mls-facts">
          <span>
            <strong className="mls-number">{count(progress.labeled)}</strong> of {count(progress.total)} labeled (
            {percent(progress.labeled / total)})
          </span>
          {auto > 0 && (
            <span className="mls-fact-auto" title="Labeled by models and rules; nobody has looked at them yet">
              <strong className="mls-number">{count(auto)}</strong> automatic
            </span>
          )}
          {progress.skipped > 0 && (
            <span className="mls-fact-skipped">
              <strong className="mls-number">{count(progress.skipped)}</strong> skipped
            </span>
          )}
          {progress.flagged > 0 && (
            <span className="mls-fact-flagged">
              <strong className="mls-number">{count(progress.flagged)}</strong> flagged
            </span>
          )}
          <span className="mls-spring" />
          {progress.seconds_per_label !== null && (
            <span>
              <strong className="mls-number">{progress.seconds_per_label.toFixed(1)}</strong> s per label
            </span>
          )}
          {progress.remaining_s !== null && progress.unlabeled > 0 && (
            <span>
              about <strong>{duration(roughly(progress.remaining_s))}</strong> left
            </span>
          )}
        </div>
      )}
    </div>
  );
}

/** An estimate does not know the seconds of an hour. */
function roughly(value_s: number): number {
  return value_s > 300 ? Math.round(value_s / 60) * 60 : value_s;
}
