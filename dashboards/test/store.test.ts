// The reducer against a naive one: random snapshots, updates and frames, cut anywhere.
import { describe, expect, test } from 'vitest';
import { Store, keyOf, keyOfDelete } from '../src/live/store';
import type { Row, ViewSpec } from '../src/live/types';

const SPECS: ViewSpec[] = [
  { name: 'one', key: 1, columns: [{ name: 'id' }, { name: 'n' }] },
  { name: 'two', key: 2, columns: [{ name: 'kind' }, { name: 'id' }, { name: 'n' }] },
];
const SUBSCRIPTIONS = [{ id: 'a', view: 'one' }, { id: 'b', view: 'two' }, { id: 'c', view: 'missing' }];

/** A small generator with a seed: the same histories every time. */
function generator(seed: number) {
  let state = seed >>> 0;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const sorted = (rows: Iterable<Row>) => [...rows].map((row) => JSON.stringify(row)).sort();

describe('keys', () => {
  test('rows and deletes agree, whatever the types', () => {
    expect(keyOf({ id: 'x', n: 1 }, ['id'])).toBe(keyOfDelete('x'));
    expect(keyOf({ id: 'x', n: 1 }, ['id'])).toBe(keyOfDelete(['x']));
    expect(keyOf({ kind: 'a', id: 3 }, ['kind', 'id'])).toBe(keyOfDelete(['a', 3]));
    expect(keyOf({ kind: null, id: '3' }, ['kind', 'id'])).not.toBe(keyOfDelete([null, 3]));
  });
});

describe('store', () => {
  test('random histories equal a naive recomputation at every frame, and nothing shows in between', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = generator(seed);
      const store = new Store(SUBSCRIPTIONS, SPECS);
      // The truth, view by view, and what was true at the last frame.
      const truth: Record<string, Row[]> = { a: [], b: [] };
      let shown: Record<string, string[]> = { a: [], b: [] };
      for (let step = 0; step < 120; step++) {
        const id = next(2) === 0 ? 'a' : 'b';
        const row = (): Row => (id === 'a' ? { id: `r${next(8)}`, n: next(100) } : { kind: `k${next(2)}`, id: next(5), n: next(100) });
        const key = (r: Row) => (id === 'a' ? [r['id']] : [r['kind'], r['id']]);
        const same = (x: Row, y: Row) => JSON.stringify(key(x)) === JSON.stringify(key(y));
        const unique = (rows: Row[]) => rows.filter((r, i) => rows.findIndex((o) => same(o, r)) === i);
        const action = next(10);
        if (action === 0) {
          const rows = unique(Array.from({ length: next(6) }, row));
          store.snapshot(id, rows);
          truth[id] = rows;
        } else if (action < 7) {
          const upserts = unique(Array.from({ length: next(4) }, row));
          const gone = unique(Array.from({ length: next(3) }, row)).filter((r) => !upserts.some((u) => same(u, r)));
          store.update(id, upserts, gone.map(key));
          truth[id] = truth[id]!.filter((r) => ![...upserts, ...gone].some((o) => same(o, r))).concat(upserts);
        } else {
          store.commit(step);
          shown = { a: sorted(truth['a']!), b: sorted(truth['b']!) };
          expect(store.tick).toBe(step);
        }
        for (const view of ['a', 'b']) expect(sorted(store.table(view)!.rows.values())).toEqual(shown[view]);
      }
    }
  });

  test('what no frame has completed is forgotten when the connection breaks', () => {
    const store = new Store(SUBSCRIPTIONS, SPECS);
    store.snapshot('a', [{ id: 'x', n: 1 }]);
    store.commit(1);
    store.update('a', [{ id: 'x', n: 2 }], []);
    store.discard();
    store.commit(2);
    expect([...store.table('a')!.rows.values()]).toEqual([{ id: 'x', n: 1 }]);
  });

  test('a view that the engine does not have is no table', () => {
    const store = new Store(SUBSCRIPTIONS, SPECS);
    expect(store.has('c')).toBe(false);
    store.update('c', [{ id: 'x' }], []);
    store.commit(1);
    expect(store.table('c')).toBeUndefined();
  });

  test('the version of a table moves only when its rows do', () => {
    const store = new Store(SUBSCRIPTIONS, SPECS);
    store.snapshot('a', [{ id: 'x', n: 1 }]);
    store.commit(1);
    const version = store.table('a')!.version;
    store.update('a', [], []);
    store.commit(2);
    expect(store.table('a')!.version).toBe(version);
  });
});
