/** One wrong field of a request. */
export interface FieldProblem {
  loc?: (string | number)[];
  msg?: string;
}

/** What went wrong with a request. */
export class AIManagerError extends Error {
  override readonly name = "AIManagerError";

  /**
   * @param status the HTTP status; 0 when there was no answer
   * @param detail what the server says: a sentence, or one entry for each wrong field
   */
  constructor(
    readonly status: number,
    readonly detail: string | FieldProblem[],
    options?: ErrorOptions,
  ) {
    super(typeof detail === "string" ? detail : detail.map(sentence).join("; "), options);
  }

  /** True when the same request may succeed later. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 429 || (this.status >= 502 && this.status <= 504);
  }
}

function sentence(problem: FieldProblem): string {
  return `${(problem.loc ?? []).join(".")}: ${problem.msg ?? "not valid"}`;
}

/** The error that an answer of the server tells of, in the document's shape or in the lab's own. */
export async function errorOf(response: Response): Promise<AIManagerError> {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text) as { detail?: string | FieldProblem[]; error?: { message?: string } };
    const detail = body.detail ?? body.error?.message;
    if (typeof detail === "string" || Array.isArray(detail)) return new AIManagerError(response.status, detail);
  } catch {
    // A proxy's page says less than the status does.
  }
  return new AIManagerError(response.status, `The server answered with HTTP status ${response.status}.`);
}
