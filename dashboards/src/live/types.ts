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
  /** Columns wanted; those that the engine does not have are not asked for. */
  columns?: string[];
}

export type ServerMessage =
  | { type: 'snapshot'; id: string; tick: number; rows: Row[] }
  | { type: 'update'; id: string; lower: number; upper: number; upserts: Row[]; deletes: unknown[] }
  | { type: 'frame'; tick: number }
  | { type: 'pong' }
  | { type: 'error'; id: string | null; code: string; message: string };

/** What was planned of a road in a shift of a date: `not_due` until the shift ends. */
export type RoadState = 'done' | 'too_few' | 'missed' | 'not_due';
/** Lengths in m, `share` 0..1. */
export interface RoadCoverageRow extends Row {
  road: string;
  shift: string;
  /** City date on which the shift begins, YYYY-MM-DD. */
  date: string;
  district: string | null;
  grade: string | null;
  length: number;
  swept_length: number;
  share: number;
  passes: number;
  /** 0 when nothing is planned. */
  planned_passes: number;
  last_swept_ts: number | null;
  vehicles: number;
  state: RoadState;
  /** The end of the shift. */
  due_ts: number;
}

/** `district` is `city` for all. Shares are null when there is nothing to share. */
export interface DistrictCoverageRow extends Row {
  district: string;
  shift: string;
  date: string;
  length: number;
  swept_length: number;
  share: number | null;
  planned_roads: number;
  done_roads: number;
  too_few_roads: number;
  missed_roads: number;
  repeat_share: number | null;
  record_completeness: number | null;
  expected_finish_ts: number | null;
}

/** Distances in m, durations in s; `provisional`: it may still go on. */
export interface TripRow extends Row {
  vehicle_id: string;
  start_ts: number;
  end_ts: number;
  distance: number;
  working_distance: number;
  idle: number;
  top_speed: number;
  start_place: string | null;
  place: string | null;
  provisional: boolean;
}

export interface StopRow extends Row {
  vehicle_id: string;
  start_ts: number;
  end_ts: number;
  duration: number;
  lon: number;
  lat: number;
  place: string | null;
  provisional: boolean;
}

export type FenceEventKind = 'visit' | 'passage' | 'deviation' | 'missed';
/** `end_ts` is null while the vehicle is there. */
export interface FenceEventRow extends Row {
  vehicle_id: string;
  fence: string;
  kind: FenceEventKind;
  start_ts: number;
  end_ts: number | null;
  dwell: number;
  overstay: boolean;
  provisional: boolean;
}

export interface TrackRow extends Row {
  vehicle_id: string;
  ts: number;
  lon: number;
  lat: number;
  speed: number | null;
  working: boolean | null;
}

/** `weight` is a share of the total; scores 0..100. */
export interface IndicatorRow extends Row {
  scheme: string;
  district: string;
  indicator: string;
  period: string;
  value: number | null;
  score: number | null;
  weight: number;
  numerator: number | null;
  denominator: number | null;
  provisional: boolean;
}

export interface ScoreRow extends Row {
  scheme: string;
  district: string;
  period: string;
  score: number | null;
  grade: string | null;
  rank: number | null;
  provisional: boolean;
}

/** Areas in m², shares 0..1; `district` is `city` for all. */
export interface ParkRadiusRow extends Row {
  district: string;
  residential_area: number;
  covered_area: number;
  share: number | null;
  population: number;
  covered_population: number;
  walking_share: number | null;
}

/** A residence and its way to a park; a row for each scheme of radii. */
export interface ResidenceAccessRow extends Row {
  /** At least half of it lies within the radius of a park. */
  covered: boolean;
}
