// Who lives within reach of a park, and who does not. Pure.

import type { Geometry } from 'geojson';
import type { ParkRadiusRow, ReferenceRow, ResidenceAccessRow, Row } from '../live/types';
import { record, text } from './reference';

export interface Place {
  id: string;
  name: string;
  district: string;
  geometry: Geometry;
}

/** Records with a geometry: parks, residences. */
export function placesOf(rows: Iterable<ReferenceRow>): Place[] {
  const places: Place[] = [];
  for (const row of rows) {
    const body = record(row);
    const geometry = body['geometry'] as Geometry | null | undefined;
    if (geometry && typeof geometry.type === 'string') places.push({ id: row.id, name: text(body['name'], row.id), district: text(body['district']), geometry });
  }
  return places;
}

const numeric = (value: unknown): number | null => (typeof value === 'number' ? value : null);
/** A view with a row per scheme has that column; rows of others belong to the one scheme there is. */
export const schemeOf = (row: Row): string => text(row['scheme']);

/** The schemes in the rows, in order. */
export function parkSchemes(rows: Iterable<Row>): string[] {
  return [...new Set([...rows].map(schemeOf))].sort();
}

export interface Reach {
  district: string;
  share: number | null;
  population: number;
  covered: number;
  /** Covered people out of all, 0..1; null without people. */
  people: number | null;
  walking: number | null;
  /** The share that the scheme asks for; null when it asks for none. */
  threshold: number | null;
}

const reachOf = (row: ParkRadiusRow): Reach => ({
  district: row.district, share: row.share, population: row.population, covered: row.covered_population,
  people: row.population > 0 ? row.covered_population / row.population : null, walking: row.walking_share, threshold: numeric(row['threshold']),
});

/** The districts by one scheme; the city apart. */
export function reaches(rows: Iterable<ParkRadiusRow>, scheme: string): { city: Reach | null; districts: Map<string, Reach> } {
  const all = [...rows].filter((row) => schemeOf(row) === scheme).map(reachOf);
  return {
    city: all.find(({ district }) => district === 'city') ?? null,
    districts: new Map(all.filter(({ district }) => district !== 'city').map((reach) => [reach.district, reach])),
  };
}

export interface Home {
  id: string;
  covered: boolean;
  /** People that no park reaches. */
  people: number;
  straight: number | null;
  walking: number | null;
}

const homeOf = (row: ResidenceAccessRow): Home => {
  const population = numeric(row['population']) ?? 0;
  return {
    id: text(row['residence_id']) || text(row['residence']),
    covered: row.covered,
    people: numeric(row['uncovered_population']) ?? (row.covered ? 0 : population),
    straight: numeric(row['straight_m']), walking: numeric(row['walking_m']),
  };
};

/** The residences of a scheme (and of a district, if one is given), those with the most people out of reach first. */
export function homes(rows: Iterable<ResidenceAccessRow>, scheme: string, district: string | null): Home[] {
  return [...rows].filter((row) => schemeOf(row) === scheme && (district === null || row['district'] === district)).map(homeOf)
    .sort((a, b) => b.people - a.people || (a.id < b.id ? -1 : 1));
}
