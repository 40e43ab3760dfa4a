// The selectors on small hand-made rows, and their sums on random ones.
import { describe, expect, test } from 'vitest';
import type { AlertRow, CaseRatesRow, StreamHealthRow, VehicleRow, VehicleState } from '../src/live/types';
import { districtsOf, roadsOf, rulesOf, sensorsOf } from '../src/model/reference';
import {
  STALE_AFTER_MS, alertQueue, countAlerts, countCases, countVehicles, districtValues, onTimeRate, rank, shapeOf, summarizeStreams,
} from '../src/model/select';
import { clock, span } from '../src/model/time';
import { Trend } from '../src/model/trend';

const T = 1_000_000;
const vehicle = (id: string, state: VehicleState, age = 0, district: string | null = 'd1'): VehicleRow => ({
  vehicle_id: id, fleet: null, district, lon: 109, lat: 36, speed: 1, heading: 0, working: null, ts: T - age, state, road: null,
});
const alert = (id: string, over: Partial<AlertRow> = {}): AlertRow => ({
  alert_id: id, rule: 'r', target: 's', district: 'd1', severity: 'warning', state: 'open', raised_ts: T - 1000, cleared_ts: null,
  value: 1, owner: null, revision: 1, reason: '', ...over,
});
const rates = (scope: 'city' | 'district', id: string, open: number, overdue: number, closed: number, late: number): CaseRatesRow => ({
  scope, id, period: 'all', reported: open + closed, open, overdue, closed, closed_overdue: late, reworked: 0,
});

describe('vehicles', () => {
  test('stale is judged against the tick, exactly past the limit, and offline is offline', () => {
    expect(shapeOf(vehicle('a', 'working', STALE_AFTER_MS), T)).toBe('working');
    expect(shapeOf(vehicle('a', 'working', STALE_AFTER_MS + 1), T)).toBe('stale');
    expect(shapeOf(vehicle('a', 'offline', 0), T)).toBe('offline');
  });

  test('counts by scope', () => {
    const counts = countVehicles([vehicle('a', 'working'), vehicle('b', 'stopped', 90_000), vehicle('c', 'offline', 999_999, 'd2'), vehicle('d', 'driving', 0, null)], T);
    expect(counts.get(null)).toEqual({ total: 4, working: 1, driving: 1, stopped: 1, offline: 1, fresh: 2, stale: 1 });
    expect(counts.get('d1')).toEqual({ total: 2, working: 1, driving: 0, stopped: 1, offline: 0, fresh: 1, stale: 1 });
    expect(counts.get('d2')?.offline).toBe(1);
  });

  test('the parts add up to the whole, and the districts to the city', () => {
    const states: VehicleState[] = ['working', 'driving', 'stopped', 'offline'];
    const many = Array.from({ length: 500 }, (_, i) => vehicle(`v${i}`, states[(i * 7) % 4]!, (i * 977) % 120_000, `d${i % 13}`));
    const counts = countVehicles(many, T);
    const city = counts.get(null)!;
    expect(city.working + city.driving + city.stopped + city.offline).toBe(500);
    expect(city.fresh + city.stale + city.offline).toBe(500);
    for (const part of ['total', 'working', 'fresh', 'stale', 'offline'] as const) {
      const sum = [...counts].filter(([id]) => id !== null).reduce((s, [, c]) => s + c[part], 0);
      expect(sum).toBe(city[part]);
    }
  });
});

describe('alerts', () => {
  const all = [
    alert('n', { severity: 'notice', raised_ts: T }), alert('s-old', { severity: 'severe', raised_ts: T - 9000 }),
    alert('s-new', { severity: 'severe', raised_ts: T - 10, district: 'd2' }), alert('w-b'), alert('w-a'),
    alert('gone', { severity: 'severe', state: 'cleared' }), alert('acked', { state: 'acknowledged', raised_ts: T - 99_000 }),
  ];

  test('severity, then the newest, then the id; ended ones are not in the queue', () => {
    expect(alertQueue(all, null).map((a) => a.alert_id)).toEqual(['s-new', 's-old', 'w-a', 'w-b', 'acked', 'n']);
    expect(alertQueue([...all].reverse(), null).map((a) => a.alert_id)).toEqual(['s-new', 's-old', 'w-a', 'w-b', 'acked', 'n']);
    expect(alertQueue(all, 'd2').map((a) => a.alert_id)).toEqual(['s-new']);
  });

  test('counts; the oldest is the oldest that nobody has confirmed', () => {
    const counts = countAlerts(all);
    expect(counts.get(null)).toEqual({ active: 6, open: 5, acknowledged: 1, severe: 2, warning: 3, notice: 1, oldestOpen: T - 9000 });
    expect(counts.get('d2')?.active).toBe(1);
  });
});

describe('cases', () => {
  test('on-time rate; nothing closed is no rate', () => {
    const counts = countCases([rates('city', 'city', 9, 2, 20, 5), rates('district', 'd1', 4, 1, 0, 0)]);
    expect(onTimeRate(counts.get(null))).toBe(0.75);
    expect(onTimeRate(counts.get('d1'))).toBeNull();
    expect(onTimeRate(undefined)).toBeNull();
  });

  test('another period and departments are not mixed in', () => {
    const other = { ...rates('city', 'city', 100, 0, 0, 0), period: '2026-11' };
    const department: CaseRatesRow = { ...rates('district', 'd1', 7, 0, 0, 0), scope: 'department' };
    const counts = countCases([other, department, rates('district', 'd1', 3, 0, 0, 0)]);
    expect(counts.get('d1')?.open).toBe(3);
    expect(counts.has(null)).toBe(false);
  });
});

describe('districts', () => {
  test('a missing view is unknown, a missing row is zero', () => {
    const values = districtValues(['d1', 'd2'], countVehicles([vehicle('a', 'working')], T), null, new Map([['d1', { reported: 5, open: 5, overdue: 1, closed: 0, closedOnTime: 0 }]]));
    expect(values[0]!.values).toEqual({ open: 5, overdue: 1, alerts: null, working: 1 });
    expect(values[1]!.values).toEqual({ open: 0, overdue: 0, alerts: null, working: 0 });
    expect(rank(values, 'open').map((d) => d.id)).toEqual(['d1', 'd2']);
    expect(rank([...values].reverse(), 'alerts').map((d) => d.id)).toEqual(['d1', 'd2']);
  });
});

test('streams: partitions add up, the worst lag counts, the order is fixed', () => {
  const row = (stream: string, partition: number, over: Partial<StreamHealthRow> = {}): StreamHealthRow => ({
    stream, partition, lag_records: 1, lag_ms: 5, rate: 10, late: 1, duplicates: 2, rejected: 3, last_ts: T, holds_back: false, ...over,
  });
  const summary = summarizeStreams([row('zeta', 0), row('cases', 0), row('telemetry', 1, { lag_ms: 50, holds_back: true, last_ts: null }), row('telemetry', 0)]);
  expect(summary.map((s) => s.stream)).toEqual(['telemetry', 'cases', 'zeta']);
  expect(summary[0]).toMatchObject({ rate: 20, lagMs: 50, rejected: 6, duplicates: 4, lastTs: T, holdsBack: true });
});

describe('trend', () => {
  test('is bounded, spans everything since the start, and keeps holes', () => {
    const trend = new Trend(64, 1000);
    for (let i = 0; i < 100_000; i++) trend.push(i * 1000, i % 50 === 0 ? null : i);
    expect(trend.times.length).toBeLessThanOrEqual(64);
    expect(trend.times[0]).toBe(0);
    expect(trend.times.at(-1)).toBeGreaterThan(90_000_000);
    expect([...trend.times].sort((a, b) => a - b)).toEqual(trend.times);
    expect(trend.values[0]).toBeNull();
  });

  test('starts anew when time runs back', () => {
    const trend = new Trend(64, 1000);
    trend.push(5000, 1);
    trend.push(1000, 2);
    expect(trend.times).toEqual([1000]);
  });
});

describe('reference', () => {
  const row = (kind: string, id: string, json: Record<string, unknown> | string | null) => ({ kind, id, ts: null, json });
  test('the shipped districts stand in until the engine names its own', () => {
    expect(districtsOf([]).districts).toHaveLength(13);
    expect(districtsOf([]).shipped).toBe(true);
    const geometry = { type: 'Polygon', coordinates: [[[0, 0], [2, 0], [2, 2], [0, 0]]] };
    const own = districtsOf([row('district', 'x', { name: '甲区', geometry }), row('district', 'broken', { name: '乙区' })]);
    expect(own.shipped).toBe(false);
    expect(own.districts).toEqual([{ id: 'x', name: '甲区', nameEn: null, geometry, label: [1, 1] }]);
  });

  test('json as text or as an object; schematic roads are known as such', () => {
    const body = { name: '中心街', district: 'd1', grade: 1, geometry: { type: 'LineString', coordinates: [[0, 0], [1, 1]] }, schematic: true };
    const roads = roadsOf([row('road', 'r1', body), row('road', 'r2', JSON.stringify(body)), row('road', 'r3', 'no json'), row('road', 'r4', null)]);
    expect(roads.map((road) => [road.id, road.grade, road.schematic])).toEqual([['r1', '1', true], ['r2', '1', true]]);
  });

  test('sensors without a place have none; rules have their texts', () => {
    expect(sensorsOf([row('sensor', 's', { name: '井', lon: 1 })]).get('s')).toEqual({ name: '井', at: null });
    expect(rulesOf([row('rule', 'r', { text: { zh: '满溢' }, unit: '%' })]).get('r')).toEqual({ text: { zh: '满溢' }, unit: '%' });
  });
});

test('times are city times', () => {
  expect(clock(Date.UTC(2026, 10, 23, 23, 44, 6))).toBe('07:44:06');
  const units = { s: '秒', min: '分', h: '时', d: '天' };
  expect([span(-5, units), span(59_999, units), span(60_000, units), span(3_661_000, units), span(90_000_000, units)]).toEqual(['0 秒', '59 秒', '1 分', '1 时 1 分', '1 天 1 时']);
});
