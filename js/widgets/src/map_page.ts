/**
 * What the map of samples does not do by itself: it takes the color of the page, can be drawn on by touch and by
 * keys, and has a name and a count for those who listen.
 */
import type { AnyWidget } from "@anywidget/types";
import { drawByKeys, drawByTouch } from "./map_hands";

const WHITE = "rgb(255, 255, 255)";
const HEARD_ALONE = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)";

/** The color behind an element: that of the first around it which has one. */
export function groundOf(element: Element | null): string {
  for (let around = element; around; around = around.parentElement) {
    const color = getComputedStyle(around).backgroundColor;
    // What lets something through has four parts.
    if (color.startsWith("rgb(")) return color;
  }
  return WHITE;
}

const widget: AnyWidget = {
  render({ model, el }) {
    el.style.cssText = HEARD_ALONE;
    el.setAttribute("role", "status");
    const say = (): void => {
      el.textContent = String(model.get("told"));
    };
    const set = (name: string, value: unknown): void => {
      if (value === model.get(name)) return;
      model.set(name, value);
      model.save_changes();
    };
    let picture: HTMLCanvasElement | null = null;
    let endings: (() => void)[] = [];
    const find = (): void => {
      const found = el.parentElement?.querySelector("canvas") ?? null;
      if (!found || found === picture) return;
      for (const end of endings) end();
      picture = found;
      picture.setAttribute("aria-label", String(model.get("name")));
      endings = [drawByTouch(picture), drawByKeys(picture, (byKeys) => set("by_keys", byKeys))];
    };
    const look = (): void => {
      if (!el.isConnected) return;
      set("ground", groundOf(el.parentElement));
      find();
    };
    say();
    model.on("change:told", say);
    // It is put on the page after it was made, and so is the picture.
    const frame = requestAnimationFrame(look);
    const timer = setInterval(look, 1000);
    const theme = new MutationObserver(() => requestAnimationFrame(look));
    theme.observe(document.body, { attributes: true });
    return () => {
      model.off("change:told", say);
      cancelAnimationFrame(frame);
      clearInterval(timer);
      theme.disconnect();
      for (const end of endings) end();
    };
  },
};

export default widget;
