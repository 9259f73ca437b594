/** The client of the AI Manager API. */
export { AIManagerError, type FieldProblem } from "./errors.js";
export type { CallOptions, Fetch } from "./http.js";
export { AIManager, type AIManagerOptions, type Metrics, type PageOptions, type Projects, type Runs } from "./manager.js";
export type * from "./records.js";
export type { FinishOptions, LogOptions, Run } from "./run.js";
export type { WatchOptions, WebSocketClass } from "./watch.js";
