// The districts by score, as one small drawing: darker is better. No second map: thirteen outlines are a few paths.

import { For, Show, createMemo } from 'solid-js';
import type { MultiPolygon, Polygon, Position } from 'geojson';
import { boxOf, positionsOf } from '../../model/reference';
import { fixed } from '../shared/format';
import { ramp } from './colour';
import type { Analytics } from './state';

const W = 200;

/** An outline as a path, `squeeze` being the length of a degree of longitude by one of latitude. */
function outline(geometry: Polygon | MultiPolygon, west: number, north: number, scale: number, squeeze: number): string {
  const ring = (points: readonly Position[]) =>
    points.map(([x = 0, y = 0], i) => `${i === 0 ? 'M' : 'L'}${((x - west) * squeeze * scale).toFixed(1)} ${((north - y) * scale).toFixed(1)}`).join('') + 'Z';
  const polygons = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
  return polygons.flatMap((rings) => rings.map(ring)).join('');
}

export function ScoreMap(props: { analytics: Analytics }) {
  const { frame, table, unit, unitName, setDistrict } = props.analytics;
  const shapes = createMemo(() => {
    const districts = frame()?.districts ?? [];
    const box = boxOf(districts.flatMap(({ geometry }) => [...positionsOf(geometry)]));
    if (!box) return null;
    const [west, south, east, north] = box;
    const squeeze = Math.cos((((south + north) / 2) * Math.PI) / 180);
    const scale = W / ((east - west) * squeeze);
    return { height: (north - south) * scale, list: districts.map(({ id, geometry }) => ({ id, path: outline(geometry, west, north, scale, squeeze) })) };
  });
  const colours = createMemo(() => {
    const scores = new Map(table().map((row) => [row.district, row.score]));
    const known = [...scores.values()].filter((value) => value !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    return { of: (id: string) => { const value = scores.get(id) ?? null; return value === null ? '#e6ebf0' : ramp(high > low ? (value - low) / (high - low) : 1); }, scores };
  });
  /** Only what is scored can be coloured: a scheme of departments has no map. */
  const fits = () => shapes()?.list.some(({ id }) => colours().scores.has(id)) ?? false;
  return (
    <Show when={fits() && shapes()}>
      {(drawn) => (
        <svg class="score-map" viewBox={`-2 -2 ${W + 4} ${drawn().height + 4}`} role="img">
          <For each={drawn().list}>
            {(shape) => (
              <path d={shape.path} fill={colours().of(shape.id)} classList={{ chosen: unit()?.district === shape.id }} onClick={() => setDistrict(shape.id)}>
                <title>{unitName(shape.id)} {fixed(colours().scores.get(shape.id), 1)}</title>
              </path>
            )}
          </For>
        </svg>
      )}
    </Show>
  );
}
