// What was swept and what was missed, by state; a chosen road opened up, with who is near it.

import { For, Show, createMemo, createSignal } from 'solid-js';
import type { RoadState } from '../../live/types';
import { ROAD_STATES, nearest, roadsIn, shiftDayOf } from '../../model/coverage';
import { minute } from '../../model/time';
import { ShapeMark } from '../command/Marks';
import { distance, num, percent } from '../shared/format';
import { Missing } from '../shared/TopBar';
import { ROAD, VEHICLE } from './colour';
import type { Dispatch } from './state';

/** Most roads in the list, a bound for its elements. */
const SHOWN = 120;
/** The order in which a dispatcher asks. */
const TABS: readonly RoadState[] = ['missed', 'too_few', 'not_due', 'done'];

export function StateMark(props: { state: RoadState | 'none' }) {
  return (
    <svg class="mark line" viewBox="0 0 24 10" aria-hidden="true">
      <path d="M1 5H23" stroke={ROAD[props.state]} stroke-width={props.state === 'missed' ? 5 : 3} stroke-dasharray={props.state === 'too_few' ? '6 3' : undefined} />
    </svg>
  );
}

export function RoadPanel(props: { dispatch: Dispatch }) {
  const { t, frame, rows, road, setRoad, roadName, districtName, district } = props.dispatch;
  const counts = createMemo(() => new Map(ROAD_STATES.map((state) => [state, (rows() ?? []).filter((row) => row.planned_passes > 0 && row.state === state).length])));
  const [chosen, setTab] = createSignal<RoadState | null>(null);
  /** Until somebody chooses, the first state that asks for something. */
  const tab = () => chosen() ?? TABS.find((state) => (counts().get(state) ?? 0) > 0) ?? 'missed';
  const listed = createMemo(() => roadsIn(rows() ?? [], tab()));
  const ids = createMemo(() => listed().slice(0, SHOWN).map((row) => row.road));
  const byId = createMemo(() => new Map(listed().map((row) => [row.road, row])));
  return (
    <section class="card roads">
      <div class="card-head"><h2>{t('roadWork')}</h2></div>
      <Show when={!frame() || frame()!.offers.has('road_coverage')} fallback={<Missing language={props.dispatch} view="road_coverage" />}>
        <div class="chips">
          <For each={TABS}>
            {(state) => (
              <button type="button" aria-pressed={tab() === state} data-testid={`tab-${state}`} onClick={() => setTab(state)}>
                <StateMark state={state} />{t(`road.${state}`)} <b>{num(counts().get(state))}</b>
              </button>
            )}
          </For>
        </div>
        <ol class="rows">
          <For each={ids()}>
            {(id) => {
              const row = () => byId().get(id);
              return (
                <li classList={{ chosen: road() === id }}>
                  <button type="button" class="road-row" data-road={id} onClick={() => setRoad(road() === id ? null : id)}>
                    <StateMark state={row()?.state ?? 'none'} />
                    <span class="who"><b>{roadName(id)}</b> <Show when={district() === null}><small>{districtName(row()?.district ?? null)}</small></Show></span>
                    <span class="bar"><i style={{ width: `${(row()?.share ?? 0) * 100}%` }} /></span>
                    <span class="where">
                      {distance(row()?.length ?? 0)} · {t('passesOf', { n: num(row()?.passes), planned: num(row()?.planned_passes) })}
                      {' · '}{row()?.last_swept_ts == null ? t('neverSwept') : t('lastSwept', { time: minute(row()!.last_swept_ts as number) })}
                    </span>
                    <span class="share">{percent(row()?.share)}%</span>
                  </button>
                </li>
              );
            }}
          </For>
          <Show when={frame() && ids().length === 0}><li class="nothing">{t('noRows')}</li></Show>
          <Show when={listed().length > SHOWN}><li class="nothing">{t('more', { n: num(listed().length - SHOWN) })}</li></Show>
        </ol>
      </Show>
    </section>
  );
}

/** A road: its work in each shift, and the vehicles near it. */
export function RoadDetail(props: { dispatch: Dispatch }) {
  const { t, frame, road, setRoad, setVehicle, roadName, districtName, plate, fleetName, shiftName, day } = props.dispatch;
  const line = () => frame()?.roadById.get(road() ?? '')?.line ?? [];
  const near = createMemo(() => {
    const shown = frame();
    return shown && road() !== null && line().length > 0 ? nearest(line(), shown.vehicles, shown.tick) : [];
  });
  const own = createMemo(() => (frame()?.roadRows ?? []).filter((row) => row.road === road()).sort((a, b) => b.due_ts - a.due_ts));
  const now = () => own().find((row) => shiftDayOf(row) === day()?.key);
  return (
    <section class="card detail" data-testid="road-detail" data-road={road() ?? ''}>
      <Show when={road() !== null} fallback={<p class="nothing">{t('chooseRoad')}</p>}>
        <div class="card-head">
          <h2>{roadName(road()!)}</h2>
          <small>{districtName(frame()?.roadById.get(road()!)?.district ?? null)}</small>
          <button type="button" class="close" aria-label={t('close')} onClick={() => setRoad(null)}>✕</button>
        </div>
        <Show when={frame()?.offers.has('road_coverage')}>
          <Show when={now()} fallback={<p class="nothing">{t('roadNotPlanned')}</p>}>
            {(row) => (
              <p class="now-row">
                <StateMark state={row().state} /><b>{t(`road.${row().state}`)}</b>{' · '}{t('sweptShare', { share: percent(row().share) })}
                {' · '}{t('passesOf', { n: num(row().passes), planned: num(row().planned_passes) })}
                {' · '}{t('worked', { n: num(row().vehicles) })}
              </p>
            )}
          </Show>
          <table>
            <tbody>
              <For each={own()}>
                {(row) => (
                  <tr classList={{ current: shiftDayOf(row) === day()?.key }}>
                    <th>{row.date.slice(5)} {shiftName(row.shift)}</th>
                    <td><StateMark state={row.planned_passes > 0 ? row.state : 'none'} />{row.planned_passes > 0 ? t(`road.${row.state}`) : t('road.none')}</td>
                    <td>{percent(row.share)}%</td>
                    <td>{num(row.passes)}/{num(row.planned_passes)}</td>
                    <td>{row.last_swept_ts === null ? '—' : minute(row.last_swept_ts)}</td>
                  </tr>
                )}
              </For>
            </tbody>
          </table>
        </Show>
        <h3>{t('near')} <small>{t('nearHint')}</small></h3>
        <ol class="near" data-testid="near">
          <For each={near()}>
            {(item) => (
              <li>
                <button type="button" data-near={item.vehicle.vehicle_id} onClick={() => setVehicle(item.vehicle.vehicle_id)}>
                  <ShapeMark shape={item.shape} palette={VEHICLE} />
                  <b>{plate(item.vehicle.vehicle_id)}</b> <small>{fleetName(item.vehicle.fleet)}</small>
                  <em classList={{ free: item.free }}>{t(item.free ? 'free' : 'busy')}</em>
                  <span>{distance(item.metres)}</span>
                </button>
              </li>
            )}
          </For>
          <Show when={near().length === 0}><li class="nothing">{t('noVehicle')}</li></Show>
        </ol>
      </Show>
    </section>
  );
}
