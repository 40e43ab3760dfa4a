// Geometry of the picture: the lens over towns, colours, where texts stand, what a frame contains.
import { describe, expect, test } from 'vitest';
import { Store } from '../src/live/store';
import type { Row, ViewSpec } from '../src/live/types';
import { ramp } from '../src/screens/command/colour';
import { gather, lens, townsOf } from '../src/screens/command/draw';
import { FrameMaker, SUBSCRIPTIONS } from '../src/screens/command/frame';
import { around, best, inside, outsideOf, overlap, textWidth } from '../src/screens/command/placing';

const road = (district: string, line: [number, number][]) => ({ id: 'r', name: '', district, grade: '1', line, schematic: true });

describe('lens', () => {
  const towns = townsOf([road('d', [[0, -0.01], [0, 0.01]])]);
  const plain = (scale: number) => ([x, y]: [number, number]) => ({ x: x * scale, y: -y * scale });

  test('a small town is magnified about its middle; what lies outside stays', () => {
    const project = lens(plain(100), towns, () => 20);
    expect(project([0, 0.01], 'd').y).toBeCloseTo(-20);
    expect(project([0, 0], 'd').y).toBeCloseTo(0);
    expect(project([0, 5], 'd')).toEqual({ x: 0, y: -500 });
    expect(project([0, 0.01], null).y).toBeCloseTo(-1);
    expect(project([0, 0.01], 'other').y).toBeCloseTo(-1);
  });

  test('close by it is the plain map', () => {
    const project = lens(plain(10_000), towns, () => 20);
    expect(project([0, 0.005], 'd').y).toBeCloseTo(-50);
  });
});

test('the ramp has its ends where they belong and holds outside of 0..1', () => {
  expect(ramp(0, false)).toBe('#15294c');
  expect(ramp(1, false)).toBe('#45abc5');
  expect(ramp(7, true)).toBe(ramp(1, true));
  expect(ramp(-1, true)).toBe(ramp(0, true));
});

test('texts go where they cover least', () => {
  expect(overlap(around({ x: 0, y: 0 }, 2, 2), around({ x: 1, y: 1 }, 2, 2))).toBe(1);
  const spots = [around({ x: 0, y: 0 }, 2, 2), around({ x: 5, y: 0 }, 2, 2)];
  expect(best(spots, [around({ x: 0, y: 0 }, 2, 2)])?.at).toBe(spots[1]);
  expect(best(spots, [])?.at).toBe(spots[0]);
  expect(textWidth('宝塔')).toBe(2);
  expect(outsideOf({ x: 1, y: 1, w: 2, h: 2 }, 10, 10)).toBe(0);
  expect(outsideOf({ x: 9, y: 1, w: 2, h: 2 }, 10, 10)).toBe(2);
  const square = { type: 'Polygon' as const, coordinates: [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]], [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]] };
  expect([inside(square, [3, 3]), inside(square, [1.5, 1.5]), inside(square, [5, 1])]).toEqual([true, false, false]);
});

test('vehicles on one spot are one mark with their number, two are still two', () => {
  const at = (x: number) => ({ p: { x, y: 1 } });
  const counts = (places: { p: { x: number; y: number } }[]) => gather(places, 10).map((crowd) => [crowd.p.x, crowd.n]);
  expect(counts([at(1), at(2), at(3), at(25)])).toEqual([[1, 3], [25, 1]]);
  expect(counts([at(1), at(1)])).toEqual([[1, 1], [1, 1]]);
  expect(counts([at(1), at(6)])).toEqual([[1, 1], [6, 1]]);
});

describe('frame', () => {
  const spec = (name: string, key: number, columns: string): ViewSpec => ({ name, key, columns: columns.split(' ').map((c) => ({ name: c })) });
  const specs = [spec('vehicles', 1, 'vehicle_id'), spec('sensors', 2, 'sensor_id metric'), spec('reference', 2, 'kind id')];
  const put = (store: Store, id: string, rows: Row[]) => store.snapshot(id, rows);

  test('views that the engine does not have are unknown, not zero', () => {
    const store = new Store(SUBSCRIPTIONS, specs);
    put(store, 'vehicles', []);
    store.commit(1);
    const frame = new FrameMaker().make(store, 1);
    expect(frame.vehicles).toEqual([]);
    expect([frame.alerts, frame.alertCounts, frame.cases, frame.streams]).toEqual([null, null, null, null]);
    expect(frame.districts).toHaveLength(13);
  });

  test('a sensor with two silent metrics is one sensor; reference is kept while it stands still', () => {
    const store = new Store(SUBSCRIPTIONS, specs);
    put(store, 'sensors-offline', [{ sensor_id: 's', metric: 'a', district: 'd' }, { sensor_id: 's', metric: 'b', district: 'd' }]);
    put(store, 'ref-sensor', [{ kind: 'sensor', id: 's', ts: null, json: { district: 'd' } }]);
    store.commit(1);
    const maker = new FrameMaker();
    const first = maker.make(store, 1);
    expect(first.sensorsOffline).toEqual(new Map([[null, 1], ['d', 1]]));
    expect(first.sensorsTotal).toEqual(new Map([[null, 1], ['d', 1]]));
    store.commit(2);
    expect(maker.make(store, 2).sensors).toBe(first.sensors);
    store.update('ref-sensor', [{ kind: 'sensor', id: 't', ts: null, json: {} }], []);
    store.commit(3);
    expect(maker.make(store, 3).sensors.size).toBe(2);
  });
});
