// Colours of values on the map: dark to bright for more, dark to orange for more of what is bad.

const GOOD = ['#15294c', '#1d4f7e', '#2a7ba6', '#45abc5'] as const;
const BAD = ['#16294b', '#3a3757', '#76444f', '#bd5639'] as const;
export const UNKNOWN = '#132747';
/** Inside a district the value stands back: its own ground, and that of the others. */
export const GROUND = '#10233f';
export const BESIDE = '#0b182c';

type Rgb = [number, number, number];

function rgb(hex: string): Rgb {
  const n = Number.parseInt(hex.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

/** The colour of a share 0..1 on a ramp of equal steps. */
export function ramp(share: number, bad: boolean): string {
  const stops = bad ? BAD : GOOD;
  const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  const [from, to] = [rgb(stops[i] as string), rgb(stops[i + 1] as string)];
  const mix = from.map((c, k) => Math.round(c + ((to[k] as number) - c) * (at - i)));
  return `#${mix.map((c) => c.toString(16).padStart(2, '0')).join('')}`;
}

export function gradient(bad: boolean): string {
  return `linear-gradient(90deg, ${(bad ? BAD : GOOD).join(', ')})`;
}
