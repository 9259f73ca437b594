import type { ReactNode } from "react";

export interface StopButtonProps {
  stopping: boolean;
  stop: () => Promise<void>;
  /** What it does, in a sentence. */
  effect: string;
}

/** Asks a run or a sweep to end. */
export function StopButton({ stopping, stop, effect }: StopButtonProps): ReactNode {
  return (
    <button
      type="button"
      className="mls-button mls-button-danger"
      disabled={stopping}
      title={effect}
      onClick={() => void stop()}
    >
      {stopping ? "Stopping…" : "Stop"}
    </button>
  );
}
