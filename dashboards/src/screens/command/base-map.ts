// The base map: districts coloured by a value, nothing else. It is drawn only when a colour or the camera changes;
// everything that moves each second is on a canvas above it.

import type { StyleSpecification } from 'maplibre-gl';
import { type Box, type District, boxOf, positionsOf } from '../../model/reference';
import { GeoMap, styleOf } from '../shared/map';
import type { Point } from './draw';

/** Widths follow the size of the screen: `unit` is one rem in px. */
const style = (unit: number): StyleSpecification => styleOf(['districts'], [
  {
    id: 'glow', type: 'line', source: 'districts',
    layout: { 'line-join': 'round' },
    paint: { 'line-color': '#2a86b8', 'line-width': unit * 0.8, 'line-blur': unit * 0.6, 'line-opacity': 0.6 },
  },
  {
    id: 'fill', type: 'fill', source: 'districts',
    paint: { 'fill-color': ['coalesce', ['feature-state', 'colour'], '#132747'], 'fill-antialias': true },
  },
  {
    id: 'border', type: 'line', source: 'districts',
    layout: { 'line-join': 'round' },
    paint: { 'line-color': '#0a1830', 'line-width': unit * 0.1 },
  },
  {
    id: 'chosen', type: 'line', source: 'districts',
    layout: { 'line-join': 'round' },
    paint: {
      'line-color': '#7fd8ea', 'line-width': unit * 0.19,
      'line-opacity': ['case', ['boolean', ['feature-state', 'chosen'], false], 1, 0],
    },
  },
]);

export interface BaseMapEvents {
  moved(): void;
  clicked(district: string | null): void;
  /** The context is lost (true), or the whole map is drawn (false). */
  lost(lost: boolean): void;
}

export class BaseMap {
  private readonly map: GeoMap;

  /** Throws where there is no WebGL. */
  constructor(container: HTMLElement, events: BaseMapEvents) {
    this.map = new GeoMap(container, style, ['fill'], {
      moved: events.moved,
      clicked: (_, hits) => events.clicked(hits[0]?.[1] ?? null),
      lost: events.lost,
    });
  }

  project(at: [number, number]): Point {
    return this.map.project(at);
  }

  unproject(p: Point): [number, number] {
    return this.map.unproject(p);
  }

  setDistricts(districts: readonly District[]): void {
    this.map.setData('districts', {
      type: 'FeatureCollection',
      features: districts.map(({ id, geometry }) => ({ type: 'Feature', properties: { id }, geometry })),
    });
  }

  setColours(colours: ReadonlyMap<string, string>, chosen: string | null): void {
    this.map.setStates('districts', new Map([...colours].map(([id, colour]) => [id, { colour, chosen: id === chosen }])));
  }

  fit(box: Box | null, padding: number, animate: boolean): void {
    this.map.fit(box, padding, animate);
  }

  remove(): void {
    this.map.remove();
  }
}

export function boxOfDistricts(districts: readonly District[]): Box | null {
  return boxOf(districts.flatMap((district) => [...positionsOf(district.geometry)]));
}
