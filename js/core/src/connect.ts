import type { Connection } from "./connection";
import { HttpConnection } from "./http";
import { MessageConnection, type MessageChannel } from "./messages";
import { pageBaseUrl } from "./place";
import type { LabInfo } from "./records";

let page: { connection: HttpConnection; labId: string } | null = null;

/**
 * The connection to the page's own lab server, shared by everything on the page (so that there is one
 * live socket); null if no lab answers there.
 */
export async function connectToPage(): Promise<{ connection: Connection; labId: string } | null> {
  if (page) return page;
  const connection = new HttpConnection(pageBaseUrl());
  try {
    const lab = await connection.request<LabInfo>("GET", "lab");
    return (page ??= { connection, labId: lab.lab_id });
  } catch {
    // Not a lab, or not ours to ask. Asked again by the next one who wants it.
    return null;
  }
}

/**
 * The best way to the lab with this id: straight if it is the page's own server, otherwise through the
 * kernel.
 */
export async function connect(labId: string, channel: MessageChannel): Promise<Connection> {
  const found = await connectToPage();
  return found && (!labId || found.labId === labId) ? found.connection : new MessageConnection(channel);
}
