import type { CellValue, TableEncoding } from "@modelship-lab/core";
import type { ReactNode } from "react";

/** What stands in the fields of a row, by feature. */
export type RowText = Record<string, string>;

/** A row to begin with: the median or the commonest value of every feature. */
export function typicalRow(table: TableEncoding): RowText {
  return Object.fromEntries(
    table.features.map((name) => {
      const value = table.typical[name];
      return [name, value === null || value === undefined ? "" : String(value)];
    }),
  );
}

/** The row as the model takes it: numbers where numbers are expected, an empty field is a missing value. */
export function rowOf(table: TableEncoding, text: RowText): Record<string, CellValue> {
  const numeric = new Set(table.numeric);
  return Object.fromEntries(
    table.features.map((name) => {
      const value = (text[name] ?? "").trim();
      if (value === "") return [name, null];
      return [name, numeric.has(name) ? Number(value) : value];
    }),
  );
}

/** One field for each feature. */
export function RowForm(props: {
  table: TableEncoding;
  row: RowText;
  change: (name: string, value: string) => void;
}): ReactNode {
  const { table, row, change } = props;
  const numeric = new Set(table.numeric);
  return (
    <div className="mls-row-form">
      {table.features.map((name) => (
        <label key={name}>
          <span className="mls-muted" title={name}>
            {name}
          </span>
          {numeric.has(name) ? (
            <input
              className="mls-input"
              type="number"
              step="any"
              value={row[name] ?? ""}
              placeholder="missing"
              onChange={(event) => change(name, event.target.value)}
            />
          ) : (
            <select className="mls-input" value={row[name] ?? ""} onChange={(event) => change(name, event.target.value)}>
              <option value="">missing</option>
              {(table.categories[name] ?? []).map((value) => (
                <option key={value} value={value}>
                  {value}
                </option>
              ))}
            </select>
          )}
        </label>
      ))}
    </div>
  );
}
