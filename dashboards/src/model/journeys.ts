// The day of a vehicle and of the fleets: trips, stops, fences, and the way itself with its holes.

import type { FenceEventRow, StopRow, TrackRow, TripRow, VehicleRow } from '../live/types';
import { type VehicleCounts, countVehicles, noVehicles } from './select';

/** Fixes further apart than this have a hole between them, which is never drawn as a way, ms. */
export const HOLE_MS = 60_000;

type LonLat = [number, number];

export interface Track {
  /** Ways without holes. */
  ways: LonLat[][];
  /** The last fix before a hole and the first after it. */
  holes: [LonLat, LonLat][];
  holeMs: number;
  fixes: TrackRow[];
}

export function trackOf(rows: Iterable<TrackRow>): Track {
  const fixes = [...rows].sort((a, b) => a.ts - b.ts);
  const track: Track = { ways: [], holes: [], holeMs: 0, fixes };
  let way: LonLat[] = [];
  let before: TrackRow | null = null;
  for (const fix of fixes) {
    const at: LonLat = [fix.lon, fix.lat];
    if (before && fix.ts - before.ts > HOLE_MS) {
      track.ways.push(way);
      track.holes.push([[before.lon, before.lat], at]);
      track.holeMs += fix.ts - before.ts;
      way = [];
    }
    way.push(at);
    before = fix;
  }
  if (way.length > 0) track.ways.push(way);
  return track;
}

/** A stretch of the vehicle's day. */
export interface Stretch {
  kind: 'trip' | 'stop';
  startTs: number;
  endTs: number;
  place: string | null;
  provisional: boolean;
  /** m; 0 for a stop. */
  distance: number;
  workingDistance: number;
}

/** Trips and stops in the order of time. */
export function stretches(trips: Iterable<TripRow>, stops: Iterable<StopRow>): Stretch[] {
  const all: Stretch[] = [];
  for (const trip of trips) {
    all.push({
      kind: 'trip', startTs: trip.start_ts, endTs: trip.end_ts, place: trip.place, provisional: trip.provisional,
      distance: trip.distance, workingDistance: trip.working_distance,
    });
  }
  for (const stop of stops) {
    all.push({
      kind: 'stop', startTs: stop.start_ts, endTs: stop.end_ts, place: stop.place, provisional: stop.provisional,
      distance: 0, workingDistance: 0,
    });
  }
  return all.sort((a, b) => a.startTs - b.startTs || a.endTs - b.endTs);
}

/** Sums of a day: distances in m, times in ms. */
export function totals(list: readonly Stretch[]): { distance: number; working: number; stopped: number; trips: number; stops: number } {
  const sum = { distance: 0, working: 0, stopped: 0, trips: 0, stops: 0 };
  for (const stretch of list) {
    sum.distance += stretch.distance;
    sum.working += stretch.workingDistance;
    if (stretch.kind === 'stop') sum.stopped += stretch.endTs - stretch.startTs;
    sum[stretch.kind === 'stop' ? 'stops' : 'trips']++;
  }
  return sum;
}

/** Fence events of several subscriptions as one list, the newest first, each once. */
export function mergeEvents(lists: Iterable<Iterable<FenceEventRow>>): FenceEventRow[] {
  const events = new Map<string, FenceEventRow>();
  for (const list of lists) {
    for (const event of list) events.set(JSON.stringify([event.vehicle_id, event.fence, event.kind, event.start_ts]), event);
  }
  return [...events.values()].sort((a, b) =>
    b.start_ts - a.start_ts || (a.vehicle_id < b.vehicle_id ? -1 : a.vehicle_id > b.vehicle_id ? 1 : a.fence < b.fence ? -1 : 1));
}

export interface FleetRow {
  /** Null for vehicles of no fleet. */
  fleet: string | null;
  counts: VehicleCounts;
  /** Vehicles on a trip; null when the engine knows no trips. */
  onTrip: number | null;
  /** Distance of the trips that are going on, m. */
  distance: number;
  working: number;
}

/** The fleets with their vehicles of now and their trips of now, ids in order, vehicles of no fleet last. */
export function fleets(vehicles: readonly VehicleRow[], openTrips: readonly TripRow[] | null, tick: number): FleetRow[] {
  const members = new Map<string | null, VehicleRow[]>();
  for (const vehicle of vehicles) {
    const list = members.get(vehicle.fleet);
    if (list) list.push(vehicle);
    else members.set(vehicle.fleet, [vehicle]);
  }
  const trips = new Map<string, TripRow>();
  for (const trip of openTrips ?? []) trips.set(trip.vehicle_id, trip);
  const rows = [...members].map(([fleet, list]): FleetRow => {
    const own = list.map(({ vehicle_id }) => trips.get(vehicle_id)).filter((trip) => trip !== undefined);
    return {
      fleet,
      counts: countVehicles(list, tick).get(null) ?? noVehicles(),
      onTrip: openTrips && own.length,
      distance: own.reduce((sum, trip) => sum + trip.distance, 0),
      working: own.reduce((sum, trip) => sum + trip.working_distance, 0),
    };
  });
  return rows.sort((a, b) => Number(a.fleet === null) - Number(b.fleet === null) || ((a.fleet ?? '') < (b.fleet ?? '') ? -1 : 1));
}

/** Vehicles whose plate, id, fleet or road contains what was typed, whatever its case. */
export function search(vehicles: readonly VehicleRow[], typed: string, words: (vehicle: VehicleRow) => readonly (string | null)[]): VehicleRow[] {
  const wanted = typed.trim().toLowerCase();
  if (wanted === '') return [...vehicles];
  return vehicles.filter((vehicle) => words(vehicle).some((word) => word?.toLowerCase().includes(wanted)));
}

/** Where a vehicle was at an instant. */
export interface Moment {
  at: LonLat;
  speed: number | null;
  working: boolean | null;
  /** Within a hole the place is that of the last fix before it: nobody knows the way between. */
  hole: boolean;
}

/** The moment `ts` of a track whose fixes are in order: between two fixes on the straight line; null before the first. */
export function momentOf(fixes: readonly TrackRow[], ts: number): Moment | null {
  let [low, high] = [0, fixes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((fixes[middle] as TrackRow).ts <= ts) low = middle + 1;
    else high = middle;
  }
  const [before, after] = [fixes[low - 1], fixes[low]];
  if (!before) return null;
  const hole = after !== undefined && after.ts - before.ts > HOLE_MS && ts > before.ts;
  const share = after && !hole ? (ts - before.ts) / (after.ts - before.ts) : 0;
  const mix = (a: number, b: number) => a + (b - a) * share;
  return {
    at: after ? [mix(before.lon, after.lon), mix(before.lat, after.lat)] : [before.lon, before.lat],
    speed: before.speed, working: before.working, hole,
  };
}

/** The start of the next stop after `ts`, or of the last one before it; null when there is none. */
export function stopBeside(list: readonly Stretch[], ts: number, by: 1 | -1): number | null {
  const starts = list.filter(({ kind }) => kind === 'stop').map(({ startTs }) => startTs);
  return (by > 0 ? starts.find((start) => start > ts) : starts.findLast((start) => start < ts)) ?? null;
}

/** The line of the speeds as a path in a box, broken at holes and where the speed is not known; and where the holes are. */
export function speedLine(
  fixes: readonly TrackRow[], box: { from: number; to: number; top: number; width: number; height: number },
): { line: string; holes: [number, number][] } {
  const x = (ts: number) => ((ts - box.from) / Math.max(1, box.to - box.from)) * box.width;
  const holes: [number, number][] = [];
  let line = '';
  let before: number | null = null;
  let pen = false;
  for (const { ts, speed } of fixes) {
    if (before !== null && ts - before > HOLE_MS) {
      holes.push([x(before), x(ts)]);
      pen = false;
    }
    before = ts;
    if (speed === null) {
      pen = false;
      continue;
    }
    line += `${pen ? 'L' : 'M'}${x(ts).toFixed(1)} ${(box.height - (speed / box.top) * box.height).toFixed(1)}`;
    pen = true;
  }
  return { line, holes };
}
