import type { LabelingSettings, QueuedSample, Value } from "@modelship-lab/core";
import type { KeyboardEvent, Ref } from "react";
import type { PictureCache } from "../../Picture";

/** What the labeler asks of an editor when keys are pressed. */
export interface EditorHandle {
  /** A class was chosen, by its key or in the list. */
  choose(label: string): void;
  /** Returns true when a key that is none of the labeler's was meant for the editor. */
  press(event: KeyboardEvent): boolean;
}

/** Shows a sample and what is said about it so far, and changes that. */
export interface EditorProps {
  sample: QueuedSample;
  /** The project's classes, in the order of their colors. */
  classes: readonly string[];
  settings: LabelingSettings;
  value: Value;
  change: (value: Value) => void;
  /** Says this about the sample and goes on to the next one. */
  save: (value: Value) => void;
  /** Saves what is said so far, if it can be saved. */
  submit: () => void;
  /** The class that parts get as they are drawn. */
  active: string | null;
  activate: (label: string | null) => void;
  /** Tells those who listen rather than look. */
  announce: (text: string) => void;
  pictures: PictureCache;
  handle: Ref<EditorHandle>;
}
