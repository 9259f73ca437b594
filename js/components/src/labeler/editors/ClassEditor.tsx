import { useImperativeHandle, useRef, type ReactNode } from "react";
import { SampleView } from "../SampleView";
import type { ZoomHandle } from "../ZoomStage";
import type { EditorProps } from "./editor";

/** One class for each sample: choosing it says all. */
export function ClassEditor(props: EditorProps): ReactNode {
  const zoom = useRef<ZoomHandle>(null);
  useImperativeHandle(props.handle, () => ({
    choose: (label) => {
      props.save({ label });
      props.announce(`Labeled ${label}.`);
    },
    press: (event) => zoom.current?.press(event) ?? false,
  }));
  return <SampleView sample={props.sample} pictures={props.pictures} zoom={zoom} />;
}
