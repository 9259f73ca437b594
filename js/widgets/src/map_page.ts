/** What the map of samples does not do by itself: it takes the color of the page, and has a name for those who listen. */
import type { AnyWidget } from "@anywidget/types";

const WHITE = "rgb(255, 255, 255)";

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
    el.style.display = "none";
    const tell = (): void => {
      const ground = groundOf(el.parentElement);
      if (ground === model.get("ground")) return;
      model.set("ground", ground);
      model.save_changes();
    };
    const find = (): void => {
      const picture = el.parentElement?.querySelector("canvas");
      if (!picture || picture.hasAttribute("aria-label")) return;
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", String(model.get("name")));
    };
    const look = (): void => {
      if (!el.isConnected) return;
      tell();
      find();
    };
    // It is put on the page after it was made, and so is the picture.
    const frame = requestAnimationFrame(look);
    const timer = setInterval(look, 1000);
    const theme = new MutationObserver(() => requestAnimationFrame(look));
    theme.observe(document.body, { attributes: true });
    return () => {
      cancelAnimationFrame(frame);
      clearInterval(timer);
      theme.disconnect();
    };
  },
};

export default widget;
