// The rows and messages of the API, as narrow as this screen needs them.
// Times are Unix ms; coordinates WGS-84 degrees; speed km/h; a null means "not known".

/** A row of any view: an object with the view's columns. */
export type Row = Record<string, unknown>;

export type VehicleState = 'working' | 'driving' | 'stopped' | 'offline';
export interface VehicleRow extends Row {
  vehicle_id: string;
  fleet: string | null;
  district: string | null;
  lon: number;
  lat: number;
  speed: number | null;
  heading: number | null;
  working: boolean | null;
  ts: number;
  state: VehicleState;
  road: string | null;
}

export type Severity = 'notice' | 'warning' | 'severe';
export type AlertState = 'open' | 'acknowledged' | 'cleared' | 'closed' | 'withdrawn';
export interface AlertRow extends Row {
  alert_id: string;
  rule: string;
  target: string;
  district: string | null;
  severity: Severity;
  state: AlertState;
  raised_ts: number;
  cleared_ts: number | null;
  value: number | null;
  owner: string | null;
  revision: number;
  reason: string;
}

export interface CaseRatesRow extends Row {
  scope: 'district' | 'department' | 'city';
  id: string;
  period: string;
  reported: number;
  open: number;
  overdue: number;
  closed: number;
  closed_overdue: number;
  reworked: number;
}

export interface StreamHealthRow extends Row {
  stream: string;
  partition: number;
  lag_records: number;
  lag_ms: number;
  rate: number;
  late: number;
  duplicates: number;
  rejected: number;
  last_ts: number | null;
  holds_back: boolean;
}

export interface SensorRow extends Row {
  sensor_id: string;
  metric: string;
  district: string | null;
  kind: string | null;
  value: number | null;
  ts: number;
  state: 'normal' | 'warning' | 'alarm' | 'offline' | 'unknown';
}

/** A row of `reference`; `json` is the record as it came, already parsed by the transport. */
export interface ReferenceRow extends Row {
  kind: string;
  id: string;
  ts: number | null;
  json: Record<string, unknown> | string | null;
}

/** What `GET /api/v1/views` says of a view, as far as the reducer needs it. */
export interface ViewSpec {
  name: string;
  /** The first `key` columns identify a row. */
  key: number;
  columns: { name: string }[];
}

/** One subscription of the connection. */
export interface Subscription {
  id: string;
  view: string;
  where?: Record<string, string>;
  columns?: string[];
}

export type ServerMessage =
  | { type: 'snapshot'; id: string; tick: number; rows: Row[] }
  | { type: 'update'; id: string; lower: number; upper: number; upserts: Row[]; deletes: unknown[] }
  | { type: 'frame'; tick: number }
  | { type: 'pong' }
  | { type: 'error'; id: string | null; code: string; message: string };
