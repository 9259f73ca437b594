import { Widget } from "@lumino/widgets";
import { bundleUrl, pageBaseUrl } from "@modelship-lab/core/place";
import type * as Widgets from "@modelship-lab/widgets";

type Bundle = typeof Widgets;

/**
 * A view of the widget bundle as a tab or panel. The bundle is fetched from the lab server when the
 * first view is shown, so that JupyterLab starts no slower for it.
 */
export class ViewWidget extends Widget {
  private mounted: Widgets.Mounted | null = null;
  private opening = false;
  private readonly arrival = new MutationObserver(() => {
    if (document.activeElement !== this.node || this.focusContent()) this.arrival.disconnect();
  });

  constructor(
    id: string,
    private readonly view: Widgets.View,
  ) {
    super();
    this.id = id;
    this.node.style.overflow = "auto";
    // The tab itself takes the focus when nothing in it does; that needs no frame around the whole tab.
    this.node.style.outline = "none";
    this.node.style.background = "var(--jp-layout-color1)";
    if (view.view !== "panel") this.node.style.padding = "12px";
  }

  override dispose(): void {
    this.arrival.disconnect();
    this.mounted?.close();
    this.mounted = null;
    super.dispose();
  }

  protected override onBeforeShow(): void {
    void this.open();
  }

  protected override onAfterAttach(): void {
    if (this.isVisible) void this.open();
  }

  protected override onActivateRequest(): void {
    if (this.focusContent()) return;
    this.node.tabIndex = -1;
    this.node.focus();
    // The view is still being fetched: hand the focus on to what takes keys, unless the reader went elsewhere.
    this.arrival.observe(this.node, { childList: true, subtree: true });
  }

  private focusContent(): boolean {
    const first = this.node.querySelector<HTMLElement>("[tabindex='0']");
    first?.focus({ preventScroll: true });
    return first !== null;
  }

  private async open(): Promise<void> {
    if (this.mounted || this.opening) return;
    this.opening = true;
    try {
      const bundle = await loadBundle();
      const page = await bundle.connectToPage();
      if (!page) throw new Error(await whyAway());
      if (this.isDisposed) return;
      this.node.replaceChildren();
      this.mounted = bundle.mount(this.node, page.connection, page.labId, this.view);
    } catch (error) {
      this.sayWhyNot(error instanceof Error ? error.message : String(error));
    } finally {
      this.opening = false;
    }
  }

  private sayWhyNot(reason: string): void {
    const text = document.createElement("p");
    text.textContent = reason;
    const again = document.createElement("button");
    again.className = "jp-mod-styled";
    again.textContent = "Try again";
    again.onclick = () => void this.open();
    const place = document.createElement("div");
    place.style.padding = "16px";
    place.append(text, again);
    this.node.replaceChildren(place);
  }
}

/** The widget bundle of the page's lab server. */
export async function loadBundle(): Promise<Bundle> {
  const url = await bundleUrl(pageBaseUrl());
  if (!url) throw new Error(await whyAway());
  return (await import(/* webpackIgnore: true */ url)) as Bundle;
}

/** What the server says of itself when it does not serve the lab. */
async function whyAway(): Promise<string> {
  try {
    const response = await fetch(`${pageBaseUrl()}mlship/api/lab`, { headers: { Accept: "application/json" } });
    const { error } = (await response.json()) as { error?: { message?: string } };
    if (error?.message) return error.message;
  } catch {
    // Not our JSON: there is no lab at this server.
  }
  return (
    "The lab server does not answer. Enable it with “jupyter server extension enable modelship_lab” " +
    "and start JupyterLab again."
  );
}
