import type { Kind, Project, Purpose, Value } from "./records";

/** For these a sample is shown without its label and suggestion. */
export const BLIND: ReadonlySet<Purpose> = new Set(["overlap", "audit", "repeat", "gold"]);

/** What is said about a sample of a project. */
export function kindOf(project: Pick<Project, "task" | "multilabel">): Kind {
  if (project.task === "token_classification") return "spans";
  if (project.task === "object_detection") return "boxes";
  return project.multilabel ? "labels" : "label";
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

/** What is said of a sample alone, without whatever else is known of it; null where nothing is said. */
export function valueOf(said: Value | null | undefined): Value | null {
  if (said?.label != null) return { label: said.label };
  if (said?.labels) return { labels: said.labels };
  if (said?.spans) return { spans: said.spans };
  return said?.boxes ? { boxes: said.boxes } : null;
}
