import {
  Comparison,
  DeploymentView,
  Labeler,
  LabPanel,
  RunChart,
  RunTable,
  Samples,
  type ComparisonTab,
  type Opener,
  type RunOpener,
} from "@modelship-lab/components";
import { styles } from "@modelship-lab/components/styles";
import { connect, HttpConnection, type Connection, type QueueOrder, type SampleFilter } from "@modelship-lab/core";
import type { RenderProps } from "@anywidget/types";
import type { ReactNode } from "react";
import { createRoot } from "react-dom/client";
import plotStyleText from "uplot/dist/uPlot.min.css";

export { connectToPage } from "@modelship-lab/core";
export { HttpConnection };
export type { RunOpener };

/** What can be shown, as the Python classes of the widgets name it, with what each needs to know. */
export type View =
  | { view: "labeler"; project_id: number; order?: QueueOrder }
  | { view: "run_chart"; run_ids: number[] }
  | {
      view: "run_table";
      project?: string | null;
      filter?: string;
      sort?: string[];
      columns?: string[] | null;
      limit?: number | null;
      opener?: RunOpener;
      height?: string;
    }
  | { view: "comparison"; run_ids: number[]; tab?: ComparisonTab; opener?: RunOpener }
  | { view: "samples"; project_id: number; samples?: SampleFilter; sort?: string; height?: string }
  | { view: "deployment"; deployment_id: number }
  | { view: "panel"; opener: Opener };

function Screen(props: { view: View; connection: Connection; labId: string }): ReactNode {
  const { view, connection, labId } = props;
  switch (view.view) {
    case "labeler":
      return <Labeler connection={connection} labId={labId} projectId={view.project_id} order={view.order} />;
    case "run_chart":
      return <RunChart connection={connection} runIds={view.run_ids} labId={labId} />;
    case "run_table":
      return <RunTable connection={connection} labId={labId} {...view} />;
    case "comparison":
      return (
        <Comparison connection={connection} labId={labId} runIds={view.run_ids} tab={view.tab} opener={view.opener} />
      );
    case "samples":
      return (
        <Samples
          connection={connection}
          labId={labId}
          projectId={view.project_id}
          filter={view.samples}
          sort={view.sort}
          height={view.height}
        />
      );
    case "deployment":
      return <DeploymentView connection={connection} deploymentId={view.deployment_id} />;
    case "panel":
      return <LabPanel connection={connection} opener={view.opener} />;
  }
}

function addStyle(element: Node): void {
  const place = element.getRootNode();
  const parent = place instanceof ShadowRoot ? place : document.head;
  if (parent.querySelector("style[data-modelship-lab]")) return;
  const style = document.createElement("style");
  style.dataset.modelshipLab = "";
  style.textContent = plotStyleText + styles;
  parent.append(style);
}

/** A view on the page, until it is closed. */
export interface Mounted {
  show(view: View): void;
  close(): void;
}

/** Shows a view in `element`. The connection stays open; whoever made it closes it. */
export function mount(element: HTMLElement, connection: Connection, labId: string, view: View): Mounted {
  addStyle(element);
  const root = createRoot(element);
  const show = (shown: View): void => root.render(<Screen view={shown} connection={connection} labId={labId} />);
  show(view);
  return { show, close: () => root.unmount() };
}

/** The traits that a widget's Python class sets, by view. */
const TRAITS = ["project_id", "order", "run_ids", "deployment_id", "project", "filter", "sort", "columns", "limit", "tab", "samples"];

/** What anywidget calls, through the loader. */
export async function render({ model, el }: RenderProps): Promise<() => void> {
  const labId = String(model.get("lab_id") ?? "");
  const connection = await connect(labId, model);
  const view = (): View =>
    Object.fromEntries(["view", ...TRAITS].map((name) => [name, model.get(name) as unknown])) as unknown as View;
  const mounted = mount(el, connection, labId, view());
  const update = (): void => mounted.show(view());
  for (const name of TRAITS) model.on(`change:${name}`, update);
  return () => {
    for (const name of TRAITS) model.off(`change:${name}`, update);
    mounted.close();
    // The direct connection belongs to the page, the one through the kernel to this widget.
    if (!connection.live) connection.close();
  };
}
