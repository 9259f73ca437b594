import { useEffect, useState } from "react";

/** Calls `changed` whenever the page's theme does, until what it returns is called. */
export function watchTheme(changed: () => void): () => void {
  const observer = new MutationObserver(changed);
  const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light", "class", "data-vscode-theme-kind"];
  observer.observe(document.body, { attributes: true, attributeFilter });
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    preference.removeEventListener("change", changed);
  };
}

/** Changes whenever the page's theme does. */
export function useTheme(): number {
  const [theme, setTheme] = useState(0);
  useEffect(() => watchTheme(() => setTheme((count) => count + 1)), []);
  return theme;
}

/** CSS colors as a canvas understands them, in the theme that `element` has now. */
export class Colors {
  private readonly known = new Map<string, string>();

  constructor(private readonly element: HTMLElement) {}

  get(color: string): string {
    let value = this.known.get(color);
    if (value === undefined) {
      const probe = document.createElement("span");
      probe.style.color = color;
      this.element.append(probe);
      value = getComputedStyle(probe).color || color;
      probe.remove();
      this.known.set(color, value);
    }
    return value;
  }
}
