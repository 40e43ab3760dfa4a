// What has been committed, and the changes that wait for their frame.
//
// Nothing that arrives is visible until the frame that completes it: `snapshot` and `update` only queue, `commit(tick)`
// applies the queue in one synchronous step. Whoever reads between two commits reads exactly one tick.
// Bounded by the rows of the subscribed views, plus what the engine sends between two frames.

import type { Row, Subscription, ViewSpec } from './types';

/** The identity of a row as one string. */
export function keyOf(row: Row, key: readonly string[]): string {
  return JSON.stringify(key.map((column) => row[column] ?? null));
}

/** The same identity from an entry of `deletes`: the key's values in order, or the bare value of a key of one column. */
export function keyOfDelete(entry: unknown): string {
  return JSON.stringify(Array.isArray(entry) ? entry : [entry]);
}

/** The rows of one subscription. `version` moves whenever they do; 0 = not answered yet. */
export class Table<R extends Row = Row> {
  readonly rows = new Map<string, R>();
  version = 0;

  constructor(readonly key: readonly string[]) {}

  replace(rows: readonly R[]): void {
    this.rows.clear();
    for (const row of rows) this.rows.set(keyOf(row, this.key), row);
    this.version++;
  }

  apply(upserts: readonly R[], deletes: readonly unknown[]): void {
    for (const entry of deletes) this.rows.delete(keyOfDelete(entry));
    for (const row of upserts) this.rows.set(keyOf(row, this.key), row);
    if (upserts.length + deletes.length > 0) this.version++;
  }
}

type Pending =
  | { id: string; rows: Row[] }
  | { id: string; upserts: Row[]; deletes: unknown[] };

/** All subscriptions of the connection, at one tick. */
export class Store {
  /** The tick that everything here is of; null before the first commit. */
  tick: number | null = null;
  private readonly tables = new Map<string, Table>();
  private pending: Pending[] = [];

  constructor(
    subscriptions: readonly Subscription[],
    private readonly specs: readonly ViewSpec[],
  ) {
    for (const subscription of subscriptions) this.add(subscription);
  }

  /** Whether the engine has a view. */
  offers(view: string): boolean {
    return this.specs.some((spec) => spec.name === view);
  }

  /** Of these columns, those that a view of the engine has. */
  known(view: string, columns: readonly string[]): string[] {
    const spec = this.specs.find((candidate) => candidate.name === view);
    return columns.filter((name) => spec?.columns.some((column) => column.name === name));
  }

  /** Room for the rows of one more subscription. A view that this engine does not have gets none: its panel says so. */
  add({ id, view }: Subscription): void {
    const spec = this.specs.find((candidate) => candidate.name === view);
    if (spec) this.tables.set(id, new Table(spec.columns.slice(0, spec.key).map((column) => column.name)));
  }

  /** Forgets a subscription; what still comes for it is dropped. */
  remove(id: string): void {
    this.tables.delete(id);
  }

  has(id: string): boolean {
    return this.tables.has(id);
  }

  table<R extends Row>(id: string): Table<R> | undefined {
    return this.tables.get(id) as Table<R> | undefined;
  }

  snapshot(id: string, rows: Row[]): void {
    this.pending.push({ id, rows });
  }

  update(id: string, upserts: Row[], deletes: unknown[]): void {
    this.pending.push({ id, upserts, deletes });
  }

  /** Forgets what has not been completed by a frame, as when the connection breaks. */
  discard(): void {
    this.pending = [];
  }

  commit(tick: number): void {
    for (const change of this.pending) {
      const table = this.tables.get(change.id);
      if (!table) continue;
      if ('rows' in change) table.replace(change.rows);
      else table.apply(change.upserts, change.deletes);
    }
    this.pending = [];
    this.tick = tick;
  }
}
