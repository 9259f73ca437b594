/** Shows runs somewhere else, e.g. in a tab of their own. */
export interface RunOpener {
  runs(runIds: number[]): void;
  comparison(runIds: number[]): void;
}
