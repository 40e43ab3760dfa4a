// Tracks with holes, the stretches of a day, fleets, fence events of several lists.
import { describe, expect, test } from 'vitest';
import type { FenceEventRow, StopRow, TrackRow, TripRow, VehicleRow } from '../src/live/types';
import { HOLE_MS, fleets, mergeEvents, momentOf, search, speedLine, stopBeside, stretches, totals, trackOf } from '../src/model/journeys';

const T = 1_000_000_000;
const fix = (ts: number, lon: number, speed: number | null = 10): TrackRow => ({ vehicle_id: 'v', ts, lon, lat: 36, speed, working: true });
const trip = (id: string, start: number, end: number, over: Partial<TripRow> = {}): TripRow => ({
  vehicle_id: id, start_ts: start, end_ts: end, distance: 1000, working_distance: 400, idle: 0, top_speed: 20, start_place: null, place: null, provisional: false, ...over,
});
const stop = (start: number, end: number): StopRow => ({ vehicle_id: 'v', start_ts: start, end_ts: end, duration: (end - start) / 1000, lon: 109, lat: 36, place: 'depot', provisional: false });
const vehicle = (id: string, fleet: string | null, state: VehicleRow['state'] = 'working'): VehicleRow => ({
  vehicle_id: id, fleet, district: 'd', lon: 109, lat: 36, speed: 1, heading: 0, working: null, ts: T, state, road: null,
});

describe('track', () => {
  test('a hole is no way: the line breaks, the hole is drawn apart', () => {
    const track = trackOf([fix(T + 10_000, 2), fix(T, 1), fix(T + 10_001 + HOLE_MS, 3), fix(T + 10_001 + HOLE_MS + 1000, 4)]);
    expect(track.ways).toEqual([[[1, 36], [2, 36]], [[3, 36], [4, 36]]]);
    expect(track.holes).toEqual([[[2, 36], [3, 36]]]);
    expect(track.holeMs).toBe(HOLE_MS + 1);
    expect(trackOf([]).ways).toEqual([]);
  });

  test('fixes exactly the limit apart are joined', () => {
    expect(trackOf([fix(T, 1), fix(T + HOLE_MS, 2)]).holes).toEqual([]);
  });

  test('the speed line breaks at holes and at unknown speeds', () => {
    const { line, holes } = speedLine([fix(0, 1, 10), fix(10_000, 1, 20), fix(20_000, 1, null), fix(30_000, 1, 0), fix(100_000, 1, 20)], { from: 0, to: 100_000, top: 20, width: 600, height: 100 });
    expect(line.match(/M/g)).toHaveLength(3);
    expect(line).toBe('M0.0 50.0L60.0 0.0M180.0 100.0M600.0 0.0');
    expect(holes).toEqual([[180, 600]]);
  });
});

describe('replay', () => {
  const fixes = [fix(0, 1, 10), fix(10_000, 2, 20), fix(100_000, 3, 30)];
  test('between fixes on the line, in a hole where it was last heard, after the end where it is', () => {
    expect(momentOf(fixes, -1)).toBeNull();
    expect(momentOf(fixes, 5000)).toEqual({ at: [1.5, 36], speed: 10, working: true, hole: false });
    expect(momentOf(fixes, 10_000)).toMatchObject({ at: [2, 36], hole: false });
    expect(momentOf(fixes, 50_000)).toMatchObject({ at: [2, 36], speed: 20, hole: true });
    expect(momentOf(fixes, 200_000)).toMatchObject({ at: [3, 36], hole: false });
    expect(momentOf([], 0)).toBeNull();
  });
  test('from stop to stop', () => {
    const list = stretches([trip('v', 0, 10)], [stop(10, 20), stop(40, 50)]);
    expect([stopBeside(list, 10, 1), stopBeside(list, 40, 1), stopBeside(list, 40, -1), stopBeside(list, -Infinity, 1)]).toEqual([40, null, 10, 10]);
  });
});

describe('day', () => {
  test('trips and stops in order, and their sums', () => {
    const list = stretches([trip('v', T + 20, T + 30, { provisional: true }), trip('v', T, T + 10)], [stop(T + 10, T + 20)]);
    expect(list.map(({ kind, startTs }) => [kind, startTs - T])).toEqual([['trip', 0], ['stop', 10], ['trip', 20]]);
    expect(totals(list)).toEqual({ distance: 2000, working: 800, stopped: 10, trips: 2, stops: 1 });
    expect(totals([])).toEqual({ distance: 0, working: 0, stopped: 0, trips: 0, stops: 0 });
  });

  test('an event that two lists hold is one, the newest first', () => {
    const event = (id: string, start: number, kind: FenceEventRow['kind'] = 'visit'): FenceEventRow => ({
      vehicle_id: id, fence: 'f', kind, start_ts: start, end_ts: null, dwell: 0, overstay: false, provisional: true,
    });
    const merged = mergeEvents([[event('a', 1), event('b', 3, 'missed')], [event('b', 3, 'missed'), event('b', 3)]]);
    expect(merged.map(({ vehicle_id, kind }) => `${vehicle_id} ${kind}`)).toEqual(['b missed', 'b visit', 'a visit']);
  });
});

describe('fleets', () => {
  const vehicles = [vehicle('1', 'b'), vehicle('2', 'a', 'offline'), vehicle('3', null), vehicle('4', 'a')];
  test('their vehicles and their open trips; no fleet comes last', () => {
    const rows = fleets(vehicles, [trip('4', T, T), trip('nobody', T, T)], T);
    expect(rows.map(({ fleet, counts, onTrip, distance }) => [fleet, counts.total, counts.working, onTrip, distance])).toEqual([['a', 2, 1, 1, 1000], ['b', 1, 1, 0, 0], [null, 1, 1, 0, 0]]);
  });
  test('an engine without trips is not one with none', () => {
    expect(fleets(vehicles, null, T)[0]?.onTrip).toBeNull();
  });
  test('the search finds what any of the words contains', () => {
    const words = (row: VehicleRow) => [`陕J·${row.vehicle_id}`, row.fleet];
    expect(search(vehicles, ' B ', words).map((row) => row.vehicle_id)).toEqual(['1']);
    expect(search(vehicles, '陕j·4', words).map((row) => row.vehicle_id)).toEqual(['4']);
    expect(search(vehicles, '', words)).toHaveLength(4);
  });
});
