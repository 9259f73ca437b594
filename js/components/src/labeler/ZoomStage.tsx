import {
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
  type PointerEvent,
  type ReactNode,
  type Ref,
} from "react";
import { SMALL, usePicture, type PictureCache } from "../Picture";
import type { Pressed } from "./keys";
import { FIT, fitted, shifted, zoomed, type Size } from "./zoom";

interface Point {
  x: number;
  y: number;
}

const STEP = 1.4;
const WHEEL = 1.0025;

const distance = (one: Point, other: Point): number => Math.hypot(one.x - other.x, one.y - other.y);

export interface ZoomHandle {
  /** Returns true when the key was one for zooming. */
  press(event: Pressed): boolean;
  shift(dx: number, dy: number): void;
  /** Whether there is more of the picture than is in sight. */
  readonly isZoomed: boolean;
}

/**
 * A picture to look at closely: Ctrl and the wheel, two fingers, + and -, or the buttons zoom; dragging moves it; 0 shows all.
 *
 * What lies on the picture comes as children; whoever takes a pointer for himself prevents its default.
 */
export function ZoomStage(props: {
  cache: PictureCache;
  digest: string;
  alt: string;
  handle?: Ref<ZoomHandle>;
  /** Covers the picture exactly. */
  children?: ReactNode;
}): ReactNode {
  const stage = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState<Size | null>(null);
  const [zoom, setZoom] = useState(FIT);
  const [dragging, setDragging] = useState(false);
  /** The fingers on the picture, also those that something on it has taken for itself. */
  const fingers = useRef(new Map<number, Point>());
  const loaded = usePicture(props.cache, props.digest);

  useLayoutEffect(() => {
    const element = stage.current!;
    const measure = (): void => setPlace({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const element = stage.current!;
    const turn = (event: WheelEvent): void => {
      if (!event.ctrlKey && !event.metaKey) return;
      // The browser would enlarge the whole page.
      event.preventDefault();
      const box = element.getBoundingClientRect();
      const at = { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
      setZoom((before) => zoomed(before, WHEEL ** -event.deltaY, at));
    };
    element.addEventListener("wheel", turn, { passive: false });
    return () => element.removeEventListener("wheel", turn);
  }, []);

  const known = loaded !== "failed" && loaded !== null && place !== null;
  const fit = known ? fitted(loaded, place) : null;
  const step = (factor: number): void => setZoom((before) => zoomed(before, factor, { x: 0, y: 0 }));
  const shift = (dx: number, dy: number): void => {
    if (fit && place) setZoom((before) => shifted(before, dx, dy, fit, place));
  };

  useImperativeHandle(props.handle, () => ({
    press: (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return false;
      if (event.key === "+" || event.key === "=") step(STEP);
      else if (event.key === "-") step(1 / STEP);
      else if (event.key === "0") setZoom(FIT);
      else return false;
      return true;
    },
    shift,
    isZoomed: zoom.scale > 1,
  }));

  const drag = (event: PointerEvent<HTMLDivElement>): void => {
    if (event.defaultPrevented || (event.button !== 0 && event.button !== 1)) return;
    if ((event.target as HTMLElement).closest("button")) return;
    // A finger that finds all of the picture in sight scrolls the page.
    if (event.pointerType === "touch" && zoom.scale === 1) return;
    // The middle button would scroll the page.
    if (event.button === 1) event.preventDefault();
    event.currentTarget.setPointerCapture(event.pointerId);
    setDragging(true);
  };

  const touch = (event: PointerEvent<HTMLDivElement>): void => {
    if (event.pointerType === "touch") fingers.current.set(event.pointerId, placeOf(event));
  };
  /** Two fingers move the picture between them, and spread it or draw it together; one moves it where there is more of it. */
  const slide = (event: PointerEvent<HTMLDivElement>): void => {
    const before = fingers.current.get(event.pointerId);
    if (!before) {
      if (dragging) shift(event.movementX, event.movementY);
      return;
    }
    const now = placeOf(event);
    fingers.current.set(event.pointerId, now);
    const other = [...fingers.current].find(([finger]) => finger !== event.pointerId)?.[1];
    if (other) {
      const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
      const factor = Math.max(1, distance(now, other)) / Math.max(1, distance(before, other));
      setZoom((old) => zoomed(old, factor, middle));
      shift((now.x - before.x) / 2, (now.y - before.y) / 2);
    } else if (dragging && zoom.scale > 1) shift(now.x - before.x, now.y - before.y);
  };
  const lift = (event: PointerEvent<HTMLDivElement>): void => {
    fingers.current.delete(event.pointerId);
    if (fingers.current.size === 0) setDragging(false);
  };
  /** From the middle of the stage. */
  const placeOf = (event: PointerEvent<HTMLDivElement>): Point => {
    const box = stage.current!.getBoundingClientRect();
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  };

  return (
    <div
      ref={stage}
      className={dragging ? "mls-zoom mls-zoom-dragging" : "mls-zoom"}
      data-zoomed={zoom.scale > 1}
      onPointerDown={drag}
      onPointerDownCapture={touch}
      onPointerMoveCapture={slide}
      onPointerUpCapture={lift}
      onPointerCancelCapture={lift}
    >
      {loaded === "failed" ? (
        <p className="mls-muted mls-centered">This picture could not be loaded.</p>
      ) : loaded === null ? (
        <div className="mls-picture-loading" aria-label="Loading the picture" />
      ) : (
        <div
          className="mls-zoom-frame"
          style={
            fit
              ? {
                  width: fit.width * zoom.scale,
                  height: fit.height * zoom.scale,
                  translate: `calc(${zoom.x}px - 50%) calc(${zoom.y}px - 50%)`,
                }
              : undefined
          }
        >
          <img
            className={Math.max(loaded.width, loaded.height) < SMALL || zoom.scale > 4 ? "mls-zoom-pixels" : undefined}
            src={loaded.url}
            alt={props.alt}
            draggable={false}
          />
          {props.children}
        </div>
      )}
      <div className="mls-zoom-tools">
        <button type="button" aria-label="Smaller" title="Smaller (-)" disabled={zoom.scale <= 1} onClick={() => step(1 / STEP)}>
          −
        </button>
        <button
          type="button"
          className="mls-number"
          aria-label={`Zoom ${Math.round(zoom.scale * 100)}%; show all of the picture`}
          title="Show all of it (0)"
          onClick={() => setZoom(FIT)}
        >
          {Math.round(zoom.scale * 100)}%
        </button>
        <button type="button" aria-label="Larger" title="Larger (+)" onClick={() => step(STEP)}>
          +
        </button>
      </div>
    </div>
  );
}
