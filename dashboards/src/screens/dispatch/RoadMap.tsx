// The map of the shift: roads by state, turning as they are swept; vehicles and the chosen track on a canvas above.

import type { StyleSpecification } from 'maplibre-gl';
import { For, Show, createEffect, createMemo, createSignal, on, onCleanup, onMount } from 'solid-js';
import type { RoadState } from '../../live/types';
import { distanceToLine } from '../../model/geo';
import { boxOf } from '../../model/reference';
import { shapeOf } from '../../model/select';
import { drawShape, prepare } from '../command/draw';
import { ShapeMark } from '../command/Marks';
import { GeoMap, type State, styleOf } from '../shared/map';
import { ROAD, TRACK, VEHICLE } from './colour';
import { Figures } from './Figures';
import { StateMark } from './RoadPanel';
import type { Dispatch } from './state';
import { SHAPES } from './VehicleList';

const LEGEND: readonly (RoadState | 'none')[] = ['done', 'too_few', 'missed', 'not_due', 'none'];
/** A click within this of a vehicle means the vehicle, px. */
const VEHICLE_REACH = 14;
/** How close the map comes to a vehicle that is centred. */
const CLOSE = 14;

const width = (unit: number, near: number, far: number): ['interpolate', ['linear'], ['zoom'], number, number, number, number] =>
  ['interpolate', ['linear'], ['zoom'], 10, unit * far, 15, unit * near];

const style = (unit: number): StyleSpecification => {
  const colour = ['match', ['to-string', ['feature-state', 'state']], ...Object.entries(ROAD).flat(), ROAD.none];
  const only = (state: RoadState) => ['case', ['==', ['to-string', ['feature-state', 'state']], state], 1, 0];
  const round = { 'line-cap': 'round', 'line-join': 'round' };
  return styleOf(['districts', 'roads'], [
    { id: 'paper', type: 'background', paint: { 'background-color': '#e3e8e2' } },
    { id: 'ground', type: 'fill', source: 'districts', paint: { 'fill-color': '#eef1f4' } },
    { id: 'border', type: 'line', source: 'districts', paint: { 'line-color': '#c3ccd6', 'line-width': unit * 0.08 } },
    { id: 'chosen', type: 'line', source: 'roads', layout: round, paint: { 'line-color': TRACK, 'line-width': width(unit, 1.1, 0.7), 'line-opacity': ['case', ['boolean', ['feature-state', 'chosen'], false], 0.35, 0] } },
    { id: 'road', type: 'line', source: 'roads', layout: round, paint: { 'line-color': colour, 'line-width': width(unit, 0.42, 0.16) } },
    { id: 'too_few', type: 'line', source: 'roads', paint: { 'line-color': '#fff', 'line-width': width(unit, 0.46, 0.18), 'line-dasharray': [1, 2], 'line-opacity': only('too_few') } },
    { id: 'missed', type: 'line', source: 'roads', layout: round, paint: { 'line-color': ROAD.missed, 'line-width': width(unit, 0.66, 0.26), 'line-opacity': only('missed') } },
  ] as StyleSpecification['layers']);
};

const rem = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

export function RoadMap(props: { dispatch: Dispatch }) {
  const { t, frame, district, stateByRoad, road, setRoad, vehicle, setVehicle, plate } = props.dispatch;
  let container!: HTMLDivElement;
  let canvas!: HTMLCanvasElement;
  let map: GeoMap | null = null;
  const [drawable, setDrawable] = createSignal(true);
  const [lost, setLost] = createSignal(false);

  const roads = createMemo(() => frame()?.roads ?? []);
  const districts = createMemo(() => frame()?.districts ?? []);
  const states = createMemo(() => {
    const now = new Map<string, State>();
    const chosen = road();
    for (const [id, row] of stateByRoad()) now.set(id, { state: row.state, chosen: id === chosen });
    if (chosen !== null && !now.has(chosen)) now.set(chosen, { state: 'none', chosen: true });
    return now;
  });
  const here = () => (frame()?.vehicles ?? []).filter((row) => district() === null || row.district === district() || row.vehicle_id === vehicle());

  const draw = () => {
    const shown = frame();
    if (!map || !shown) return;
    const ctx = prepare(canvas);
    if (!ctx) return;
    const unit = rem();
    const at = (place: [number, number]) => (map as GeoMap).project(place);
    const stroke = (line: readonly [number, number][], dash: number[]) => {
      ctx.setLineDash(dash);
      ctx.beginPath();
      line.forEach((place, i) => {
        const p = at(place);
        if (i === 0) ctx.moveTo(p.x, p.y);
        else ctx.lineTo(p.x, p.y);
      });
      ctx.stroke();
    };
    const track = shown.chosen?.vehicle === vehicle() ? shown.chosen?.track : null;
    if (track) {
      ctx.strokeStyle = TRACK;
      ctx.lineWidth = unit * 0.2;
      ctx.lineJoin = ctx.lineCap = 'round';
      ctx.globalAlpha = 0.75;
      for (const way of track.ways) stroke(way, []);
      for (const hole of track.holes) stroke(hole, [unit * 0.05, unit * 0.5]);
      ctx.setLineDash([]);
      ctx.globalAlpha = 1;
      // Stops by number, in the order of time.
      const stops = [...(shown.chosen?.stops ?? [])].sort((a, b) => a.start_ts - b.start_ts);
      ctx.font = `700 ${Math.round(unit * 0.8)}px sans-serif`;
      ctx.textAlign = 'center';
      ctx.textBaseline = 'middle';
      stops.forEach((stop, i) => {
        const p = at([stop.lon, stop.lat]);
        ctx.beginPath();
        ctx.arc(p.x, p.y, unit * 0.65, 0, Math.PI * 2);
        ctx.fillStyle = '#fff';
        ctx.fill();
        ctx.lineWidth = unit * 0.12;
        ctx.stroke();
        ctx.fillStyle = TRACK;
        ctx.fillText(String(i + 1), p.x, p.y);
      });
    }
    const moment = props.dispatch.replay.moment();
    if (moment) {
      const p = at(moment.at);
      ctx.beginPath();
      ctx.arc(p.x, p.y, unit * 0.75, 0, Math.PI * 2);
      ctx.fillStyle = moment.hole ? '#fff' : TRACK;
      ctx.fill();
      ctx.strokeStyle = moment.hole ? TRACK : '#fff';
      ctx.lineWidth = unit * 0.2;
      ctx.stroke();
    }
    for (const row of here()) {
      const p = at([row.lon, row.lat]);
      drawShape(ctx, shapeOf(row, shown.tick), p, row.heading ?? 0, unit * 0.42, VEHICLE);
      if (row.vehicle_id !== vehicle()) continue;
      ctx.strokeStyle = TRACK;
      ctx.lineWidth = unit * 0.16;
      ctx.beginPath();
      ctx.arc(p.x, p.y, unit * 1.05, 0, Math.PI * 2);
      ctx.stroke();
    }
  };

  const fit = (animate: boolean) => {
    const place = district();
    const lines = roads().filter((one) => place === null || one.district === place).flatMap((one) => one.line);
    map?.fit(boxOf(lines), rem() * 4, animate);
  };

  const clicked = (at: [number, number], hits: readonly (readonly [string, string])[]) => {
    const p = map?.project(at);
    let nearest: { id: string; px: number } | null = null;
    for (const row of p ? here() : []) {
      const q = (map as GeoMap).project([row.lon, row.lat]);
      const px = Math.hypot(q.x - (p?.x ?? 0), q.y - (p?.y ?? 0));
      if (px < VEHICLE_REACH && px < (nearest?.px ?? Infinity)) nearest = { id: row.vehicle_id, px };
    }
    if (nearest) {
      setVehicle(nearest.id);
      return;
    }
    const by = (id: string) => distanceToLine(at, frame()?.roadById.get(id)?.line ?? []);
    const found = [...new Set(hits.map(([, id]) => id))].sort((a, b) => by(a) - by(b))[0];
    if (found !== undefined) setRoad(found);
  };

  onMount(() => {
    try {
      map = new GeoMap(container, style, ['road'], { moved: draw, clicked, lost: setLost });
    } catch {
      setDrawable(false);
      return;
    }
    const watch = new ResizeObserver(draw);
    watch.observe(canvas);
    onCleanup(() => {
      watch.disconnect();
      map?.remove();
    });
    createEffect(on(districts, (list) => map?.setData('districts', {
      type: 'FeatureCollection', features: list.map(({ id, geometry }) => ({ type: 'Feature', properties: { id }, geometry })),
    })));
    createEffect(on(roads, (list) => {
      map?.setData('roads', {
        type: 'FeatureCollection',
        features: list.map(({ id, line }) => ({ type: 'Feature', properties: { id }, geometry: { type: 'LineString', coordinates: line } })),
      });
      fit(false);
    }));
    createEffect(on(district, () => fit(true), { defer: true }));
    createEffect(() => map?.setStates('roads', states()));
    createEffect(draw);
  });

  const centre = () => {
    const row = frame()?.vehicles.find(({ vehicle_id }) => vehicle_id === vehicle());
    if (row) map?.centre([row.lon, row.lat], CLOSE);
  };

  return (
    <section class="road-map" aria-label={t('roadsMap')}>
      <Show when={drawable()} fallback={<div class="no-map" data-testid="map-fallback"><p>{t('noWebgl')}</p></div>}>
        <div class="map-base" ref={container} data-testid="map" />
        <canvas class="map-live" ref={canvas} data-testid="map-live" data-tick={frame()?.tick} />
        <Show when={lost()}><div class="map-lost" role="status" data-testid="map-lost">{t('mapLost')}</div></Show>
        <div class="map-tools">
          <button type="button" aria-label="+" onClick={() => map?.zoomBy(1)}>+</button>
          <button type="button" aria-label="−" onClick={() => map?.zoomBy(-1)}>−</button>
          <Show when={vehicle() !== null}><button type="button" onClick={centre} title={plate(vehicle() ?? '')}>{t('follow')}</button></Show>
        </div>
      </Show>
      <Figures dispatch={props.dispatch} />
      <div class="map-legend">
        <Show when={frame()?.offers.has('road_coverage')}>
          <For each={LEGEND}>{(state) => <span><StateMark state={state} />{t(`road.${state}`)}</span>}</For>
        </Show>
        <span><i class="track-key" />{t('track')}</span>
        <Show when={frame()?.offers.has('tracks')}><span><i class="hole-key" />{t('hole')}</span></Show>
        <For each={SHAPES}>{(shape) => <span><ShapeMark shape={shape} palette={VEHICLE} />{t(shape)}</span>}</For>
        <Show when={roads().some((one) => one.schematic)}><span>{t('roadsSchematic')}</span></Show>
        <Show when={frame()?.shippedBorders}><span>{t('attribution')}</span></Show>
      </div>
    </section>
  );
}
