import type { Kind, LabelingSettings, Project, Purpose, Task, Value } from "./records";

/** For these a sample is shown without its label and suggestion. */
export const BLIND: ReadonlySet<Purpose> = new Set(["overlap", "audit", "repeat", "gold"]);

/** What is said about a sample of a project. */
export function kindOf(project: Pick<Project, "task" | "multilabel">): Kind {
  if (project.task === "token_classification") return "spans";
  if (project.task === "object_detection") return "boxes";
  if (project.task?.endsWith("_regression")) return "number";
  return project.multilabel ? "labels" : "label";
}

/** What the samples of a task are. */
export function mediumOf(task: Task): "text" | "image" | "table" {
  if (task.startsWith("tabular")) return "table";
  return task.startsWith("image") || task === "object_detection" ? "image" : "text";
}

/** Why a number cannot be saved as a label; empty if it can. */
export function numberProblem(number: number | null | undefined, settings: LabelingSettings): string {
  const { lowest, highest } = settings;
  if (number == null) return "Type a number first.";
  if (lowest != null && number < lowest) return `${number} is below ${lowest}, the lowest of this project.`;
  if (highest != null && number > highest) return `${number} is above ${highest}, the highest of this project.`;
  return "";
}

/** Whether any suggestion can become a label by itself. */
export function hasThreshold({ settings }: Pick<Project, "settings">): boolean {
  return settings.threshold !== null || Object.keys(settings.class_thresholds).length > 0;
}

/** The classes that occur, each once. */
export function classesOf(value: Value): string[] {
  if (value.label != null) return [value.label];
  return [...new Set(value.labels ?? (value.spans ?? value.boxes ?? []).map((part) => part.label))];
}

/** The classes that are said, or the number. */
export function saidIn(value: Value): string {
  return value.number != null ? String(value.number) : classesOf(value).join(", ");
}

/** What is said of a sample alone, without whatever else is known of it; null where nothing is said. */
export function valueOf(said: Value | null | undefined): Value | null {
  if (said?.label != null) return { label: said.label };
  if (said?.labels) return { labels: said.labels };
  if (said?.spans) return { spans: said.spans };
  if (said?.number != null) return { number: said.number };
  return said?.boxes ? { boxes: said.boxes } : null;
}
