// What was swept and what was missed, of one shift on one date. Pure: the same rows and tick give the same answer.

import type { DistrictCoverageRow, ReferenceRow, RoadCoverageRow, RoadState, VehicleRow } from '../live/types';
import { distanceToLine } from './geo';
import { record, text } from './reference';
import { type Shape, shapeOf } from './select';

export const ROAD_STATES: readonly RoadState[] = ['done', 'too_few', 'missed', 'not_due'];
const MINUTE_MS = 60_000;
const DAY_MIN = 24 * 60;

export interface Shift {
  id: string;
  name: string;
  /** Minutes of the city's day; the end is later than the start, past 1440 when the shift passes midnight. */
  start: number;
  end: number;
}

/** Minutes of "HH:MM"; "24:00" is allowed. */
function minutes(value: unknown): number | null {
  const parts = typeof value === 'string' ? /^(\d{1,2}):(\d{2})$/.exec(value) : null;
  return parts ? Number(parts[1]) * 60 + Number(parts[2]) : null;
}

export function shiftsOf(rows: Iterable<ReferenceRow>): Map<string, Shift> {
  const shifts = new Map<string, Shift>();
  for (const row of rows) {
    const body = record(row);
    const [start, end] = [minutes(body['start']), minutes(body['end'])];
    if (start === null || end === null) continue;
    shifts.set(row.id, { id: row.id, name: text(body['name'], row.id), start, end: end > start ? end : end + DAY_MIN });
  }
  return shifts;
}

/** A shift on a date, as it stands in the rows. */
export interface ShiftDay {
  /** `date/shift`. */
  key: string;
  shift: string;
  date: string;
  dueTs: number;
  /** Null when no record says how long the shift is. */
  startTs: number | null;
  /** Roads planned. */
  planned: number;
}

export const shiftDayOf = (row: { date: string; shift: string }): string => `${row.date}/${row.shift}`;

/** The shifts that something is planned in, the earliest end first. */
export function shiftDays(rows: Iterable<RoadCoverageRow>, shifts: ReadonlyMap<string, Shift>): ShiftDay[] {
  const days = new Map<string, ShiftDay>();
  for (const row of rows) {
    if (row.planned_passes === 0) continue;
    const key = shiftDayOf(row);
    let day = days.get(key);
    if (!day) {
      const shift = shifts.get(row.shift);
      const startTs = shift ? row.due_ts - (shift.end - shift.start) * MINUTE_MS : null;
      day = { key, shift: row.shift, date: row.date, dueTs: row.due_ts, startTs, planned: 0 };
      days.set(key, day);
    }
    day.planned++;
  }
  return [...days.values()].sort((a, b) => a.dueTs - b.dueTs || (a.key < b.key ? -1 : 1));
}

/** The shift that is on; of several the one that ends first. Else the one that ended last; else the next to come. */
export function currentShift(days: readonly ShiftDay[], tick: number): ShiftDay | null {
  const on = days.find((day) => day.dueTs > tick && (day.startTs ?? Infinity) <= tick);
  return on ?? days.findLast((day) => day.dueTs <= tick) ?? days[0] ?? null;
}

/** Roads of one shift on one date, by state; lengths in m. What was swept without a plan does not count. */
export interface RoadCounts extends Record<RoadState, number> {
  planned: number;
  length: number;
  swept: number;
  missedLength: number;
}

export function countRoads(rows: Iterable<RoadCoverageRow>): RoadCounts {
  const counts: RoadCounts = { done: 0, too_few: 0, missed: 0, not_due: 0, planned: 0, length: 0, swept: 0, missedLength: 0 };
  for (const row of rows) {
    if (row.planned_passes === 0) continue;
    counts.planned++;
    counts[row.state]++;
    counts.length += row.length;
    counts.swept += row.swept_length;
    if (row.state === 'missed') counts.missedLength += row.length;
  }
  return counts;
}

/** Roads in a state, the longest unswept part first; ids between equals. */
export function roadsIn(rows: readonly RoadCoverageRow[], state: RoadState): RoadCoverageRow[] {
  const rest = (row: RoadCoverageRow) => row.length - row.swept_length;
  return rows.filter((row) => row.planned_passes > 0 && row.state === state)
    .sort((a, b) => rest(b) - rest(a) || (a.road < b.road ? -1 : 1));
}

/** The row of a district (null: the city) in one shift on one date. */
export function districtRow(rows: Iterable<DistrictCoverageRow>, key: string, district: string | null): DistrictCoverageRow | null {
  for (const row of rows) if (shiftDayOf(row) === key && row.district === (district ?? 'city')) return row;
  return null;
}

export interface Near {
  vehicle: VehicleRow;
  shape: Shape;
  /** To the road, m. */
  metres: number;
  /** Neither at work nor out of reach: it could be sent. */
  free: boolean;
}

/** Most vehicles that are listed near a road. */
export const NEAR_SHOWN = 6;

/** Who is near a road, the nearest first. Vehicles that nobody has heard of lately are left out: they may be anywhere. */
export function nearest(line: readonly (readonly [number, number])[], vehicles: Iterable<VehicleRow>, tick: number): Near[] {
  const found: Near[] = [];
  for (const vehicle of vehicles) {
    const shape = shapeOf(vehicle, tick);
    if (shape === 'offline' || shape === 'stale') continue;
    found.push({ vehicle, shape, metres: distanceToLine([vehicle.lon, vehicle.lat], line), free: shape !== 'working' });
  }
  return found.sort((a, b) => a.metres - b.metres || (a.vehicle.vehicle_id < b.vehicle.vehicle_id ? -1 : 1)).slice(0, NEAR_SHOWN);
}
