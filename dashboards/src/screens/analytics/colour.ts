// Colours of the analytics screen: parts of a score in a fixed order, up and down by colour and by sign.

const PARTS = ['#1f6f8f', '#58a3b8', '#8b6db3', '#c9a227', '#8b96a6', '#4b8f6a', '#b56a4f', '#6678b0'] as const;

/** The colour of the i-th part; they repeat after eight. */
export const partColour = (i: number): string => PARTS[i % PARTS.length] as string;
/** Light to dark for a share 0..1. */
export function ramp(share: number): string {
  const mix = (from: number, to: number) => Math.round(from + (to - from) * Math.min(1, Math.max(0, share)));
  return `rgb(${mix(190, 24)}, ${mix(212, 92)}, ${mix(226, 124)})`;
}
export const UP = '#2b7a9b';
export const DOWN = '#c2603a';
export const TOTAL = '#2f3f59';
export const COVERED = '#3f8f86';
export const UNCOVERED = '#d1402b';
