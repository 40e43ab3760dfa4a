// Who lives within reach of a park: the shares, the map of one district, and where the most people are left out.

import type { StyleSpecification } from 'maplibre-gl';
import { For, Index, Show, createEffect, createMemo, createSignal, on, onCleanup, onMount } from 'solid-js';
import type { Feature, Geometry, Position } from 'geojson';
import { type Place, homes, reaches } from '../../model/parks';
import { boxOf } from '../../model/reference';
import { distance, num, percent } from '../shared/format';
import { GeoMap, type State, styleOf } from '../shared/map';
import { Missing } from '../shared/TopBar';
import { COVERED, UNCOVERED } from './colour';
import type { Analytics } from './state';

/** Most residences in the list. */
const SHOWN = 40;

const style = (unit: number): StyleSpecification => {
  const covered = ['boolean', ['feature-state', 'covered'], false];
  const known = ['boolean', ['feature-state', 'known'], false];
  const colour = ['case', covered, COVERED, known, UNCOVERED, '#9aa6b4'];
  return styleOf(['districts', 'parks', 'homes'], [
    { id: 'paper', type: 'background', paint: { 'background-color': '#e3e8e2' } },
    { id: 'ground', type: 'fill', source: 'districts', paint: { 'fill-color': '#f0f2f4' } },
    { id: 'border', type: 'line', source: 'districts', paint: { 'line-color': '#c3ccd6', 'line-width': unit * 0.08 } },
    { id: 'park', type: 'fill', source: 'parks', filter: ['!=', ['geometry-type'], 'Point'], paint: { 'fill-color': '#7fbf8a', 'fill-outline-color': '#3c7d4c' } },
    { id: 'park-line', type: 'line', source: 'parks', filter: ['!=', ['geometry-type'], 'Point'], paint: { 'line-color': '#3c7d4c', 'line-width': unit * 0.12 } },
    { id: 'park-point', type: 'circle', source: 'parks', filter: ['==', ['geometry-type'], 'Point'], paint: { 'circle-color': '#7fbf8a', 'circle-stroke-color': '#3c7d4c', 'circle-stroke-width': 1, 'circle-radius': unit * 0.35 } },
    { id: 'home', type: 'fill', source: 'homes', filter: ['!=', ['geometry-type'], 'Point'], paint: { 'fill-color': colour, 'fill-opacity': 0.55 } },
    { id: 'home-line', type: 'line', source: 'homes', filter: ['!=', ['geometry-type'], 'Point'], paint: { 'line-color': colour, 'line-width': ['case', covered, unit * 0.06, unit * 0.18] } },
    { id: 'home-point', type: 'circle', source: 'homes', filter: ['==', ['geometry-type'], 'Point'], paint: { 'circle-color': colour, 'circle-radius': unit * 0.3 } },
  ] as StyleSpecification['layers']);
};

function* positions(geometry: Geometry): Generator<Position> {
  if (geometry.type === 'GeometryCollection') return;
  const stack: unknown[] = [geometry.coordinates];
  while (stack.length > 0) {
    const top = stack.pop();
    if (!Array.isArray(top)) continue;
    if (typeof top[0] === 'number') yield top as Position;
    else stack.push(...top);
  }
}

const features = (places: readonly Place[]): Feature[] => places.map(({ id, geometry }) => ({ type: 'Feature', properties: { id }, geometry }));

function ParksMap(props: { analytics: Analytics; states: () => ReadonlyMap<string, State> }) {
  const { t, frame, parkDistrict } = props.analytics;
  let container!: HTMLDivElement;
  let map: GeoMap | null = null;
  const [drawable, setDrawable] = createSignal(true);
  const [lost, setLost] = createSignal(false);
  const [parks, residences, districts] = [createMemo(() => frame()?.parks ?? []), createMemo(() => frame()?.residences ?? []), createMemo(() => frame()?.districts ?? [])];
  const fit = (animate: boolean) => {
    const here = [...parks(), ...residences()].filter((place) => place.district === parkDistrict());
    map?.fit(boxOf(here.flatMap(({ geometry }) => [...positions(geometry)])), 24, animate);
  };
  onMount(() => {
    try {
      map = new GeoMap(container, style, [], { moved: () => {}, clicked: () => {}, lost: setLost });
    } catch {
      setDrawable(false);
      return;
    }
    onCleanup(() => map?.remove());
    createEffect(on(districts, (list) => map?.setData('districts', { type: 'FeatureCollection', features: list.map(({ id, geometry }) => ({ type: 'Feature', properties: { id }, geometry })) })));
    createEffect(on(parks, (list) => map?.setData('parks', { type: 'FeatureCollection', features: features(list) })));
    createEffect(on(residences, (list) => map?.setData('homes', { type: 'FeatureCollection', features: features(list) })));
    createEffect(on([parks, residences, parkDistrict], () => fit(false)));
    createEffect(() => map?.setStates('homes', props.states()));
  });
  return (
    <div class="parks-map" aria-label={t('parksMap')}>
      <Show when={drawable()} fallback={<div class="no-map" data-testid="map-fallback"><p>{t('noWebgl')}</p></div>}>
        <div class="map-base" ref={container} data-testid="map" />
        <Show when={lost()}><div class="map-lost" role="status" data-testid="map-lost">{t('mapLost')}</div></Show>
      </Show>
      <div class="parks-key"><span class="park">{t('park')}</span><span class="covered">{t('coveredHome')}</span><span class="uncovered">{t('uncoveredHome')}</span></div>
    </div>
  );
}

export function Parks(props: { analytics: Analytics }) {
  const { t, frame, parkScheme, radiusSchemes, setParkScheme, radiusName, parkDistrict, unitName, setDistrict } = props.analytics;
  const reach = createMemo(() => reaches(frame()?.parkRadius ?? [], parkScheme()));
  const all = createMemo(() => homes(frame()?.access ?? [], parkScheme(), null));
  const here = createMemo(() => homes(frame()?.access ?? [], parkScheme(), parkDistrict()));
  const states = createMemo(() => new Map(all().map(({ id, covered }): [string, State] => [id, { known: true, covered }])));
  const names = createMemo(() => new Map((frame()?.residences ?? []).map(({ id, name }) => [id, name])));
  const missed = createMemo(() => here().filter((home) => home.people > 0));
  const city = () => reach().city;
  return (
    <section class="card parks">
      <div class="card-head">
        <h2>{t('parksTitle')}</h2>
        <Show when={radiusSchemes().some((id) => id !== '')}>
          <label class="fact">{t('parkSchemeOf')}{' '}
            <select onChange={(event) => setParkScheme(event.currentTarget.value)}>
              <For each={radiusSchemes()}>{(id) => <option value={id} selected={id === parkScheme()}>{radiusName(id)}</option>}</For>
            </select>
          </label>
        </Show>
        <Show when={frame()?.parkRadius}>
          <small>
            {t('districtsTotal')} {t('areaShare')} <b data-testid="park-share">{percent(city()?.share)}</b>%
            {' · '}{t('peopleShare')} <b>{percent(city()?.people)}</b>%{' · '}{t('walkingShare')} <b>{percent(city()?.walking)}</b>%
            <Show when={city()?.threshold}>{(share) => <> · {t('thresholdOf', { share: percent(share()) })}</>}</Show>
          </small>
        </Show>
      </div>
      <Show when={!frame() || frame()!.offers.has('park_radius')} fallback={<Missing language={props.analytics} view="park_radius" />}>
        <div class="parks-body">
          <ParksMap analytics={props.analytics} states={states} />
          <div class="scroll">
            <table>
              <thead><tr><th>{t('shareByDistrict')}</th><th>{t('areaShare')}</th><th>{t('peopleShare')}</th><th>{t('walkingShare')}</th><th>{t('uncoveredPeople')}</th></tr></thead>
              <tbody>
                <Index each={[...reach().districts.values()]}>
                  {(row) => (
                    <tr classList={{ chosen: parkDistrict() === row().district, below: row().threshold !== null && row().share !== null && (row().share as number) < (row().threshold as number) }} onClick={() => setDistrict(row().district)}>
                      <th>{unitName(row().district)}</th><td><b data-testid={`park-${row().district}`}>{percent(row().share)}</b>%</td><td>{percent(row().people)}%</td><td>{percent(row().walking)}%</td>
                      <td>{num(Math.round(row().population - row().covered))}</td>
                    </tr>
                  )}
                </Index>
              </tbody>
            </table>
          </div>
          <Show when={!frame() || frame()!.offers.has('residence_access')} fallback={<Missing language={props.analytics} view="residence_access" />}>
            <div class="scroll">
              <table>
                <thead><tr><th>{unitName(parkDistrict())} · {t('uncoveredN', { n: num(missed().length) })}</th><th>{t('uncoveredPeople')}</th><th>{t('straightOf')}</th><th>{t('walkingOf')}</th></tr></thead>
                <tbody>
                  <For each={missed().slice(0, SHOWN)}>
                    {(home) => (
                      <tr><th>{names().get(home.id) ?? home.id}</th><td>{num(Math.round(home.people))}</td><td>{home.straight === null ? '—' : distance(home.straight)}</td><td>{home.walking === null ? '—' : distance(home.walking)}</td></tr>
                    )}
                  </For>
                </tbody>
              </table>
              <Show when={frame() && missed().length === 0}><p class="nothing">{t('noRows')}</p></Show>
            </div>
          </Show>
        </div>
      </Show>
    </section>
  );
}
