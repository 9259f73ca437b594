/** Width and height in pixels of the screen, or of an image. */
export interface Size {
  width: number;
  height: number;
}

/** How an image lies in its place: 1 fits into it; `x` and `y` from middle to middle, in pixels of the screen. */
export interface Zoom {
  scale: number;
  x: number;
  y: number;
}

export const FIT: Zoom = { scale: 1, x: 0, y: 0 };

const LARGEST = 40;
/** So much of an image stays in sight, in pixels of the screen. */
const IN_SIGHT = 40;

/** The size of an image that just fits into its place. */
export function fitted(image: Size, place: Size): Size {
  const factor = Math.min(place.width / image.width, place.height / image.height);
  return { width: image.width * factor, height: image.height * factor };
}

/** Larger or smaller by a factor, while the point under `at` (from the middle of the place) stays there. */
export function zoomed(zoom: Zoom, factor: number, at: { x: number; y: number }): Zoom {
  const scale = Math.min(LARGEST, Math.max(1, zoom.scale * factor));
  // All of it is in sight: then it lies in the middle again.
  if (scale === 1) return FIT;
  const by = scale / zoom.scale;
  return { scale, x: at.x - (at.x - zoom.x) * by, y: at.y - (at.y - zoom.y) * by };
}

/** Shifted, but not out of sight. */
export function shifted(zoom: Zoom, dx: number, dy: number, fit: Size, place: Size): Zoom {
  const within = (value: number, image: number, room: number): number => {
    const most = Math.max(0, (image + room) / 2 - IN_SIGHT);
    return Math.min(most, Math.max(-most, value));
  };
  return {
    scale: zoom.scale,
    x: within(zoom.x + dx, fit.width * zoom.scale, place.width),
    y: within(zoom.y + dy, fit.height * zoom.scale, place.height),
  };
}
