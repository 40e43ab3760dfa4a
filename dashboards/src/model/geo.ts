// Distances on the ground, for lists of who is near: a local plane is good to 0.1 % within some 50 km.

/** Metres of a degree of latitude (mean of the sphere of 6,371,008.8 m). */
const METRES_PER_DEGREE = (6_371_008.8 * Math.PI) / 180;

type LonLat = readonly [number, number];

/** Metres from a point to a line; to its one point if it has no more; Infinity for none. */
export function distanceToLine([lon, lat]: LonLat, line: readonly LonLat[]): number {
  const squeeze = Math.cos((lat * Math.PI) / 180) * METRES_PER_DEGREE;
  const plane = ([x, y]: LonLat): LonLat => [(x - lon) * squeeze, (y - lat) * METRES_PER_DEGREE];
  let nearest = Infinity;
  let from: LonLat | null = null;
  for (const at of line) {
    const to = plane(at);
    const [ax, ay] = from ?? to;
    const [dx, dy] = [to[0] - ax, to[1] - ay];
    const square = dx * dx + dy * dy;
    // The foot of the perpendicular from the origin, held within the piece.
    const along = square > 0 ? Math.min(1, Math.max(0, -(ax * dx + ay * dy) / square)) : 0;
    nearest = Math.min(nearest, Math.hypot(ax + along * dx, ay + along * dy));
    from = to;
  }
  return nearest;
}

/** Metres between two points. */
export function distanceBetween(a: LonLat, b: LonLat): number {
  return distanceToLine(a, [b]);
}
