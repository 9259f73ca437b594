import { useImperativeHandle, useRef, type ReactNode } from "react";
import { SampleView } from "../SampleView";
import type { ZoomHandle } from "../ZoomStage";
import type { EditorProps } from "./editor";
import { PartList } from "./PartList";

/** Any number of classes for each sample: each is chosen or taken back alone. */
export function LabelsEditor(props: EditorProps): ReactNode {
  const { classes } = props;
  const zoom = useRef<ZoomHandle>(null);
  const chosen = props.value.labels ?? [];
  const toggle = (label: string): void => {
    const without = chosen.filter((other) => other !== label);
    const added = without.length === chosen.length;
    const labels = added ? classes.filter((name) => name === label || chosen.includes(name)) : without;
    props.change({ labels });
    props.announce(`${label} ${added ? "chosen" : "taken back"}. ${labels.length} chosen.`);
  };
  useImperativeHandle(props.handle, () => ({
    choose: toggle,
    press: (event) => zoom.current?.press(event) ?? false,
  }));
  return (
    <>
      <SampleView sample={props.sample} pictures={props.pictures} zoom={zoom} />
      <PartList
        name="Chosen classes"
        none="No class is chosen"
        classes={classes}
        parts={chosen.map((label) => ({ label }))}
        remove={(index) => toggle(chosen[index]!)}
      />
    </>
  );
}
