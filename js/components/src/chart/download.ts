/** A CSV file of rows whose first one is the heading. */
export function csvOf(rows: readonly (readonly (string | number | null)[])[]): string {
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value: string | number | null): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  // A spreadsheet would run what begins like a formula.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function download(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name.replaceAll(/[^\w.-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A picture of a plot on the ground of its page, with its title and its lines named. */
export async function pictureOf(
  plot: HTMLElement,
  title: string,
  legend: readonly { label: string; color: string }[],
): Promise<Blob | null> {
  const drawn = plot.querySelector("canvas");
  if (!drawn) return null;
  const scale = drawn.width / Math.max(1, drawn.clientWidth);
  const style = getComputedStyle(plot.closest(".mls") ?? plot);
  const rows = legend.slice(0, 12);
  const top = (26 + 16 * rows.length) * scale;
  const canvas = document.createElement("canvas");
  canvas.width = drawn.width;
  canvas.height = drawn.height + top;
  const context = canvas.getContext("2d")!;
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(drawn, 0, top);
  context.fillStyle = style.color;
  context.font = `600 ${13 * scale}px ${style.fontFamily}`;
  context.fillText(title, 10 * scale, 18 * scale);
  context.font = `${11 * scale}px ${style.fontFamily}`;
  rows.forEach(({ label, color }, index) => {
    const y = (36 + 16 * index) * scale;
    context.fillStyle = color;
    context.fillRect(10 * scale, y - 5 * scale, 12 * scale, 3 * scale);
    context.fillStyle = style.color;
    context.fillText(label, 28 * scale, y);
  });
  return new Promise((resolve) => canvas.toBlob(resolve));
}
