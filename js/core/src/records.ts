/**
 * The records that the lab server sends and takes, as `modelship_lab/records` defines them.
 *
 * Times are ISO 8601 strings in UTC; durations carry their unit in the name.
 */

export type Task =
  | "text_classification"
  | "image_classification"
  | "tabular_classification"
  | "token_classification"
  | "object_detection"
  | "text_regression"
  | "image_regression"
  | "tabular_regression";

export interface Page<Item> {
  items: Item[];
  total: number;
  limit: number;
  offset: number;
}

export interface LabInfo {
  lab_id: string;
  account_id: number;
  version: string;
  url: string;
  pid: number | null;
  data_dir: string | null;
  database_version: number;
  started_at: string;
  refused_rows: number;
  lacks_room: boolean;
}

export type EventType =
  | "project.created"
  | "project.changed"
  | "project.deleted"
  | "import.progress"
  | "import.finished"
  | "import.failed"
  | "labels.saved"
  | "labels.undone"
  | "requests.added"
  | "requests.withdrawn"
  | "suggestions.saved"
  | "job.created"
  | "job.started"
  | "job.progress"
  | "job.finished"
  | "job.failed"
  | "job.cancelled"
  | "snapshot.created"
  | "run.created"
  | "run.changed"
  | "run.stop_requested"
  | "run.deleted"
  | "artifact.saved"
  | "artifact.deleted"
  | "bundle.saved"
  | "model.registered"
  | "model.stage_changed"
  | "model.deleted"
  | "deployment.created"
  | "deployment.starting"
  | "deployment.ready"
  | "deployment.failed"
  | "deployment.restarted"
  | "deployment.deleted";

/** One thing that happened; `topic` is what it is about: `project:3`, `run:12`, `deployment:4`. */
export interface LabEvent {
  id: number;
  type: EventType;
  topic: string;
  payload: Record<string, unknown>;
  author: string;
  owner_id: number;
  created_at: string;
}

/** What is said about a sample: a project has one kind, see `kindOf`. */
export type Kind = "label" | "labels" | "spans" | "boxes" | "number";

/** A stretch of a text with its class; the places count Unicode code points. */
export interface Span {
  start: number;
  /** One past the last character. */
  end: number;
  label: string;
}

/** A rectangle in an image with its class; all figures are fractions of the image's width or height. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
  label: string;
}

/** At most one of these is given: that of the project's kind. An empty list says that there is none. */
export interface Value {
  label?: string | null;
  labels?: string[] | null;
  spans?: Span[] | null;
  boxes?: Box[] | null;
  number?: number | null;
}

/** How a project is labeled. */
export interface LabelingSettings {
  /** What labelers should know, in Markdown. */
  guidelines: string;
  /** Keys of classes, one or two characters; the others get theirs by themselves. */
  keys: Record<string, string>;
  skip_reasons: string[];
  /** From this confidence on, suggestions become labels by themselves; null: never. */
  threshold: number | null;
  class_thresholds: Record<string, number>;
  overlap: number;
  overlap_share: number;
  review_share: number;
  gold_share: number;
  repeat_share: number;
  random_share: number;
  lease_s: number;
  retrain_every: number | null;
  /** What numbers are counted in; a server of an earlier version knows no numbers. */
  unit?: string;
  lowest?: number | null;
  highest?: number | null;
}

export interface Project {
  id: number;
  name: string;
  /** Null, with no classes, when the project is not one of labeling. */
  task: Task | null;
  classes: string[];
  /** Any number of classes may apply to a sample. */
  multilabel: boolean;
  description: string;
  settings: LabelingSettings;
  owner_id: number;
  is_public: boolean;
  created_at: string;
  updated_at: string;
}

/** `auto`: a model or rule labeled it by itself; nobody has looked at it yet. */
export type SampleStatus = "unlabeled" | "labeled" | "auto" | "skipped" | "flagged";

/** What a model, rule or person proposes for a sample. */
export interface Suggestion extends Value {
  confidence: number;
  uncertainty: number;
  source: string;
}

export type CellValue = string | number | boolean | null;

/** One thing to be labeled, with what counts as its label. Exactly one of text, image and row is there. */
export interface Sample extends Value {
  id: number;
  project_id: number;
  status: SampleStatus;
  text: string | null;
  /** The content address of the encoded image. */
  image: string | null;
  row: Record<string, CellValue> | null;
  /** Samples of one group belong together: they never lie in two splits. */
  group?: string | null;
  /** What it was called where it came from. */
  name?: string | null;
  split?: string | null;
  /** The newest note about it. */
  note?: string | null;
  suggestion: Suggestion | null;
}

/** Which samples of a project are meant; every condition that is given must hold. */
export interface SampleFilter {
  status?: SampleStatus[];
  label?: string | null;
  suggested?: string | null;
  search?: string;
  source?: LabelSource | null;
  origin?: string | null;
  author?: string | null;
  group?: string | null;
  split?: string | null;
  import_id?: number | null;
  min_confidence?: number | null;
  max_confidence?: number | null;
  /** Whether the suggestion is too unsure to become a label by itself. */
  below_threshold?: boolean | null;
  noted?: boolean | null;
  selection?: string | null;
  ids?: number[] | null;
  /** None of these. */
  excluded?: number[] | null;
}

export type SampleColumn =
  | "id"
  | "status"
  | "label"
  | "confidence"
  | "uncertainty"
  | "length"
  | "name"
  | "group"
  | "updated_at";

/** In which order samples are listed. */
export interface SampleOrder {
  by: SampleColumn;
  descending: boolean;
}

export interface SampleCount {
  count: number;
}

/** Samples that are remembered under a name. */
export interface NewSelection {
  name: string;
  samples: SampleFilter;
}

export interface SampleSelection extends NewSelection {
  project_id: number;
  count: number;
}

export type QueueOrder =
  | "uncertainty"
  | "margin"
  | "entropy"
  | "diversity"
  | "random"
  | "sequential"
  | "below_threshold";

/** Why a decision is asked for, see `records/labeling/queue.py`. */
export type Purpose =
  | "label"
  | "overlap"
  | "review"
  | "adjudication"
  | "audit"
  | "repeat"
  | "gold"
  | "error"
  | "request";

/** A sample that is handed out, and why this one. */
export interface QueuedSample extends Sample {
  purpose?: Purpose;
  /** For people: `confidence 52 %`, `random`, `ann and ben disagree`. */
  reason?: string;
  /** What there is to say about that: what each of them said, what somebody asked. */
  detail?: string;
}

export interface Queue {
  samples: QueuedSample[];
  /** Unlabeled samples in the project, those in `samples` included. */
  remaining: number;
  /** Samples that are asked for by purpose, for this caller. */
  waiting?: Partial<Record<Purpose, number>>;
}

/** Samples to be sent to the queue, so that somebody looks at them (again). */
export interface NewRequests {
  samples: SampleFilter;
  purpose?: "review" | "audit" | "repeat" | "error" | "request";
  detail?: string;
  at_most?: number | null;
}

export interface SavedRequests {
  added: number;
  waiting: number;
  batch: string;
}

/** A note says something about a sample and decides nothing. */
export type LabelAction = "label" | "skip" | "flag" | "note";
export type LabelSource = "human" | "import" | "gold" | "rule" | "model";

/** What is decided about a sample, and how that came about; what is left out has its default. */
export interface Decision extends Value {
  action: LabelAction;
  /** Why it was skipped or flagged, or what there is to say about the sample. */
  note?: string;
  source: LabelSource;
  /** What made an automatic label: a model version, a rule. */
  origin?: string;
  confidence?: number | null;
  purpose?: Purpose;
}

export interface NewLabel extends Decision {
  sample_id: number;
  /** The same key saves once, however often it is sent. */
  key: string;
  duration_ms: number | null;
}

export interface Label extends Decision {
  id: number;
  project_id: number;
  sample_id: number;
  author: string;
  duration_ms: number | null;
  key: string;
  /** What it was saved together with in one act. */
  batch?: string;
  undone: boolean;
  created_at: string;
}

export interface Progress {
  total: number;
  /** By people, or imported. */
  labeled: number;
  /** By models and rules, that nobody has looked at. */
  auto?: number;
  skipped: number;
  flagged: number;
  unlabeled: number;
  by_class: Record<string, number>;
  auto_by_class?: Record<string, number>;
  /** Median of the last 100 human labels. */
  seconds_per_label: number | null;
  remaining_s: number | null;
}

export interface SavedLabels {
  saved: number;
  duplicates: number;
  labels: Label[];
  progress: Progress;
}

/** One decision about many samples at once; one undo takes it back. */
export interface NewBulk extends Decision {
  samples: SampleFilter;
  /** How many the caller was told that these are: if others came in between, nothing is saved. */
  expected?: number | null;
  key: string;
}

export interface SavedBulk {
  saved: number;
  /** Names the act, to undo it. */
  batch: string;
  progress: Progress;
}

/** Undo the caller's newest act, or the decision or batch named. */
export interface Undo {
  label_id?: number | null;
  batch?: string | null;
  key: string;
}

/** The act that was taken back: its newest decision, that decision's sample, and how many decisions it was. */
export interface Undone {
  label: Label;
  sample: Sample;
  count?: number;
  progress: Progress;
}

/** `unreachable`: not heard of for a while, and nobody can know whether its process lives. */
export type RunStatus = "running" | "unreachable" | "finished" | "failed" | "stopped" | "interrupted";

export interface Run {
  id: number;
  name: string;
  project_id: number | null;
  project: string | null;
  recipe: string;
  /** The run of which this one is a part. */
  parent_id: number | null;
  group: string;
  /** How many runs are parts of this one. */
  children: number;
  status: RunStatus;
  params: Record<string, unknown>;
  tags: string[];
  notes: string;
  snapshot_id: number | null;
  environment: Record<string, unknown>;
  summary: Record<string, number>;
  error: string;
  bundle: string | null;
  stop_requested: boolean;
  /** Whether its process says every few seconds that it lives. */
  heartbeats: boolean;
  owner_id: number;
  /** Whether its project is. */
  is_public: boolean;
  started_at: string;
  ended_at: string | null;
  heartbeat_at: string;
  updated_at: string;
}

/** What else tells a series from others of its name: `{subset: "val"}`. */
export type Context = Record<string, string>;

/** A stored value that is no number, and where. */
export interface NonFinite {
  step: number;
  time: number;
  kind: "nan" | "inf" | "-inf";
}

/** Points as they follow live; `times` in seconds since the Unix epoch, null for values that are no number. */
export interface Points {
  steps: number[];
  values: (number | null)[];
  times: number[];
  nonfinite?: NonFinite[];
}

export interface SeriesPoints extends Points {
  name: string;
  context: Context;
}

/**
 * One metric of a run in one context, in the order of the axis that was asked for: single points, or (`reduced`)
 * ranges of equal width with the mean, smallest and largest value and the number of points of each.
 */
export interface Series extends SeriesPoints {
  /** Where the points stand on the axis, if that is another metric. */
  x: number[] | null;
  low: (number | null)[] | null;
  high: (number | null)[] | null;
  counts: number[] | null;
  /** The first of them. */
  nonfinite: NonFinite[];
  nonfinite_count: number;
  /** How many points are stored in the stretch that was asked for. */
  points: number;
  reduced: boolean;
}

export interface Metrics {
  series: Series[];
  /** Number of the newest batch of this run that is in here. */
  sequence: number;
}

/** What became of one series of a run. */
export interface MetricSummary {
  name: string;
  context: Context;
  last: number | null;
  last_step: number;
  count: number;
}

export type ArtifactKind = "file" | "image" | "table" | "figure" | "text";

export interface Artifact {
  id: number;
  run_id: number;
  name: string;
  kind: ArtifactKind;
  step: number | null;
  caption: string;
  size: number;
  digest: string;
  content_type: string;
  created_at: string;
}

export interface TableRows {
  columns: string[];
  rows: unknown[][];
  total: number;
}

export interface ClassReport {
  label: string;
  precision: number;
  recall: number;
  f1: number;
  support: number;
}

export interface Curve {
  label: string;
  x: number[];
  y: number[];
  area: number;
}

export interface WorstError {
  sample_id: number;
  actual: string;
  predicted: string;
  confidence: number;
  preview: string;
}

/** How often the model is right when it is so sure, by bins. */
export interface Calibration {
  error: number;
  confidence: number[];
  accuracy: number[];
  rows: number[];
}

/** Held-out rows with something in common in which the model does worse than in all. */
export interface Slice {
  name: string;
  rows: number;
  score: number;
  low: number;
  high: number;
}

/** What a simpler model reaches on the same rows. */
export interface Baseline {
  name: string;
  accuracy: number | null;
  macro_f1: number | null;
  mae: number | null;
  train_rows: number;
  seconds: number;
}

export interface Evaluation {
  task: Task;
  kind?: "label" | "labels" | "number";
  classes: string[];
  /** What numbers and their errors are counted in. */
  unit?: string;
  rows: number;
  accuracy: number | null;
  macro_f1: number | null;
  log_loss: number | null;
  baseline_accuracy: number | null;
  mae?: number | null;
  rmse?: number | null;
  r2?: number | null;
  median_absolute_error?: number | null;
  baseline_mae?: number | null;
  micro_f1?: number | null;
  hamming_loss?: number | null;
  /** Of numbers: the actual and the predicted one of some rows. */
  pairs?: [number, number][];
  /** Row: actual class, column: predicted class. */
  confusion: number[][];
  per_class: ClassReport[];
  roc: Curve[];
  precision_recall: Curve[];
  worst: WorstError[];
  calibration?: Calibration | null;
  slices?: Slice[];
  baselines?: Baseline[];
}

export interface TextHashing {
  kind: "text_hashing";
  buckets: number;
  max_ngram: number;
  max_length: number;
  lowercase: boolean;
}

export interface ImageScaling {
  kind: "image_scaling";
  height: number;
  width: number;
  channels: 1 | 3;
}

export interface TableEncoding {
  kind: "table_encoding";
  features: string[];
  numeric: string[];
  categories: Record<string, string[]>;
  typical: Record<string, number | string | null>;
}

export type Preprocessing = TextHashing | ImageScaling | TableEncoding;

export interface BundleManifest {
  task: Task;
  classes: string[];
  preprocessing: Preprocessing;
  metrics: Record<string, number>;
}

export type Stage = "None" | "Staging" | "Production" | "Archived";

export interface ModelVersion {
  id: number;
  model_id: number;
  model: string;
  version: number;
  owner_id: number;
  /** As its model is. */
  is_public: boolean;
  stage: Stage;
  description: string;
  tags: string[];
  run_id: number;
  snapshot_id: number | null;
  project_id: number | null;
  bundle: string;
  manifest: BundleManifest;
  metrics: Record<string, number>;
  created_at: string;
}

export type DeploymentStatus = "starting" | "ready" | "failed" | "stopped";

export interface DeploymentVersion {
  version: number;
  model: string;
  status: DeploymentStatus;
  is_current: boolean;
  created_at: string;
}

export interface Deployment {
  id: number;
  name: string;
  owner_id: number;
  is_public: boolean;
  status: DeploymentStatus;
  /** `model-name/version` that is served now. */
  model: string;
  version: number;
  task: Task;
  classes: string[];
  /** Base address of the model worker; null until it is ready. */
  address: string | null;
  key: string | null;
  restarts: number;
  error: string;
  cold_start_ms: Record<string, number>;
  versions: DeploymentVersion[];
  created_at: string;
  updated_at: string;
}

export type JobKind = "light_model" | "embeddings" | "label_errors" | "training" | "export";
export type JobStatus = "waiting" | "running" | "finished" | "failed" | "cancelled";

/** One piece of work that goes on in a process of its own, and how far it is. */
export interface Job {
  id: number;
  kind: JobKind;
  project_id: number | null;
  project: string | null;
  author: string;
  status: JobStatus;
  /** While it waits: how many come before it. */
  position: number | null;
  cancel_requested: boolean;
  /** From 0 to 1. */
  progress: number;
  /** What it is at, for people. */
  message: string;
  run_id: number | null;
  estimated_end_at: string | null;
  error: string;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
}

/** One line of a job's log. */
export interface LogLine {
  time: string;
  level: "DEBUG" | "INFO" | "WARNING" | "ERROR";
  message: string;
}

/** One input: text, `{image: base64}`, or a row by feature name. */
export type PredictInput = string | { image: string } | Record<string, CellValue>;

/** Shapley values of one prediction; they sum to `probability - base`. */
export interface Attribution {
  label: string;
  method: string;
  base: number;
  probability: number;
  /** Tokens in order, names of features, or image regions `x0,y0,x1,y1` in pixels. */
  parts: string[];
  values: number[];
}

export interface Prediction {
  /** The class, all classes that apply, or the number. */
  prediction: string | string[] | number;
  /** In the order of the deployment's classes; none of a number. */
  probabilities: number[];
  /** Null of a number. */
  confidence: number | null;
  explanation: Attribution | null;
  model_version: string;
  response_time_ms: number;
}

export interface WindowMetrics {
  time: string;
  requests: number;
  errors: number;
  rows: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

export interface DeploymentMetrics {
  deployment_id: number;
  window_s: number;
  total: WindowMetrics;
  /** One entry a second, oldest first. */
  series: WindowMetrics[];
}
