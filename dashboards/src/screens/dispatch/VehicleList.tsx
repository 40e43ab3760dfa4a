// The vehicles, in step with the map: search, state, fleet; the age of the last fix beside each.

import { For, Show, createMemo, createSignal } from 'solid-js';
import { isKey } from '../../i18n';
import { search } from '../../model/journeys';
import { type Shape, shapeOf } from '../../model/select';
import { span } from '../../model/time';
import { ShapeMark } from '../command/Marks';
import { fixed, num } from '../shared/format';
import { VEHICLE } from './colour';
import type { Dispatch } from './state';

export const SHAPES: readonly Shape[] = ['working', 'driving', 'stopped', 'stale', 'offline'];
/** Most vehicles in the list: more than anybody scrolls through, and a bound for its elements. */
const SHOWN = 200;

export function createVehicleList(dispatch: Dispatch) {
  const [typed, setTyped] = createSignal('');
  const [shape, setShape] = createSignal<Shape | null>(null);
  const [fleet, setFleet] = createSignal('');
  const inScope = createMemo(() => {
    const shown = dispatch.frame();
    const place = dispatch.district();
    return (shown?.vehicles ?? []).filter((vehicle) => place === null || vehicle.district === place);
  });
  const tick = () => dispatch.frame()?.tick ?? 0;
  const counts = createMemo(() => {
    const by = new Map<Shape, number>(SHAPES.map((name) => [name, 0]));
    for (const vehicle of inScope()) {
      const its = shapeOf(vehicle, tick());
      by.set(its, (by.get(its) ?? 0) + 1);
    }
    return by;
  });
  const listed = createMemo(() => {
    const words = (vehicle: { vehicle_id: string; fleet: string | null; road: string | null }) =>
      [vehicle.vehicle_id, dispatch.plate(vehicle.vehicle_id), dispatch.fleetName(vehicle.fleet), vehicle.road && dispatch.roadName(vehicle.road)];
    return search(inScope(), typed(), words)
      .filter((vehicle) => (shape() === null || shapeOf(vehicle, tick()) === shape()) && (fleet() === '' || vehicle.fleet === fleet()))
      .sort((a, b) => (a.vehicle_id < b.vehicle_id ? -1 : 1));
  });
  /** The next vehicle of the list, or the one before. */
  const move = (by: number) => {
    const list = listed().slice(0, SHOWN);
    const at = list.findIndex(({ vehicle_id }) => vehicle_id === dispatch.vehicle());
    const next = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by))];
    if (next) dispatch.setVehicle(next.vehicle_id);
  };
  return { typed, setTyped, shape, setShape, fleet, setFleet, inScope, counts, listed, move };
}

export function VehicleList(props: { dispatch: Dispatch; list: ReturnType<typeof createVehicleList>; searchBox: (element: HTMLInputElement) => void }) {
  const { t, frame, vehicle, setVehicle, plate, kindOf, fleetName, roadName, districtName, spanUnits } = props.dispatch;
  const { typed, setTyped, shape, setShape, fleet, setFleet, inScope, counts, listed } = props.list;
  const fleetIds = () => [...(frame()?.fleetNames.keys() ?? [])].sort();
  const kindName = (kind: string) => (isKey(`kind.${kind}`) ? t(`kind.${kind}` as 'kind.road_sweeper') : kind);
  const rows = createMemo(() => listed().slice(0, SHOWN).map((row) => row.vehicle_id));
  const byId = createMemo(() => new Map(listed().map((row) => [row.vehicle_id, row])));
  return (
    <section class="card list">
      <div class="card-head">
        <h2>{t('vehicles')} <b data-testid="dispatch-vehicles">{num(inScope().length)}</b></h2>
        <select aria-label={t('fleets')} value={fleet()} onChange={(event) => setFleet(event.currentTarget.value)}>
          <option value="">{t('allFleets')}</option>
          <For each={fleetIds()}>{(id) => <option value={id}>{fleetName(id)}</option>}</For>
        </select>
      </div>
      <input ref={props.searchBox} class="search" type="search" placeholder={`${t('searchHint')}  /`} value={typed()}
        data-testid="search" onInput={(event) => setTyped(event.currentTarget.value)} />
      <div class="chips">
        <button type="button" aria-pressed={shape() === null} onClick={() => setShape(null)}>{t('all')}</button>
        <For each={SHAPES}>
          {(name) => (
            <button type="button" aria-pressed={shape() === name} onClick={() => setShape(shape() === name ? null : name)}>
              <ShapeMark shape={name} palette={VEHICLE} />{t(name)} <b data-testid={`dispatch-${name}`}>{num(counts().get(name))}</b>
            </button>
          )}
        </For>
      </div>
      <ol class="rows">
        <For each={rows()}>
          {(id) => {
            const row = () => byId().get(id);
            const its = (): Shape => { const r = row(); return r ? shapeOf(r, frame()?.tick ?? 0) : 'offline'; };
            return (
              <li classList={{ chosen: vehicle() === id, old: its() === 'stale' || its() === 'offline' }}>
                <button type="button" data-vehicle={id} onClick={() => setVehicle(vehicle() === id ? null : id)}>
                  <ShapeMark shape={its()} palette={VEHICLE} />
                  <span class="who"><b>{plate(id)}</b> <small>{kindName(kindOf(id)) || fleetName(row()?.fleet ?? null)}</small></span>
                  <span class="speed"><b>{its() === 'offline' ? '—' : fixed(row()?.speed, 0)}</b> <small>km/h</small></span>
                  <span class="where">
                    {row()?.road ? roadName(row()!.road as string) : districtName(row()?.district ?? null)}
                    {' · '}{t('fixAge', { span: span((frame()?.tick ?? 0) - (row()?.ts ?? 0), spanUnits()) })}
                  </span>
                </button>
              </li>
            );
          }}
        </For>
        <Show when={frame() && rows().length === 0}><li class="nothing">{t('noVehicle')}</li></Show>
        <Show when={listed().length > SHOWN}><li class="nothing">{t('more', { n: num(listed().length - SHOWN) })}</li></Show>
      </ol>
      <p class="card-foot">{t('keys')}</p>
    </section>
  );
}
