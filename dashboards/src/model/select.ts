// What the panels show, computed from the rows of one tick. Pure: the same rows and tick give the same answer.
//
// A scope is a district's id, or null for the whole city. A value that cannot be known is null, never a guess.

import type { AlertRow, CaseRatesRow, Severity, StreamHealthRow, VehicleRow } from '../live/types';

/** A fix older than this against T is stale, ms. The engine calls a vehicle offline after a longer time of its own. */
export const STALE_AFTER_MS = 60_000;

/** What the map shows of a vehicle: its state, or that we do not know it any more. */
export type Shape = 'working' | 'driving' | 'stopped' | 'stale' | 'offline';

export function shapeOf(vehicle: VehicleRow, tick: number): Shape {
  if (vehicle.state === 'offline') return 'offline';
  return tick - vehicle.ts > STALE_AFTER_MS ? 'stale' : vehicle.state;
}

/** Vehicles of a scope. working + driving + stopped + offline = fresh + stale + offline = total. */
export interface VehicleCounts {
  total: number;
  working: number;
  driving: number;
  stopped: number;
  offline: number;
  fresh: number;
  stale: number;
}

export const noVehicles = (): VehicleCounts => ({
  total: 0, working: 0, driving: 0, stopped: 0, offline: 0, fresh: 0, stale: 0,
});

function count(counts: VehicleCounts, vehicle: VehicleRow, tick: number): void {
  counts.total++;
  counts[vehicle.state]++;
  const shape = shapeOf(vehicle, tick);
  if (shape === 'stale') counts.stale++;
  else if (shape !== 'offline') counts.fresh++;
}

/** The counts of the city (`null`) and of every district that has a vehicle. */
export function countVehicles(vehicles: Iterable<VehicleRow>, tick: number): Map<string | null, VehicleCounts> {
  const city = noVehicles();
  const counts = new Map<string | null, VehicleCounts>([[null, city]]);
  for (const vehicle of vehicles) {
    count(city, vehicle, tick);
    if (vehicle.district === null) continue;
    let district = counts.get(vehicle.district);
    if (!district) counts.set(vehicle.district, (district = noVehicles()));
    count(district, vehicle, tick);
  }
  return counts;
}

export const SEVERITIES: readonly Severity[] = ['severe', 'warning', 'notice'];
const RANK: Record<Severity, number> = { severe: 0, warning: 1, notice: 2 };

/** An alert that still asks for something. */
export function isActive(alert: AlertRow): boolean {
  return alert.state === 'open' || alert.state === 'acknowledged';
}

/** Worst first; of the same severity the newest first; ids decide between equals, so that the order never flickers. */
export function compareAlerts(a: AlertRow, b: AlertRow): number {
  return (
    RANK[a.severity] - RANK[b.severity] ||
    b.raised_ts - a.raised_ts ||
    (a.alert_id < b.alert_id ? -1 : a.alert_id > b.alert_id ? 1 : 0)
  );
}

export interface AlertCounts extends Record<Severity, number> {
  /** open + acknowledged. */
  active: number;
  open: number;
  acknowledged: number;
  /** When the alert that has been open the longest was raised. */
  oldestOpen: number | null;
}

export const noAlerts = (): AlertCounts => ({
  active: 0, open: 0, acknowledged: 0, severe: 0, warning: 0, notice: 0, oldestOpen: null,
});

export function countAlerts(alerts: Iterable<AlertRow>): Map<string | null, AlertCounts> {
  const counts = new Map<string | null, AlertCounts>([[null, noAlerts()]]);
  for (const alert of alerts) {
    if (!isActive(alert)) continue;
    const scopes = alert.district === null ? [null] : [null, alert.district];
    for (const scope of scopes) {
      let into = counts.get(scope);
      if (!into) counts.set(scope, (into = noAlerts()));
      into.active++;
      into[alert.severity]++;
      if (alert.state === 'acknowledged') into.acknowledged++;
      else {
        into.open++;
        into.oldestOpen = Math.min(into.oldestOpen ?? Infinity, alert.raised_ts);
      }
    }
  }
  return counts;
}

/** The active alerts of a scope, in the order of the list. */
export function alertQueue(alerts: Iterable<AlertRow>, scope: string | null): AlertRow[] {
  const queue: AlertRow[] = [];
  for (const alert of alerts) {
    if (isActive(alert) && (scope === null || alert.district === scope)) queue.push(alert);
  }
  return queue.sort(compareAlerts);
}

export interface CaseCounts {
  reported: number;
  open: number;
  overdue: number;
  closed: number;
  closedOnTime: number;
}

/** The case counts of the city (`null`) and of every district that the view names, for one period. */
export function countCases(rates: Iterable<CaseRatesRow>, period = 'all'): Map<string | null, CaseCounts> {
  const counts = new Map<string | null, CaseCounts>();
  for (const row of rates) {
    if (row.period !== period || (row.scope !== 'city' && row.scope !== 'district')) continue;
    counts.set(row.scope === 'city' ? null : row.id, {
      reported: row.reported,
      open: row.open,
      overdue: row.overdue,
      closed: row.closed,
      closedOnTime: row.closed - row.closed_overdue,
    });
  }
  return counts;
}

/** Closed in time out of closed, 0..1; null while nothing is closed: 0/0 is not a rate. */
export function onTimeRate(cases: CaseCounts | undefined): number | null {
  return cases && cases.closed > 0 ? cases.closedOnTime / cases.closed : null;
}

/** One stream over its partitions. */
export interface StreamSummary {
  stream: string;
  rate: number;
  lagMs: number;
  lagRecords: number;
  late: number;
  duplicates: number;
  rejected: number;
  lastTs: number | null;
  holdsBack: boolean;
}

/** The order of the contract; streams it does not name come after, by name. */
const STREAMS = ['telemetry', 'positions', 'cases', 'reference', 'actions'];

export function summarizeStreams(rows: Iterable<StreamHealthRow>): StreamSummary[] {
  const streams = new Map<string, StreamSummary>();
  for (const row of rows) {
    let into = streams.get(row.stream);
    if (!into) {
      into = {
        stream: row.stream, rate: 0, lagMs: 0, lagRecords: 0, late: 0, duplicates: 0, rejected: 0, lastTs: null,
        holdsBack: false,
      };
      streams.set(row.stream, into);
    }
    into.rate += row.rate;
    into.lagMs = Math.max(into.lagMs, row.lag_ms);
    into.lagRecords += row.lag_records;
    into.late += row.late;
    into.duplicates += row.duplicates;
    into.rejected += row.rejected;
    if (row.last_ts !== null) into.lastTs = Math.max(into.lastTs ?? -Infinity, row.last_ts);
    into.holdsBack ||= row.holds_back;
  }
  const order = (name: string) => (STREAMS.includes(name) ? STREAMS.indexOf(name) : STREAMS.length);
  return [...streams.values()].sort((a, b) => order(a.stream) - order(b.stream) || (a.stream < b.stream ? -1 : 1));
}

/** What the map and the ranking can show. */
export const METRICS = ['open', 'overdue', 'alerts', 'working'] as const;
export type Metric = (typeof METRICS)[number];
/** More of it is worse. */
export const isBad = (metric: Metric): boolean => metric !== 'working';

export interface DistrictValues {
  id: string;
  values: Record<Metric, number | null>;
}

/** The values of each district. A view that is not there gives null; a district without rows in one that is, 0. */
export function districtValues(
  ids: Iterable<string>,
  vehicles: Map<string | null, VehicleCounts> | null,
  alerts: Map<string | null, AlertCounts> | null,
  cases: Map<string | null, CaseCounts> | null,
): DistrictValues[] {
  return Array.from(ids, (id) => ({
    id,
    values: {
      open: cases && (cases.get(id)?.open ?? 0),
      overdue: cases && (cases.get(id)?.overdue ?? 0),
      alerts: alerts && (alerts.get(id)?.active ?? 0),
      working: vehicles && (vehicles.get(id)?.working ?? 0),
    },
  }));
}

/** Districts by a metric, greatest first, unknown last, ids between equals. */
export function rank(districts: readonly DistrictValues[], metric: Metric): DistrictValues[] {
  return [...districts].sort(
    (a, b) =>
      (b.values[metric] ?? -Infinity) - (a.values[metric] ?? -Infinity) || (a.id < b.id ? -1 : 1),
  );
}
