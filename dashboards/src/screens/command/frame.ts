// The picture of one tick: everything that the panels show, computed in one synchronous step from a committed store.
//
// Reference data change rarely, so what is made of them is kept while their table's version stands still.

import type { Store, Table } from '../../live/store';
import type {
  AlertRow, CaseRatesRow, ReferenceRow, SensorRow, StreamHealthRow, Subscription, VehicleRow,
} from '../../live/types';
import {
  type District, type Road, type Rule, type Sensor, districtsOf, roadsOf, rulesOf, sensorsOf,
} from '../../model/reference';
import {
  type AlertCounts, type CaseCounts, type StreamSummary, type VehicleCounts, countAlerts, countCases, countVehicles,
  isActive, summarizeStreams,
} from '../../model/select';
import type { Trends } from '../../model/trend';

const kind = (name: string): Subscription => ({ id: `ref-${name}`, view: 'reference', where: { kind: name } });

/** Everything this screen asks for, over one connection. */
export const SUBSCRIPTIONS: readonly Subscription[] = [
  { id: 'vehicles', view: 'vehicles' },
  // Only what still asks for something: the ended ones pile up for days.
  { id: 'alerts-open', view: 'alerts', where: { state: 'open' } },
  { id: 'alerts-acknowledged', view: 'alerts', where: { state: 'acknowledged' } },
  { id: 'case_rates', view: 'case_rates', where: { period: 'all' } },
  { id: 'stream_health', view: 'stream_health' },
  // Readings change all the time and nothing here shows them; silence is what matters.
  { id: 'sensors-offline', view: 'sensors', where: { state: 'offline' }, columns: ['sensor_id', 'metric', 'district', 'state'] },
  kind('district'), kind('road'), kind('sensor'), kind('rule'),
];

export interface Frame {
  tick: number;
  /** A null says that the engine has no such view. */
  vehicles: VehicleRow[] | null;
  vehicleCounts: Map<string | null, VehicleCounts> | null;
  alerts: AlertRow[] | null;
  alertCounts: Map<string | null, AlertCounts> | null;
  cases: Map<string | null, CaseCounts> | null;
  streams: StreamSummary[] | null;
  /** Sensors that are offline, by district (null: the city). */
  sensorsOffline: Map<string | null, number> | null;
  districts: District[];
  /** Whether borders come from the file shipped with the page (or agree with it). */
  shippedBorders: boolean;
  roads: Road[];
  sensors: Map<string, Sensor>;
  sensorsTotal: Map<string | null, number>;
  rules: Map<string, Rule>;
}

type Make<T> = (rows: Iterable<ReferenceRow>) => T;

/** Makes frames of a store, one after the other. */
export class FrameMaker {
  private readonly kept = new Map<string, { table: Table | undefined; version: number; made: unknown }>();

  private reference<T>(store: Store, id: string, name: string, make: Make<T>): T {
    const table = store.table<ReferenceRow>(id);
    const version = table?.version ?? -1;
    const kept = this.kept.get(name);
    if (kept && kept.version === version && kept.table === (table as Table | undefined)) return kept.made as T;
    const made = make(table?.rows.values() ?? []);
    this.kept.set(name, { table: table as Table | undefined, version, made });
    return made;
  }

  make(store: Store, tick: number): Frame {
    const vehicles = store.table<VehicleRow>('vehicles');
    const open = store.table<AlertRow>('alerts-open');
    const acknowledged = store.table<AlertRow>('alerts-acknowledged');
    const cases = store.table<CaseRatesRow>('case_rates');
    const streams = store.table<StreamHealthRow>('stream_health');
    const silent = store.table<SensorRow>('sensors-offline');
    const alerts = open && acknowledged && [...open.rows.values(), ...acknowledged.rows.values()].filter(isActive);
    const { districts, shipped } = this.reference(store, 'ref-district', 'district', districtsOf);
    return {
      tick,
      vehicles: vehicles ? [...vehicles.rows.values()] : null,
      vehicleCounts: vehicles ? countVehicles(vehicles.rows.values(), tick) : null,
      alerts: alerts ?? null,
      alertCounts: alerts ? countAlerts(alerts) : null,
      cases: cases ? countCases(cases.rows.values()) : null,
      streams: streams ? summarizeStreams(streams.rows.values()) : null,
      sensorsOffline: silent ? countSensors(silent.rows.values()) : null,
      districts,
      shippedBorders: shipped,
      roads: this.reference(store, 'ref-road', 'road', roadsOf),
      sensors: this.reference(store, 'ref-sensor', 'sensor', sensorsOf),
      sensorsTotal: this.reference(store, 'ref-sensor', 'sensor-total', countReferences),
      rules: this.reference(store, 'ref-rule', 'rule', rulesOf),
    };
  }
}

/** Distinct sensors: a sensor has a row for each metric. */
function countSensors(rows: Iterable<SensorRow>): Map<string | null, number> {
  const seen = new Set<string>();
  const counts = new Map<string | null, number>();
  for (const { sensor_id, district } of rows) {
    if (seen.has(sensor_id)) continue;
    seen.add(sensor_id);
    add(counts, district);
  }
  return counts;
}

function countReferences(rows: Iterable<ReferenceRow>): Map<string | null, number> {
  const counts = new Map<string | null, number>();
  for (const { json } of rows) {
    const district = json !== null && typeof json === 'object' ? json['district'] : null;
    add(counts, typeof district === 'string' ? district : null);
  }
  return counts;
}

function add(counts: Map<string | null, number>, district: string | null): void {
  counts.set(null, (counts.get(null) ?? 0) + 1);
  if (district !== null) counts.set(district, (counts.get(district) ?? 0) + 1);
}

/** Remembers what the lines need, for the city and each district. */
export function remember(frame: Frame, trends: Trends): void {
  for (const scope of [null, ...frame.districts.map((district) => district.id)]) {
    const push = (name: string, value: number | null | undefined) =>
      trends.get(scope, name).push(frame.tick, value ?? null);
    const vehicles = frame.vehicleCounts?.get(scope);
    const cases = frame.cases?.get(scope);
    push('working', vehicles?.working);
    push('online', vehicles && vehicles.total - vehicles.offline);
    push('alerts', frame.alertCounts && (frame.alertCounts.get(scope)?.open ?? 0));
    push('open', cases?.open);
    push('overdue', cases?.overdue);
    push('onTime', cases && cases.closed > 0 ? cases.closedOnTime / cases.closed : null);
  }
}
