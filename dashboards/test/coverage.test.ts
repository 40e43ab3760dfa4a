// Shifts, roads by state, and who is near, on small hand-made rows.
import { describe, expect, test } from 'vitest';
import type { DistrictCoverageRow, RoadCoverageRow, RoadState, VehicleRow } from '../src/live/types';
import { countRoads, currentShift, districtRow, nearest, roadsIn, shiftDays, shiftsOf } from '../src/model/coverage';
import { distanceBetween, distanceToLine } from '../src/model/geo';
import { cityDate } from '../src/model/time';

const H = 3_600_000;
const T = Date.parse('2026-11-24T10:00:00+08:00');
const road = (id: string, shift: string, dueTs: number, over: Partial<RoadCoverageRow> = {}): RoadCoverageRow => ({
  road: id, shift, date: '2026-11-24', district: 'd1', grade: '1', length: 1000, swept_length: 400, share: 0.4, passes: 0, planned_passes: 1,
  last_swept_ts: null, vehicles: 1, state: 'not_due', due_ts: dueTs, ...over,
});
const reference = (id: string, json: Record<string, unknown>) => ({ kind: 'shift', id, ts: null, json });
const shifts = shiftsOf([
  reference('early', { name: '早班', start: '04:00', end: '08:00' }), reference('noon', { name: '午班', start: '09:00', end: '12:00' }),
  reference('night', { name: '夜班', start: '22:00', end: '02:00' }), reference('whole', { start: '00:00', end: '24:00' }), reference('broken', { start: 'soon' }),
]);

describe('shifts', () => {
  test('a shift may pass midnight or last until 24:00; a record without times is none', () => {
    expect(shifts.get('night')).toEqual({ id: 'night', name: '夜班', start: 22 * 60, end: 26 * 60 });
    expect(shifts.get('whole')?.end).toBe(24 * 60);
    expect(shifts.has('broken')).toBe(false);
  });

  const rows = [road('a', 'early', T - 2 * H), road('b', 'noon', T + 2 * H), road('c', 'noon', T + 2 * H), road('d', 'night', T + 16 * H)];

  test('the shifts in the rows, by their ends; what is not planned makes none', () => {
    const days = shiftDays([...rows, road('e', 'extra', T, { planned_passes: 0 })], shifts);
    expect(days.map(({ key, planned }) => [key, planned])).toEqual([['2026-11-24/early', 1], ['2026-11-24/noon', 2], ['2026-11-24/night', 1]]);
    expect(days[1]?.startTs).toBe(T - H);
  });

  test('the shift that is on, else the last that ended, else the next', () => {
    const days = shiftDays(rows, shifts);
    expect(currentShift(days, T)?.shift).toBe('noon');
    expect(currentShift(days, T + 2 * H)?.shift).toBe('noon');
    expect(currentShift(days, T - 1.5 * H)?.shift).toBe('early');
    expect(currentShift(days, T + 13 * H)?.shift).toBe('night');
    expect(currentShift(days, T - 9 * H)?.shift).toBe('early');
    expect(currentShift([], T)).toBeNull();
  });

  test('without a record of its length a shift counts when it has ended', () => {
    const days = shiftDays([road('a', 'odd', T - H), road('b', 'noon', T + 2 * H)], new Map());
    expect(currentShift(days, T)?.shift).toBe('odd');
  });

  test('the date is that of the city', () => {
    expect(cityDate(Date.parse('2026-11-23T16:00:00Z'))).toBe('2026-11-24');
    expect(cityDate(Date.parse('2026-11-23T15:59:59Z'))).toBe('2026-11-23');
  });
});

describe('roads', () => {
  const states: RoadState[] = ['done', 'missed', 'missed', 'too_few', 'not_due'];
  const rows = states.map((state, i) => road(`r${i}`, 'noon', T, { state, length: 100 * (i + 1), swept_length: 10 }));

  test('counts and lengths; what nobody planned does not count', () => {
    const counts = countRoads([...rows, road('x', 'noon', T, { planned_passes: 0, state: 'done' })]);
    expect(counts).toEqual({ done: 1, missed: 2, too_few: 1, not_due: 1, planned: 5, length: 1500, swept: 50, missedLength: 500 });
    expect(countRoads([]).planned).toBe(0);
  });

  test('the longest unswept first, ids between equals', () => {
    expect(roadsIn(rows, 'missed').map((row) => row.road)).toEqual(['r2', 'r1']);
    const equal = [road('b', 's', T, { state: 'missed' }), road('a', 's', T, { state: 'missed' })];
    expect(roadsIn(equal, 'missed').map((row) => row.road)).toEqual(['a', 'b']);
  });

  test('the row of a district, and of the city', () => {
    const of = (district: string, shift: string): DistrictCoverageRow => ({
      district, shift, date: '2026-11-24', length: 1, swept_length: 1, share: 1, planned_roads: 1, done_roads: 1, too_few_roads: 0, missed_roads: 0,
      repeat_share: null, record_completeness: null, expected_finish_ts: null,
    });
    const all = [of('d1', 'noon'), of('city', 'noon'), of('city', 'early')];
    expect(districtRow(all, '2026-11-24/noon', null)).toBe(all[1]);
    expect(districtRow(all, '2026-11-24/noon', 'd1')).toBe(all[0]);
    expect(districtRow(all, '2026-11-24/early', 'd1')).toBeNull();
  });
});

describe('near', () => {
  test('distances on the ground', () => {
    expect(distanceBetween([109, 36], [109, 36.01])).toBeCloseTo(1111.95, 1);
    expect(distanceBetween([109, 36], [109.01, 36])).toBeCloseTo(899.6, 0);
    const line = [[109, 36], [109.02, 36]] as const;
    expect(distanceToLine([109.01, 36.001], line)).toBeCloseTo(111.2, 1);
    expect(distanceToLine([108.99, 36], line)).toBeCloseTo(899.6, 0);
    expect(distanceToLine([109, 36], [])).toBe(Infinity);
  });

  test('the nearest first; those nobody has heard of lately are left out; idle ones are free', () => {
    const vehicle = (id: string, lat: number, over: Partial<VehicleRow> = {}): VehicleRow => ({
      vehicle_id: id, fleet: null, district: null, lon: 109, lat, speed: 0, heading: null, working: null, ts: T, state: 'stopped', road: null, ...over,
    });
    const list = nearest([[109, 36], [109.01, 36]], [
      vehicle('far', 36.03), vehicle('near', 36.001), vehicle('busy', 36.002, { state: 'working' }),
      vehicle('gone', 36, { state: 'offline' }), vehicle('stale', 36, { ts: T - 61_000 }),
    ], T);
    expect(list.map(({ vehicle: { vehicle_id }, free }) => [vehicle_id, free])).toEqual([['near', true], ['busy', false], ['far', true]]);
    expect(list[0]?.metres).toBeCloseTo(111.2, 1);
  });
});
