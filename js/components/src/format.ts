const COUNT = new Intl.NumberFormat("en-US");

/** 12,345 */
export function count(value: number): string {
  return COUNT.format(value);
}

/** A metric's value with about four significant digits: 0.9213, 12.4, 3.2e-5, 1,204. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3) return Number(value.toPrecision(3)).toExponential();
  if (size >= 1e6) return Number(value.toPrecision(4)).toExponential();
  if (size >= 1000) return COUNT.format(Math.round(value));
  return String(Number(value.toPrecision(4)));
}

/** A share as percent with one digit, two just below 100, none at the ends: 0%, 70.0%, 99.95%. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  const value = share * 100;
  const digits = value > 99.5 && value < 100 ? 2 : value === 0 || value === 100 ? 0 : 1;
  return `${value.toFixed(digits)}%`;
}

/** 4.2 ms, 310 ms, 1.25 s */
export function milliseconds(value_ms: number | null | undefined): string {
  if (value_ms === null || value_ms === undefined) return "–";
  if (value_ms >= 1000) return `${(value_ms / 1000).toFixed(2)} s`;
  return value_ms >= 100 ? `${Math.round(value_ms)} ms` : `${Number(value_ms.toPrecision(2))} ms`;
}

/** 8 s, 3 min 20 s, 2 h 5 min, 3 d 4 h */
export function duration(value_s: number): string {
  const seconds = Math.max(0, Math.round(value_s));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long ago a moment was, in one unit: just now, 5 min ago, 3 h ago, 2 d ago. */
export function ago(time: string, now_ms = Date.now()): string {
  const seconds = Math.max(0, (now_ms - Date.parse(time)) / 1000);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

/** 1 range, 12 ranges, 1,200 ranges */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A value of any kind as text; null where there is none. */
export function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : figure(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}
