// What the screens share, and what they ask the engine for.
import { describe, expect, test } from 'vitest';
import { Store, Table } from '../src/live/store';
import type { Row, Subscription, ViewSpec } from '../src/live/types';
import * as analytics from '../src/screens/analytics/frame';
import * as dispatch from '../src/screens/dispatch/frame';
import { distance, km, num, percent } from '../src/screens/shared/format';
import { Kept } from '../src/screens/shared/kept';
import { addressOf, screenOf } from '../src/screens/shared/Nav';

test('the address says which screen', () => {
  expect(['/', '/dispatch', '/analytics/', '/room/dispatch', '/else', ''].map(screenOf)).toEqual(['command', 'dispatch', 'analytics', 'dispatch', 'command', 'command']);
  expect([addressOf('command', 'zh'), addressOf('dispatch', 'en')]).toEqual(['/?lang=zh', '/dispatch?lang=en']);
});

test('numbers; what is not known is a dash', () => {
  expect([num(12_345), num(null), percent(0.8125), percent(undefined), km(1234), km(null)]).toEqual(['12,345', '—', '81.3', '—', '1.2', '—']);
  expect([distance(94), distance(996), distance(1040)]).toEqual(['90 m', '1000 m', '1.0 km']);
});

test('what is kept is made anew only when a table moves or is another', () => {
  const kept = new Kept();
  const table = new Table<Row>(['id']);
  let made = 0;
  const get = (from: Table<Row>) => kept.get('x', from, (rows) => [++made, [...rows].length]);
  expect(get(table)).toEqual([1, 0]);
  expect(get(table)).toEqual([1, 0]);
  table.replace([{ id: 1 }]);
  expect(get(table)).toEqual([2, 1]);
  const other = new Table<Row>(['id']);
  other.replace([]);
  expect(get(other)).toEqual([3, 0]);
});

const spec = (name: string, key: number, columns: string): ViewSpec => ({ name, key, columns: columns.split(' ').map((column) => ({ name: column })) });
const unique = (list: readonly Subscription[]) => new Set(list.map(({ id }) => id)).size === list.length;

describe('dispatch', () => {
  test('it asks for its dates and for one vehicle, each under an id of its own, below the limit of 64', () => {
    const list = dispatch.subscriptions(['2026-11-23', '2026-11-24'], 'v1');
    expect(unique(list)).toBe(true);
    expect(list.length).toBeLessThan(64);
    expect(list).toContainEqual({ id: 'roads/2026-11-24', view: 'road_coverage', where: { date: '2026-11-24' } });
    expect(list).toContainEqual({ id: 'trips/v1', view: 'trips', where: { vehicle_id: 'v1' } });
    expect(dispatch.subscriptions([], null).some(({ id }) => id.startsWith('trips/'))).toBe(false);
  });

  test('a view that is not there is null, one without rows is empty, one not answered yet is null', () => {
    const list = dispatch.subscriptions(['2026-11-24'], 'v1');
    const store = new Store(list, [spec('vehicles', 1, 'vehicle_id'), spec('road_coverage', 3, 'road shift date'), spec('trips', 2, 'vehicle_id start_ts'), spec('reference', 2, 'kind id')]);
    store.snapshot('vehicles', [{ vehicle_id: 'v1' }]);
    store.snapshot('roads/2026-11-24', [{ road: 'r', shift: 's', date: '2026-11-24', planned_passes: 1, due_ts: 9, state: 'done' }]);
    store.snapshot('trips-open', []);
    store.commit(5);
    const frame = new dispatch.FrameMaker().make(store, 5, ['2026-11-24'], 'v1');
    expect([...frame.offers]).toEqual(['vehicles', 'road_coverage', 'trips', 'reference']);
    expect(frame.roadRows).toHaveLength(1);
    expect(frame.days.map(({ key }) => key)).toEqual(['2026-11-24/s']);
    expect([frame.districtRows, frame.events, frame.openTrips]).toEqual([null, null, []]);
    expect(frame.chosen).toEqual({ vehicle: 'v1', trips: null, stops: null, events: null, track: null });
    store.snapshot('trips/v1', [{ vehicle_id: 'v1', start_ts: 1 }]);
    store.commit(6);
    expect(new dispatch.FrameMaker().make(store, 6, ['2026-11-24'], 'v1').chosen?.trips).toHaveLength(1);
  });
});

describe('analytics', () => {
  test('it asks for one scheme and two periods; the counts of all time always', () => {
    const list = analytics.subscriptions({ scheme: 's', periods: ['2026-11', '2026-10'], date: '2026-11-24' });
    expect(unique(list)).toBe(true);
    expect(list.filter(({ view }) => view === 'indicators').map(({ where }) => where)).toEqual([{ scheme: 's', period: '2026-11' }, { scheme: 's', period: '2026-10' }]);
    expect(list.filter(({ view }) => view === 'case_rates').map(({ where }) => where?.['period'])).toEqual(['2026-11', '2026-11', 'all', 'all']);
    expect(analytics.subscriptions({ scheme: null, periods: ['all'], date: 'd' }).filter(({ view }) => view === 'case_rates')).toHaveLength(2);
  });

  test('scores not answered yet are null; indicators of two periods are one list', () => {
    const question = { scheme: 's', periods: ['q', 'p'], date: 'd' };
    const store = new Store(analytics.subscriptions(question), [spec('scores', 3, 'scheme district period'), spec('indicators', 4, 'scheme district indicator period'), spec('reference', 2, 'kind id')]);
    const make = () => new analytics.FrameMaker().make(store, 1, question);
    expect(make().scores).toBeNull();
    expect(make().cases).toBeNull();
    store.snapshot('scores/s', [{ scheme: 's', district: 'd', period: 'q' }]);
    for (const period of ['q', 'p']) store.snapshot(`indicators/s/${period}`, [{ scheme: 's', district: 'd', indicator: 'i', period }]);
    store.snapshot('ref-indicator', [{ kind: 'indicator', id: 'i', ts: null, json: { name: '指标', numerator: 'closed', denominator: 'to_close', source: 'GB/T 30428.4' } }]);
    store.commit(2);
    expect(make().scores).toHaveLength(1);
    expect(make().indicators).toHaveLength(2);
    expect(make().indicatorRefs.get('i')).toEqual({ names: { zh: '指标', en: '指标' }, formula: 'closed ÷ to_close', source: 'GB/T 30428.4' });
  });
});
