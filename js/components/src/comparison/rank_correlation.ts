/**
 * Spearman's rank correlation: the correlation of Pearson between the ranks of both, ties sharing the mean
 * of theirs (C. Spearman, "The Proof and Measurement of Association between Two Things", 1904).
 *
 * Pairs of which one is missing are left out.
 *
 * @returns -1 to 1 and how many pairs it is of; null for less than 3 pairs or when one side never changes
 */
export function spearman(
  x: readonly (number | null)[],
  y: readonly (number | null)[],
): { rho: number; pairs: number } | null {
  const left: number[] = [];
  const right: number[] = [];
  x.forEach((value, index) => {
    const other = y[index];
    if (value === null || other === null || other === undefined || !Number.isFinite(value) || !Number.isFinite(other)) return;
    left.push(value);
    right.push(other);
  });
  if (left.length < 3) return null;
  const rho = pearson(ranks(left), ranks(right));
  return rho === null ? null : { rho, pairs: left.length };
}

function ranks(values: readonly number[]): Float64Array {
  const order = Array.from(values.keys()).sort((a, b) => values[a]! - values[b]!);
  const found = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end + 1 < order.length && values[order[end + 1]!] === values[order[start]!]) end++;
    for (let index = start; index <= end; index++) found[order[index]!] = (start + end) / 2;
    start = end + 1;
  }
  return found;
}

function pearson(x: Float64Array, y: Float64Array): number | null {
  const mean = (x.length - 1) / 2;
  let [both, left, right] = [0, 0, 0];
  for (let index = 0; index < x.length; index++) {
    const [a, b] = [x[index]! - mean, y[index]! - mean];
    both += a * b;
    left += a * a;
    right += b * b;
  }
  return left > 0 && right > 0 ? both / Math.sqrt(left * right) : null;
}
