import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";

// jsdom has no screen: nothing matches, nothing is ever resized or scrolled into view.
window.matchMedia = (media) =>
  ({ media, matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }) as unknown as MediaQueryList;
class Nothing {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}
globalThis.ResizeObserver = Nothing;
globalThis.IntersectionObserver = Nothing as unknown as typeof IntersectionObserver;

afterEach(cleanup);
