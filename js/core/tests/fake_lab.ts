import {
  LabError,
  type Connection,
  classesOf,
  type Label,
  type LabelingSettings,
  type LiveListener,
  type LiveMessage,
  type Method,
  type NewLabel,
  type Progress,
  type Project,
  type Query,
  type Sample,
  type Undo,
  type Value,
  valueOf,
} from "../src/index";

export interface Call {
  method: Method;
  path: string;
  query: Query;
  body: unknown;
}

/** A project of two classes, with what is different about it. */
export function exampleProject(change: Partial<Project> = {}, settings: Partial<LabelingSettings> = {}): Project {
  return {
    id: 3,
    name: "spam",
    task: "text_classification",
    classes: ["ham", "spam"],
    multilabel: false,
    description: "",
    settings: {
      guidelines: "",
      keys: {},
      skip_reasons: [],
      threshold: null,
      class_thresholds: {},
      overlap: 1,
      overlap_share: 1,
      review_share: 0,
      gold_share: 0.05,
      repeat_share: 0,
      random_share: 0.1,
      lease_s: 600,
      retrain_every: null,
      ...settings,
    },
    owner_id: 1,
    is_public: false,
    created_at: "2026-01-01T00:00:00Z",
    updated_at: "2026-01-01T00:00:00Z",
    ...change,
  };
}

/** A labeling project behind the connection interface that keeps the server's promises: keys save once. */
export class FakeLab implements Connection {
  live = true;
  readonly calls: Call[] = [];
  readonly labels: Label[] = [];
  readonly samples: Sample[];
  /** What the next requests meet before they reach the lab, or (`lost`) after they were carried out. */
  readonly trouble: { error: LabError; lost?: boolean; only?: RegExp }[] = [];
  /** While set, requests wait for it. */
  gate: Promise<void> | null = null;
  private readonly listeners = new Map<string, Set<LiveListener>>();
  readonly answers = new Map<string, unknown>();

  constructor(
    count: number,
    readonly project: Project = exampleProject(),
  ) {
    this.samples = Array.from({ length: count }, (_, index) => ({
      id: index + 1,
      project_id: 3,
      status: "unlabeled",
      text: `text ${index + 1}`,
      image: null,
      row: null,
      label: null,
      suggestion: { label: project.classes[1]!, confidence: 0.9, uncertainty: 0.1, source: "run 1" },
    }));
  }

  async request<Answer>(method: Method, path: string, options: { query?: Query; body?: unknown } = {}): Promise<Answer> {
    this.calls.push(structuredClone({ method, path, query: options.query ?? {}, body: options.body }));
    if (this.gate) await this.gate;
    const index = this.trouble.findIndex(({ only }) => !only || only.test(path));
    const trouble = index >= 0 ? this.trouble.splice(index, 1)[0] : undefined;
    if (trouble && !trouble.lost) throw trouble.error;
    const answer = this.answer(method, path, options);
    if (trouble) throw trouble.error;
    return structuredClone(answer) as Answer;
  }

  subscribe(topic: string, listener: LiveListener): () => void {
    const group = this.listeners.get(topic) ?? new Set();
    this.listeners.set(topic, group.add(listener));
    return () => group.delete(listener);
  }

  tell(topic: string, message: LiveMessage): void {
    for (const listener of this.listeners.get(topic) ?? []) listener(message);
  }

  text(path: string): Promise<string> {
    return this.request<string>("GET", path);
  }

  fileUrl(path: string): Promise<string> {
    return Promise.resolve(`/${path}`);
  }

  imageUrl(digest: string): Promise<string> {
    return Promise.resolve(`/blobs/${digest}`);
  }

  close(): void {
    this.listeners.clear();
  }

  /** The bodies of all requests to save labels, in order. */
  saves(): NewLabel[][] {
    return this.calls
      .filter((call) => call.method === "POST" && call.path === "projects/3/labels")
      .map((call) => (call.body as { labels: NewLabel[] }).labels);
  }

  private answer(method: Method, path: string, options: { query?: Query; body?: unknown }): unknown {
    const prepared = this.answers.get(`${method} ${path}`);
    if (prepared !== undefined) {
      if (prepared instanceof LabError) throw prepared;
      return typeof prepared === "function" ? (prepared as (options: unknown) => unknown)(options) : prepared;
    }
    switch (`${method} ${path}`) {
      case "GET projects/3":
        return this.project;
      case "GET projects/3/progress":
        return this.progress();
      case "GET projects/3/queue": {
        const exclude = new Set((options.query?.exclude as number[] | undefined) ?? []);
        const open = this.samples.filter((sample) => sample.status === "unlabeled");
        return {
          samples: open.filter((sample) => !exclude.has(sample.id)).slice(0, Number(options.query?.limit)),
          remaining: open.length,
        };
      }
      case "GET projects/3/samples": {
        const items = this.samples.filter((sample) => sample.status === options.query?.status);
        return { items, total: items.length, limit: 200, offset: 0 };
      }
      case "POST projects/3/queue/release":
        return { count: 0 };
      case "POST projects/3/labels":
        return this.save((options.body as { labels: NewLabel[] }).labels);
      case "POST projects/3/labels/undo":
        return this.undo(options.body as Undo);
    }
    const id = /^samples\/(\d+)$/.exec(path)?.[1];
    const sample = this.samples.find((one) => one.id === Number(id));
    if (sample) return sample;
    throw new LabError(404, "NOT_FOUND", `There is no ${path}.`);
  }

  private save(labels: NewLabel[]): unknown {
    const classes = this.project.classes;
    for (const label of labels) {
      const strange = classesOf(label).find((name) => !classes.includes(name));
      const missing = label.action === "label" && valueOf(label) === null;
      if (strange || missing) throw new LabError(422, "INVALID_INPUT", `${strange} is no class of this project.`);
    }
    let saved = 0;
    const answer = labels.map((label) => {
      const known = this.labels.find((other) => other.key === label.key);
      if (known) return known;
      saved++;
      const made: Label = {
        ...label,
        id: this.labels.length + 1,
        project_id: 3,
        author: "me",
        undone: false,
        created_at: "2026-01-01T00:00:00Z",
      };
      this.labels.push(made);
      const sample = this.samples[label.sample_id - 1]!;
      if (label.action === "note") {
        sample.note = label.note;
        return made;
      }
      sample.status = ({ label: "labeled", skip: "skipped", flag: "flagged" } as const)[label.action];
      Object.assign(sample, NOTHING, valueOf(label));
      return made;
    });
    return { saved, duplicates: labels.length - saved, labels: answer, progress: this.progress() };
  }

  private undo({ label_id = null }: Undo): unknown {
    const label =
      label_id === null
        ? [...this.labels].reverse().find((other) => !other.undone)
        : this.labels.find((other) => other.id === label_id);
    if (!label) throw new LabError(404, "NOT_FOUND", "There is nothing to undo.");
    if (label.undone) throw new LabError(409, "CONFLICT", "This label was undone before.");
    label.undone = true;
    const sample = this.samples[label.sample_id - 1]!;
    sample.status = "unlabeled";
    Object.assign(sample, NOTHING);
    return { label, sample, progress: this.progress() };
  }

  private progress(): Progress {
    const count = (status: string): number => this.samples.filter((sample) => sample.status === status).length;
    const by_class: Record<string, number> = {};
    for (const sample of this.samples) {
      for (const name of classesOf(sample)) by_class[name] = (by_class[name] ?? 0) + 1;
    }
    return {
      total: this.samples.length,
      labeled: count("labeled"),
      skipped: count("skipped"),
      flagged: count("flagged"),
      unlabeled: count("unlabeled"),
      by_class,
      seconds_per_label: 2,
      remaining_s: 2 * count("unlabeled"),
    };
  }
}

const NOTHING: Required<Value> = { label: null, labels: null, spans: null, boxes: null, number: null };

export const away = (): LabError => new LabError(0, "UNREACHABLE", "The lab server did not answer.");

/** A storage of its own for each test. */
export function memoryStorage(): Storage {
  const items = new Map<string, string>();
  return {
    get length() {
      return items.size;
    },
    key: (index) => [...items.keys()][index] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
    clear: () => items.clear(),
  };
}
