/**
 * Where the page's own server is, by what JupyterLab and Notebook write into their pages; "/" elsewhere.
 * Always begins and ends with a slash.
 */
export function pageBaseUrl(): string {
  const config = document.getElementById("jupyter-config-data")?.textContent;
  let base: unknown = document.body.dataset.baseUrl ?? "/";
  if (config) {
    try {
      base = (JSON.parse(config) as { baseUrl?: unknown }).baseUrl ?? base;
    } catch {
      // Another program's element of the same name.
    }
  }
  const path = typeof base === "string" ? new URL(base, location.href).pathname : "/";
  return path.endsWith("/") ? path : `${path}/`;
}

/**
 * The address of the widget bundle at the lab server behind `baseUrl`, or null if none answers there.
 * The bundle's hash is in the address, so that browsers may keep it for as long as it is unchanged.
 */
export async function bundleUrl(baseUrl: string): Promise<string | null> {
  try {
    const response = await fetch(`${baseUrl}mlship/static/widgets.json`, { cache: "no-cache" });
    if (!response.ok) return null;
    const { hash } = (await response.json()) as { hash: string };
    return new URL(`${baseUrl}mlship/static/widgets.js?v=${hash}`, location.href).href;
  } catch {
    return null;
  }
}
