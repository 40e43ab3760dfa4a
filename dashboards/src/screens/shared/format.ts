// Numbers as people read them; a dash for what is not known.

/** Grouped by thousands. */
export function num(value: number | null | undefined): string {
  return value === null || value === undefined ? '—' : value.toLocaleString('en-US');
}

/** A share 0..1 as percent with one decimal, without the sign. */
export function percent(value: number | null | undefined): string {
  return value === null || value === undefined ? '—' : (value * 100).toFixed(1);
}

/** With a fixed number of decimals. */
export function fixed(value: number | null | undefined, decimals: number): string {
  return value === null || value === undefined ? '—' : value.toFixed(decimals);
}

/** A length in m, in km with one decimal. */
export function km(metres: number | null | undefined): string {
  return fixed(metres === null || metres === undefined ? metres : metres / 1000, 1);
}

/** A distance as it is said: metres below one kilometre, kilometres above. */
export function distance(metres: number): string {
  return metres < 1000 ? `${Math.round(metres / 10) * 10} m` : `${(metres / 1000).toFixed(1)} km`;
}
