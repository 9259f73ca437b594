import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import { Panel, type Widget } from "@lumino/widgets";
import type { RunOpener, View } from "@modelship-lab/widgets";
import { loadBundle, ViewWidget } from "./view";

/** What a cell's output names, as the Python classes of the widgets write it. */
const VIEW_TYPE = "application/vnd.modelship-lab.view+json";
const WIDGET_TYPE = "application/vnd.jupyter.widget-view+json";
const VIEWS = ["labeler", "samples", "run_chart", "run_table", "comparison", "deployment"];

/**
 * Draws the views in outputs of notebooks straight from the lab server: they come back when the page is
 * loaded anew, when the kernel is restarted, and in a saved notebook without any kernel.
 */
export function drawOutputs(rendermime: IRenderMimeRegistry, opener: RunOpener): void {
  const factory: IRenderMime.IRendererFactory = {
    // It names things by their ids and carries no code.
    safe: true,
    mimeTypes: [VIEW_TYPE],
    createRenderer: () => new ViewOutput(rendermime, opener),
  };
  // Before the widget in the same output, which needs the kernel and has -10.
  rendermime.addFactory(factory, -20);
}

class ViewOutput extends Panel implements IRenderMime.IRenderer {
  private shown = "";

  constructor(
    private readonly rendermime: IRenderMimeRegistry,
    private readonly opener: RunOpener,
  ) {
    super();
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const { lab_id, ...view } = model.data[VIEW_TYPE] as unknown as View & { lab_id: string };
    const shown = JSON.stringify([lab_id, view]);
    // A run that has ended leaves a summary for other places; here its chart stays as it is.
    if (shown === this.shown) return;
    this.shown = shown;
    const here = VIEWS.includes(view.view) && (await isHere(lab_id));
    if (this.isDisposed || shown !== this.shown) return;
    for (const child of [...this.widgets]) child.dispose();
    this.addWidget(here ? inCell({ ...view, opener: this.opener } as View) : await this.otherwise(model));
  }

  /** What else the output has: a widget through the kernel, for a lab that is not this page's, or a still picture. */
  private async otherwise(model: IRenderMime.IMimeModel): Promise<Widget> {
    const types = [...(model.trusted ? [WIDGET_TYPE] : []), "text/html", "text/plain"];
    const type = types.find((one) => one in model.data) ?? "text/plain";
    const renderer = this.registry().createRenderer(type);
    await renderer.renderModel(model);
    return renderer;
  }

  /** The registry of the notebook around this output, which alone knows the widgets of its kernel. */
  private registry(): IRenderMimeRegistry {
    for (let around = this.parent; around; around = around.parent) {
      if ("rendermime" in around) return around.rendermime as IRenderMimeRegistry;
    }
    return this.rendermime;
  }
}

async function isHere(labId: string): Promise<boolean> {
  try {
    const page = await (await loadBundle()).connectToPage();
    return page?.labId === labId;
  } catch {
    return false;
  }
}

function inCell(view: View): Widget {
  const widget = new ViewWidget("", view);
  widget.node.style.padding = "0";
  widget.node.style.overflow = "visible";
  return widget;
}
