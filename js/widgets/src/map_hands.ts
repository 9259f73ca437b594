/**
 * A lasso by finger and a rectangle by keys: the map of samples listens to the mouse alone, so both become what a
 * mouse would do, and select, add and remove as it does.
 */

interface Place {
  x: number;
  y: number;
}

/** A part of the canvas's width and of its height for each press of an arrow; with Shift the longer one. */
const STEP = 0.02;
const STRIDE = 0.1;
/** The map takes one place of the mouse in 10 ms, and forgets what comes between. */
const PAUSE_MS = 25;
const WHEEL_PX = 120;
const INK = "#3b82f6";

const KEYS =
  "Arrows move the cross, with Shift further. Space sets a corner, and then selects what lies in the rectangle: " +
  "with Shift in addition, with Alt no longer. Plus and minus zoom, Escape drops the rectangle.";

const ARROWS: Partial<Record<string, Place>> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};

function move(canvas: HTMLElement, type: "mousedown" | "mousemove" | "mouseup", at: Place, keys: MouseEventInit = {}): void {
  const place = { clientX: at.x, clientY: at.y, buttons: type === "mouseup" ? 0 : 1 };
  canvas.dispatchEvent(new MouseEvent(type, { bubbles: true, cancelable: true, view: window, ...place, ...keys }));
}

/** Has a finger draw; until what is returned is called. */
export function drawByTouch(canvas: HTMLElement): () => void {
  // Else the browser takes the finger for its own after a few pixels, to scroll.
  canvas.style.touchAction = "none";
  const ending = new AbortController();
  const follow = (name: string, type: Parameters<typeof move>[1]): void => {
    const take = (event: Event): void => {
      if (!(event instanceof PointerEvent) || event.pointerType !== "touch" || !event.isPrimary) return;
      move(canvas, type, { x: event.clientX, y: event.clientY });
    };
    canvas.addEventListener(name, take, { signal: ending.signal });
  };
  follow("pointerdown", "mousedown");
  follow("pointermove", "mousemove");
  follow("pointerup", "mouseup");
  follow("pointercancel", "mouseup");
  return () => ending.abort();
}

function element(style: string, text = ""): HTMLElement {
  const made = document.createElement("div");
  made.style.cssText = style;
  made.textContent = text;
  return made;
}

const within = (part: number): number => Math.min(1, Math.max(0, part));

/**
 * Has keys draw a rectangle; until what is returned is called.
 *
 * @param entered called with true when keys take over, and with false when they leave.
 */
export function drawByKeys(canvas: HTMLElement, entered: (byKeys: boolean) => void): () => void {
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-description", KEYS);
  // The notebook would take the arrows for its cells.
  canvas.dataset.lmSuppressShortcuts = "true";
  const cover = element(
    `position: absolute; inset: 0; overflow: hidden; pointer-events: none; display: none; box-shadow: inset 0 0 0 2px ${INK}`,
  );
  cover.setAttribute("aria-hidden", "true");
  const across = element(`position: absolute; left: 0; right: 0; border-top: 1px dashed ${INK}`);
  const upright = element(`position: absolute; top: 0; bottom: 0; border-left: 1px dashed ${INK}`);
  const rectangle = element(`position: absolute; border: 2px solid ${INK}; background: ${INK}22`);
  const told = element(
    "position: absolute; left: 2px; right: 2px; bottom: 2px; padding: 4px 8px; background: #1f2937; color: #ffffff; font-size: 12px",
    KEYS,
  );
  cover.append(across, upright, rectangle, told);
  canvas.parentElement?.append(cover);

  let at: Place = { x: 0.5, y: 0.5 };
  let corner: Place | null = null;
  /** Settled when nothing is drawn: one rectangle waits for the other. */
  let drawn = Promise.resolve();

  const show = (): void => {
    const from = corner ?? at;
    const percent = (part: number): string => `${100 * part}%`;
    across.style.top = percent(at.y);
    upright.style.left = percent(at.x);
    rectangle.style.display = corner ? "" : "none";
    // It covers points.
    told.style.display = corner ? "none" : "";
    rectangle.style.left = percent(Math.min(from.x, at.x));
    rectangle.style.top = percent(Math.min(from.y, at.y));
    rectangle.style.width = percent(Math.abs(from.x - at.x));
    rectangle.style.height = percent(Math.abs(from.y - at.y));
  };

  const place = (part: Place): Place => {
    const box = canvas.getBoundingClientRect();
    return { x: box.left + part.x * box.width, y: box.top + part.y * box.height };
  };

  const draw = async (from: Place, to: Place, keys: MouseEventInit): Promise<void> => {
    const path = [from, { x: to.x, y: from.y }, to, { x: from.x, y: to.y }, from];
    move(canvas, "mousedown", place(from));
    for (const one of path) {
      move(canvas, "mousemove", place(one));
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
    move(canvas, "mouseup", place(from), keys);
  };

  /** Whether the key was one of the map's. */
  const take = (event: KeyboardEvent): boolean => {
    const arrow = ARROWS[event.key];
    if (arrow) {
      const step = event.shiftKey ? STRIDE : STEP;
      at = { x: within(at.x + step * arrow.x), y: within(at.y + step * arrow.y) };
    } else if (event.key === " " || event.key === "Enter") {
      if (corner) {
        const [from, to, keys] = [corner, at, { metaKey: event.shiftKey, altKey: event.altKey }];
        drawn = drawn.then(() => draw(from, to, keys));
      }
      corner = corner ? null : at;
    } else if (event.key === "Escape" && corner) {
      corner = null;
    } else if (event.key === "+" || event.key === "-") {
      const { x, y } = place(at);
      const deltaY = event.key === "+" ? -WHEEL_PX : WHEEL_PX;
      canvas.dispatchEvent(new WheelEvent("wheel", { bubbles: true, cancelable: true, clientX: x, clientY: y, deltaY }));
    } else {
      return false;
    }
    return true;
  };

  const press = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.key === "Tab" || !take(event)) return;
    event.preventDefault();
    event.stopPropagation();
    show();
  };
  // The map drops all that is selected when Escape is let go.
  const release = (event: KeyboardEvent): void => {
    if (event.key === "Escape") event.stopPropagation();
  };
  const enter = (): void => {
    if (!canvas.matches(":focus-visible")) return;
    cover.style.display = "";
    show();
    entered(true);
  };
  const leave = (): void => {
    corner = null;
    cover.style.display = "none";
    entered(false);
  };
  const ending = new AbortController();
  const { signal } = ending;
  canvas.addEventListener("keydown", press, { signal });
  canvas.addEventListener("keyup", release, { signal });
  canvas.addEventListener("focus", enter, { signal });
  canvas.addEventListener("blur", leave, { signal });
  return () => {
    ending.abort();
    cover.remove();
  };
}
