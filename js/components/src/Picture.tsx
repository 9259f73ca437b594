import type { Connection } from "@modelship-lab/core";
import { useEffect, useState, type ReactNode } from "react";

interface Loaded {
  url: string;
  width: number;
  height: number;
}

const KEPT = 200;

/** Pictures that were loaded before they are needed, so that they are painted at once. */
export class PictureCache {
  private readonly loading = new Map<string, Promise<Loaded>>();
  private readonly loaded = new Map<string, Loaded>();

  constructor(private readonly connection: Connection) {}

  peek(digest: string): Loaded | null {
    return this.loaded.get(digest) ?? null;
  }

  load(digest: string): Promise<Loaded> {
    let promise = this.loading.get(digest);
    if (!promise) {
      promise = this.fetch(digest);
      this.loading.set(digest, promise);
      // A picture that failed is asked for again the next time.
      promise.catch(() => this.loading.delete(digest));
      for (const old of [...this.loading.keys()].slice(0, -KEPT)) {
        this.loading.delete(old);
        this.loaded.delete(old);
      }
    }
    return promise;
  }

  private async fetch(digest: string): Promise<Loaded> {
    const url = await this.connection.imageUrl(digest);
    const image = new Image();
    image.src = url;
    await image.decode();
    const loaded = { url, width: image.naturalWidth, height: image.naturalHeight };
    this.loaded.set(digest, loaded);
    return loaded;
  }
}

/** Pictures smaller than this are icons or scans of a few pixels: their pixels are shown as squares. */
export const SMALL = 96;

/** A picture as soon as it is loaded; until then null, or why it never will be. */
export function usePicture(cache: PictureCache, digest: string): Loaded | "failed" | null {
  const [, redraw] = useState(0);
  const [failed, setFailed] = useState<string | null>(null);
  useEffect(() => {
    let current = true;
    cache.load(digest).then(
      () => current && redraw((count) => count + 1),
      () => current && setFailed(digest),
    );
    return () => {
      current = false;
    };
  }, [cache, digest]);
  return failed === digest ? "failed" : cache.peek(digest);
}

/** One picture of the lab, as large as its place allows. */
export function Picture(props: { cache: PictureCache; digest: string; alt: string }): ReactNode {
  const loaded = usePicture(props.cache, props.digest);
  if (loaded === "failed") return <p className="mls-muted">This picture could not be loaded.</p>;
  if (!loaded) return <div className="mls-picture-loading" aria-label="Loading the picture" />;
  const small = Math.max(loaded.width, loaded.height) < SMALL;
  return (
    <img
      className={small ? "mls-picture mls-picture-small" : "mls-picture"}
      src={loaded.url}
      alt={props.alt}
      draggable={false}
    />
  );
}
