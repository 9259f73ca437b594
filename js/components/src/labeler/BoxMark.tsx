import type { Box } from "@modelship-lab/core";
import type { CSSProperties, ReactNode } from "react";
import { classColor } from "../colors";

/** Above a box that begins here its class would be cut off. */
const NEAR_TOP = 0.05;

/** One box over a picture, with its class. */
export function BoxMark(props: {
  box: Box;
  /** The project's classes, in the order of their colors. */
  classes: readonly string[];
  chosen?: boolean;
  /** Nobody has said so: a model has. */
  suggested?: boolean;
  children?: ReactNode;
}): ReactNode {
  const { box, chosen, suggested } = props;
  const names = ["mls-box", chosen && "mls-box-chosen", suggested && "mls-box-suggested"];
  return (
    <div
      className={names.filter(Boolean).join(" ")}
      style={{ ...areaOf(box), "--mls-class-color": classColor(props.classes.indexOf(box.label)) } as CSSProperties}
    >
      <span className={box.y < NEAR_TOP ? "mls-box-label mls-box-label-inside" : "mls-box-label"} dir="auto">
        {box.label}
      </span>
      {props.children}
    </div>
  );
}

const percent = (share: number): string => `${share * 100}%`;

function areaOf({ x, y, width, height }: Box): CSSProperties {
  return { left: percent(x), top: percent(y), width: percent(width), height: percent(height) };
}
