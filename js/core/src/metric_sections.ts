/** Metrics that are read together share a panel. */
export interface MetricPanel {
  name: string;
  metrics: string[];
}

/** Panels under one heading: those whose names begin with the same "prefix/". */
export interface MetricSection {
  /** The prefix, or "" for the section without one. */
  name: string;
  panels: MetricPanel[];
}

const STAGE = /^(train|training|val|valid|validation|test)[_/.-]/i;
const QUALITY = /(^|[_/.-])(accuracy|acc|f1|precision|recall|auc|auroc|kappa)$/i;
const LOSS = /loss$/i;
/** Bookkeeping goes to the end. */
const LATE = /^(learning_rate|lr([-_].*)?|samples?_per_s(econd)?|.*\/s|epoch)$/i;

/**
 * Orders metrics for display. The first section has what has no prefix, and what several stages have in common
 * ("train/loss" and "val/loss" are one panel): losses, then qualities between 0 and 1, then the others by name.
 * The other sections follow by name, "system" at the end.
 */
export function sectionsOf(names: Iterable<string>): MetricSection[] {
  const sorted = [...names].sort(byStage);
  const stages = new Map<string, number>();
  for (const name of sorted) {
    const base = name.replace(STAGE, "");
    stages.set(base, (stages.get(base) ?? 0) + 1);
  }
  const sections = new Map<string, Map<string, string[]>>();
  for (const name of sorted) {
    const base = name.replace(STAGE, "");
    const prefix = (stages.get(base) ?? 0) > 1 ? "" : prefixOf(name);
    const local = prefix ? name : base;
    const group = prefix ? name : LOSS.test(local) ? "loss" : QUALITY.test(local) ? "accuracy and F1" : local;
    const panels = sections.get(prefix) ?? new Map<string, string[]>();
    sections.set(prefix, panels);
    const members = panels.get(group) ?? [];
    panels.set(group, members);
    members.push(name);
  }
  return [...sections]
    .map(([name, panels]) => ({ name, panels: panelsOf(panels) }))
    .sort((a, b) => sectionRank(a.name) - sectionRank(b.name) || a.name.localeCompare(b.name));
}

function prefixOf(name: string): string {
  const slash = name.indexOf("/");
  // "samples/s" is a unit.
  return slash > 0 && slash < name.length - 2 ? name.slice(0, slash) : "";
}

function panelsOf(groups: Map<string, string[]>): MetricPanel[] {
  const rank = (name: string): number =>
    name === "loss" ? 0 : name === "accuracy and F1" ? 1 : LATE.test(name) ? 3 : 2;
  return [...groups]
    .map(([name, metrics]) => ({ name: metrics.length === 1 ? metrics[0]! : name, metrics, rank: rank(name) }))
    .sort((a, b) => a.rank - b.rank || compare(a.name, b.name))
    .map(({ name, metrics }) => ({ name, metrics }));
}

function sectionRank(name: string): number {
  return name === "" ? 0 : name === "system" ? 2 : 1;
}

function byStage(a: string, b: string): number {
  const stage = (name: string): number => (/^train/i.test(name) ? 0 : /^val/i.test(name) ? 1 : /^test/i.test(name) ? 2 : 3);
  return stage(a) - stage(b) || compare(a, b);
}

/** By code units: 100,000 names are sorted in a moment. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
