import type { Box } from "@modelship-lab/core";
import {
  useImperativeHandle,
  useRef,
  useState,
  type KeyboardEvent,
  type PointerEvent,
  type ReactNode,
} from "react";
import { BoxMark } from "../BoxMark";
import { ZoomStage, type ZoomHandle } from "../ZoomStage";
import { boxBetween, boxesUnder, contains, GRIPS, movedBox, resizedBox, type Grip, type Point } from "./boxes";
import type { EditorProps } from "./editor";
import { PartList } from "./PartList";

/** A pointer that moved less than this has only pointed, in pixels of the screen. */
const POINTING = 4;
/** What an arrow moves a box by, and with Ctrl, in pixels of the screen. */
const STEP = 1;
const LARGE_STEP = 12;
/** Of what is in sight, a box that a key has made takes this share. */
const NEW_SHARE = 0.3;
const PAN = 60;

/** What a pointer that is held down does. */
interface Gesture {
  from: Point;
  /** Where the pointer went down, in pixels of the screen. */
  at: Point;
  does: "draw" | "move" | Grip;
  /** The box that it has hold of; null for a new one. */
  index: number | null;
  /** What comes of it if it ends now; null while the pointer has only pointed. */
  now: Box | null;
}

/** Boxes in an image: drawn with the mouse, or put there, moved and resized by keys. */
export function BoxEditor(props: EditorProps): ReactNode {
  // Another image: no box is chosen in it.
  return <Boxes key={props.sample.id} {...props} />;
}

function Boxes(props: EditorProps): ReactNode {
  const { sample, classes, active, announce } = props;
  const boxes = props.value.boxes ?? [];
  const [held, setHeld] = useState<number | null>(null);
  const [gesture, setGesture] = useState<Gesture | null>(null);
  const zoom = useRef<ZoomHandle>(null);
  const plane = useRef<HTMLDivElement>(null);
  // After an undo there may be fewer of them.
  const chosen = held !== null && held < boxes.length ? held : null;

  const put = (index: number, box: Box): void => {
    props.change({ boxes: boxes.map((other, place) => (place === index ? box : other)) });
  };
  const add = (box: Box): void => {
    props.change({ boxes: [...boxes, box] });
    setHeld(boxes.length);
    announce(`${box.label}: box ${boxes.length + 1}.`);
  };
  const remove = (index: number): void => {
    props.change({ boxes: boxes.filter((_, place) => place !== index) });
    setHeld(null);
    announce("Removed.");
  };
  const choose = (index: number | null): void => {
    setHeld(index);
    if (index !== null) announce(`${boxes[index]!.label}: box ${index + 1} of ${boxes.length}.`);
  };

  const pointAt = (event: PointerEvent): Point => {
    const area = plane.current!.getBoundingClientRect();
    return { x: (event.clientX - area.left) / area.width, y: (event.clientY - area.top) / area.height };
  };

  const down = (event: PointerEvent<HTMLDivElement>): void => {
    // A second finger: the two zoom.
    if (!event.isPrimary) return setGesture(null);
    if (event.button !== 0) return;
    const from = pointAt(event);
    const grip = (event.target as HTMLElement).dataset.grip as Grip | undefined;
    const inChosen = chosen !== null && contains(boxes[chosen]!, from);
    const under = boxesUnder(boxes, from)[0] ?? null;
    const does = grip ?? (inChosen ? "move" : active !== null ? "draw" : under !== null ? "move" : null);
    // With nothing to take hold of, and no class to draw, the whole picture is moved.
    if (does === null) {
      setHeld(null);
      return;
    }
    event.preventDefault();
    event.currentTarget.setPointerCapture(event.pointerId);
    const index = does === "draw" ? null : grip || inChosen ? chosen : under;
    setGesture({ from, at: { x: event.clientX, y: event.clientY }, does, index, now: null });
  };

  const move = (event: PointerEvent<HTMLDivElement>): void => {
    if (!gesture) return;
    const { from, at, does, index } = gesture;
    const far = Math.max(Math.abs(event.clientX - at.x), Math.abs(event.clientY - at.y)) >= POINTING;
    if (!far && gesture.now === null) return;
    const to = pointAt(event);
    const box = index === null ? null : boxes[index]!;
    const now =
      box === null
        ? boxBetween(from, to, active!)
        : does === "move"
          ? movedBox(box, to.x - from.x, to.y - from.y)
          : resizedBox(box, does as Grip, to);
    setGesture({ ...gesture, now });
  };

  const up = (): void => {
    if (!gesture) return;
    const { now, index, from } = gesture;
    setGesture(null);
    if (now === null) {
      // Pointing at the same place again chooses what lies below.
      const under = boxesUnder(boxes, from);
      choose(under[(under.indexOf(chosen ?? -1) + 1) % under.length] ?? null);
    } else if (now.width > 0 && now.height > 0) {
      if (index === null) add(now);
      else {
        put(index, now);
        setHeld(index);
      }
    }
  };

  /** A box in the middle of what is in sight, for those who use no mouse. */
  const place = (label: string): void => {
    const area = plane.current?.getBoundingClientRect();
    const view = plane.current?.closest(".mls-zoom")?.getBoundingClientRect();
    let middle = { x: 0.5, y: 0.5 };
    let size = { x: NEW_SHARE, y: NEW_SHARE };
    if (area?.width && area.height && view) {
      middle = {
        x: (view.left + view.width / 2 - area.left) / area.width,
        y: (view.top + view.height / 2 - area.top) / area.height,
      };
      const sight = { x: Math.min(1, view.width / area.width), y: Math.min(1, view.height / area.height) };
      size = { x: sight.x * NEW_SHARE, y: sight.y * NEW_SHARE };
    }
    const [one, other] = [-0.5, 0.5].map((half) => ({ x: middle.x + half * size.x, y: middle.y + half * size.y }));
    add(boxBetween(one!, other!, label));
  };

  const arrow = (event: KeyboardEvent): boolean => {
    const [dx, dy] = ARROWS[event.key]!;
    if (chosen === null) {
      if (!zoom.current?.isZoomed) return false;
      zoom.current.shift(-dx * PAN, -dy * PAN);
      return true;
    }
    const area = plane.current?.getBoundingClientRect();
    const step = event.ctrlKey ? LARGE_STEP : STEP;
    const by = { x: (dx * step) / (area?.width || 500), y: (dy * step) / (area?.height || 500) };
    const box = boxes[chosen]!;
    if (!event.shiftKey) put(chosen, movedBox(box, by.x, by.y));
    else {
      const corner = { x: box.x + box.width + by.x, y: box.y + box.height + by.y };
      const next = resizedBox(box, "se", corner);
      if (corner.x > box.x && corner.y > box.y && next.width > 0 && next.height > 0) put(chosen, next);
    }
    return true;
  };

  const press = (event: KeyboardEvent): boolean => {
    if (event.key in ARROWS && !event.altKey && !event.metaKey) return arrow(event);
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    switch (event.key) {
      case "Tab": {
        const next = chosen === null ? (event.shiftKey ? boxes.length - 1 : 0) : chosen + (event.shiftKey ? -1 : 1);
        const there = next >= 0 && next < boxes.length;
        // Past the last one the focus goes on as it does everywhere.
        choose(there ? next : null);
        return there;
      }
      case "Delete":
      case "Backspace":
        if (chosen !== null) remove(chosen);
        return chosen !== null;
      case "Escape":
        if (gesture) setGesture(null);
        else if (chosen !== null) setHeld(null);
        else if (active !== null) props.activate(null);
        else return false;
        return true;
    }
    return zoom.current?.press(event) ?? false;
  };

  useImperativeHandle(props.handle, () => ({
    choose: (label) => {
      if (chosen !== null && boxes[chosen]!.label !== label) {
        put(chosen, { ...boxes[chosen]!, label });
        announce(`Now ${label}.`);
      } else if (active === label) place(label);
      else {
        props.activate(label);
        announce(`${label} is chosen: draw a box, or press its key again to have one in the middle.`);
      }
    },
    press,
  }));

  const drawn = boxes.map((box, index) => (gesture?.now && gesture.index === index ? gesture.now : box));
  if (gesture?.now && gesture.index === null) drawn.push(gesture.now);
  return (
    <>
      <div className={active === null ? "mls-card" : "mls-card mls-card-drawing"}>
        <ZoomStage
          cache={props.pictures}
          digest={sample.image ?? ""}
          alt={`Sample ${sample.id}`}
          handle={zoom}
        >
          <div
            ref={plane}
            className="mls-boxes"
            onPointerDown={down}
            onPointerMove={move}
            onPointerUp={up}
            onPointerCancel={() => setGesture(null)}
          >
            {drawn.map((box, index) => (
              <BoxMark key={index} box={box} classes={classes} chosen={index === chosen}>
                {index === chosen && GRIPS.map((grip) => <i key={grip} data-grip={grip} className={`mls-grip mls-grip-${grip}`} />)}
              </BoxMark>
            ))}
          </div>
        </ZoomStage>
      </div>
      <PartList
        name="Boxes"
        none={active === null ? "No box yet: choose a class, then draw" : `Draw a box around each “${active}”`}
        classes={classes}
        parts={boxes}
        chosen={chosen}
        choose={choose}
        remove={remove}
      />
    </>
  );
}

const ARROWS: Record<string, [dx: number, dy: number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
