// What is computed from tables that seldom change, kept while their versions stand still. Bounded by its names.

import type { Table } from '../../live/store';
import type { Row } from '../../live/types';

type AnyTable = Pick<Table, 'version'> | undefined;

export class Kept {
  private readonly made = new Map<string, { tables: readonly AnyTable[]; versions: readonly number[]; value: unknown }>();

  /** `make()`, anew only when one of `tables` is another one or has moved. */
  of<T>(name: string, tables: readonly AnyTable[], make: () => T): T {
    const kept = this.made.get(name);
    const versions = tables.map((table) => table?.version ?? -1);
    if (kept && kept.tables.length === tables.length && tables.every((table, i) => kept.tables[i] === table && kept.versions[i] === versions[i])) {
      return kept.value as T;
    }
    const value = make();
    this.made.set(name, { tables, versions, value });
    return value;
  }

  /** What `make` makes of the rows of a table; of none while the table is not there. */
  get<T, R extends Row>(name: string, table: Table<R> | undefined, make: (rows: Iterable<R>) => T): T {
    return this.of(name, [table], () => make(table?.rows.values() ?? []));
  }
}
