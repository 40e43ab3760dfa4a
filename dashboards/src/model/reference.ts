// Reference records as the screen needs them: districts, roads, places of sensors, plates, texts of rules.
//
// A district that the engine describes replaces the one shipped with the page; names in English and label points come
// from the shipped file where the ids agree. Bounded by the records of the kinds that are subscribed.

import type { Geometry, MultiPolygon, Polygon, Position } from 'geojson';
import type { ReferenceRow } from '../live/types';
import shipped from '../assets/yanan.json';

export interface District {
  id: string;
  name: string;
  nameEn: string | null;
  geometry: Polygon | MultiPolygon;
  /** Where its name stands. */
  label: [number, number];
}

export interface Road {
  id: string;
  name: string;
  district: string;
  grade: string;
  line: [number, number][];
  /** Drawn for a simulation: no real street. */
  schematic: boolean;
}

export interface Sensor {
  name: string;
  at: [number, number] | null;
}

export interface Rule {
  text: Record<string, string>;
  unit: string;
}

export type Box = [west: number, south: number, east: number, north: number];

interface Shipped {
  features: { properties: Record<string, unknown>; geometry: Polygon | MultiPolygon }[];
}

const SHIPPED: District[] = (shipped as unknown as Shipped).features.map(({ properties, geometry }) => ({
  id: String(properties['adcode']),
  name: String(properties['name']),
  nameEn: String(properties['name_en']),
  geometry,
  label: properties['label'] as [number, number],
}));

/** The record of a row, as an object. */
export function record(row: ReferenceRow): Record<string, unknown> {
  if (typeof row.json !== 'string') return row.json ?? {};
  try {
    return JSON.parse(row.json) as Record<string, unknown>;
  } catch {
    return {};
  }
}

export const text = (value: unknown, otherwise = ''): string => (typeof value === 'string' ? value : otherwise);
export const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

export function boxOf(positions: Iterable<Position>): Box | null {
  let box: Box | null = null;
  for (const [x, y] of positions) {
    if (x === undefined || y === undefined) continue;
    box = box
      ? [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)]
      : [x, y, x, y];
  }
  return box;
}

export function* positionsOf(geometry: Polygon | MultiPolygon): Generator<Position> {
  const polygons = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
  for (const rings of polygons) for (const ring of rings) yield* ring;
}

/** The districts of the engine, or those shipped while it names none. */
export function districtsOf(rows: Iterable<ReferenceRow>): { districts: District[]; shipped: boolean } {
  const districts: District[] = [];
  let borrowed = false;
  for (const row of rows) {
    const body = record(row);
    const geometry = body['geometry'] as Geometry | undefined;
    if (geometry?.type !== 'Polygon' && geometry?.type !== 'MultiPolygon') continue;
    const known = SHIPPED.find((district) => district.id === row.id);
    const box = boxOf(positionsOf(geometry));
    if (!box) continue;
    borrowed ||= known !== undefined;
    districts.push({
      id: row.id,
      name: text(body['name'], row.id),
      nameEn: text(body['name_en']) || (known?.nameEn ?? null),
      geometry,
      label: known?.label ?? [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2],
    });
  }
  if (districts.length === 0) return { districts: SHIPPED, shipped: true };
  districts.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { districts, shipped: borrowed };
}

export function roadsOf(rows: Iterable<ReferenceRow>): Road[] {
  const roads: Road[] = [];
  for (const row of rows) {
    const body = record(row);
    const geometry = body['geometry'] as Geometry | undefined;
    if (geometry?.type !== 'LineString') continue;
    roads.push({
      id: row.id,
      name: text(body['name'], row.id),
      district: text(body['district']),
      grade: String(body['grade'] ?? ''),
      line: geometry.coordinates as [number, number][],
      schematic: body['schematic'] === true,
    });
  }
  return roads;
}

export function sensorsOf(rows: Iterable<ReferenceRow>): Map<string, Sensor> {
  const sensors = new Map<string, Sensor>();
  for (const row of rows) {
    const { name, lon, lat } = record(row);
    sensors.set(row.id, { name: text(name, row.id), at: isNumber(lon) && isNumber(lat) ? [lon, lat] : null });
  }
  return sensors;
}

export function rulesOf(rows: Iterable<ReferenceRow>): Map<string, Rule> {
  const rules = new Map<string, Rule>();
  for (const row of rows) {
    const body = record(row);
    const texts = body['text'];
    rules.set(row.id, {
      text: texts !== null && typeof texts === 'object' ? (texts as Record<string, string>) : {},
      unit: text(body['unit']),
    });
  }
  return rules;
}

export interface Vehicle {
  plate: string;
  kind: string;
}

export function vehiclesOf(rows: Iterable<ReferenceRow>): Map<string, Vehicle> {
  const vehicles = new Map<string, Vehicle>();
  for (const row of rows) {
    const body = record(row);
    vehicles.set(row.id, { plate: text(body['plate'], row.id), kind: text(body['vehicle_kind']) });
  }
  return vehicles;
}

/** Names by id, of any kind of record: `name`, else the id. A name may be a text by language. */
export function namesOf(rows: Iterable<ReferenceRow>): Map<string, Names> {
  const names = new Map<string, Names>();
  for (const row of rows) {
    const body = record(row);
    const name = body['name'] ?? body['text'];
    const by = name !== null && typeof name === 'object' ? (name as Record<string, unknown>) : { zh: name, en: body['name_en'] };
    const zh = text(by['zh']) || text(by['en']) || row.id;
    names.set(row.id, { zh, en: text(by['en']) || zh });
  }
  return names;
}

export interface Names {
  zh: string;
  en: string;
}
