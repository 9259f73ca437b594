/**
 * What every widget carries as `_esm`: so little that saved notebooks stay small. It fetches the real
 * bundle from the page's own lab server, or from the kernel where there is none.
 */
import { bundleUrl, pageBaseUrl } from "@modelship-lab/core/place";
import type { AnyWidget, RenderProps } from "@anywidget/types";

interface Bundle {
  render(props: RenderProps): Promise<() => void>;
}

const ANSWER_MS = 60_000;
let fromKernel: Promise<string> | null = null;

/** The address of the bundle as the kernel sent it: one message for each page, not for each widget. */
function kernelBundle(model: RenderProps["model"]): Promise<string> {
  fromKernel ??= new Promise<string>((resolve, reject) => {
    const receive = (content: { kind?: string } | null, buffers: DataView[]): void => {
      if (content?.kind !== "source" || !buffers[0]) return;
      clearTimeout(timer);
      model.off("msg:custom", receive);
      const code = new Uint8Array(buffers[0].buffer as ArrayBuffer, buffers[0].byteOffset, buffers[0].byteLength);
      resolve(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    };
    const timer = setTimeout(() => {
      model.off("msg:custom", receive);
      fromKernel = null;
      reject(new Error("Neither a lab server nor the notebook's kernel answered. Run the cell again."));
    }, ANSWER_MS);
    model.on("msg:custom", receive);
    model.send({ kind: "source" });
  });
  return fromKernel;
}

async function load(model: RenderProps["model"]): Promise<Bundle> {
  const url = await bundleUrl(pageBaseUrl());
  if (url) {
    try {
      return (await import(url)) as Bundle;
    } catch {
      // The server went away in between, or the page forbids it: the kernel has the bundle too.
    }
  }
  return (await import(await kernelBundle(model))) as Bundle;
}

const widget: AnyWidget = {
  async render(props) {
    try {
      return await (await load(props.model)).render(props);
    } catch (error) {
      props.el.textContent = `ModelShip Lab could not be shown: ${error instanceof Error ? error.message : String(error)}`;
    }
  },
};

export default widget;
