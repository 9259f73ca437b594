/**
 * The records that the lab server sends and takes, as `modelship_lab/records` defines them.
 *
 * Times are ISO 8601 strings in UTC; durations carry their unit in the name.
 */

export type Task = "text_classification" | "image_classification" | "tabular_classification";

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
  | "suggestions.saved"
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

export interface Project {
  id: number;
  name: string;
  /** Null, with no classes, when the project is not one of labeling. */
  task: Task | null;
  classes: string[];
  description: string;
  owner_id: number;
  is_public: boolean;
  created_at: string;
  updated_at: string;
}

export type SampleStatus = "unlabeled" | "labeled" | "skipped" | "flagged";

export interface Suggestion {
  label: string;
  confidence: number;
  uncertainty: number;
  source: string;
}

export type CellValue = string | number | boolean | null;

/** One thing to be labeled. Exactly one of text, image and row is there. */
export interface Sample {
  id: number;
  project_id: number;
  status: SampleStatus;
  text: string | null;
  /** The content address of the encoded image. */
  image: string | null;
  row: Record<string, CellValue> | null;
  label: string | null;
  suggestion: Suggestion | null;
}

export type QueueOrder = "uncertainty" | "random" | "sequential";

export interface Queue {
  samples: Sample[];
  /** Unlabeled samples in the project, those in `samples` included. */
  remaining: number;
}

export type LabelAction = "label" | "skip" | "flag";
export type LabelSource = "human" | "import" | "rule" | "model";

export interface NewLabel {
  sample_id: number;
  action: LabelAction;
  label: string | null;
  /** The same key saves once, however often it is sent. */
  key: string;
  duration_ms: number | null;
  source: LabelSource;
}

export interface Label {
  id: number;
  project_id: number;
  sample_id: number;
  action: LabelAction;
  label: string | null;
  source: LabelSource;
  author: string;
  duration_ms: number | null;
  key: string;
  undone: boolean;
  created_at: string;
}

export interface Progress {
  total: number;
  labeled: number;
  skipped: number;
  flagged: number;
  unlabeled: number;
  by_class: Record<string, number>;
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

export interface Undo {
  label_id: number | null;
  key: string;
}

export interface Undone {
  label: Label;
  sample: Sample;
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

export interface Evaluation {
  task: Task;
  classes: string[];
  rows: number;
  accuracy: number;
  macro_f1: number;
  log_loss: number;
  baseline_accuracy: number;
  /** Row: actual class, column: predicted class. */
  confusion: number[][];
  per_class: ClassReport[];
  roc: Curve[];
  precision_recall: Curve[];
  worst: WorstError[];
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
  prediction: string;
  /** In the order of the deployment's classes. */
  probabilities: number[];
  confidence: number;
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
