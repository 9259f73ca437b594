/** Drawing takes at most so much of one frame; what is left is drawn in the next ones. */
const BUDGET_MS = 7;

const due = new Set<() => void>();
let asked = false;

/**
 * Draws in the next animation frame, or one soon after: all charts of the page share one loop, which leaves time
 * for everything else. A page that is hidden has no frames, so nothing is drawn on it.
 */
export function drawSoon(draw: () => void): void {
  due.add(draw);
  if (asked) return;
  asked = true;
  requestAnimationFrame(drawDue);
}

/** Takes back what was asked for. */
export function drawNot(draw: () => void): void {
  due.delete(draw);
}

function drawDue(): void {
  const end = performance.now() + BUDGET_MS;
  for (const draw of [...due]) {
    due.delete(draw);
    draw();
    if (performance.now() > end) break;
  }
  asked = due.size > 0;
  if (asked) requestAnimationFrame(drawDue);
}
