// Where names and notes stand on the map: beside what is drawn, not on it.
//
// Each text tries a few places and takes the one that covers least of the towns and of the texts placed before it. The
// same picture gives the same places, so nothing jumps from second to second.

import type { MultiPolygon, Polygon, Position } from 'geojson';
import type { Point } from './draw';

export interface Rect {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** A rectangle around a middle. */
export function around(p: Point, w: number, h: number): Rect {
  return { x: p.x - w / 2, y: p.y - h / 2, w, h };
}

export function overlap(a: Rect, b: Rect): number {
  const w = Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x);
  const h = Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y);
  return w > 0 && h > 0 ? w * h : 0;
}

/** The candidate that covers least, the earlier one between equals; what it covers is its cost. */
export function best(candidates: readonly Rect[], taken: readonly Rect[], extra: (at: Rect) => number = () => 0) {
  let chosen: { at: Rect; cost: number } | null = null;
  for (const at of candidates) {
    const cost = taken.reduce((sum, other) => sum + overlap(at, other), 0) + extra(at);
    if (!chosen || cost < chosen.cost - 1e-9) chosen = { at, cost };
  }
  return chosen;
}

/** How much of a rectangle lies outside of a panel of this size, whose corner is the origin. */
export function outsideOf(at: Rect, width: number, height: number): number {
  return at.w * at.h - overlap(at, { x: 0, y: 0, w: width, h: height });
}

/** About how wide a text is, in units of its font size. */
export function textWidth(text: string): number {
  let width = 0;
  for (const char of text) width += (char.codePointAt(0) ?? 0) > 0x2e80 ? 1 : 0.57;
  return width;
}

export function inside(geometry: Polygon | MultiPolygon, [x, y]: [number, number]): boolean {
  const polygons = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
  const crosses = (ring: Position[]) => {
    let odd = false;
    for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      const [xi = 0, yi = 0] = ring[i] ?? [];
      const [xj = 0, yj = 0] = ring[j] ?? [];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
    }
    return odd;
  };
  return polygons.some((rings) => rings.reduce((odd, ring) => odd !== crosses(ring), false));
}
