// The dispatch screen: what has been swept, what was missed, who is near. One frame, shown whole; dim when disconnected.

import { For, Show, createEffect, createMemo, onCleanup } from 'solid-js';
import { minute } from '../../model/time';
import { townsOf } from '../command/draw';
import { Frozen, TopBar } from '../shared/TopBar';
import { Events, Fleets, Journey } from './Bottom';
import { RoadMap } from './RoadMap';
import { RoadDetail, RoadPanel } from './RoadPanel';
import { createDispatch } from './state';
import { VehicleList, createVehicleList } from './VehicleList';
import '../shared/base.css';
import '../shared/light.css';
import './dispatch.css';

export function DispatchScreen() {
  const dispatch = createDispatch();
  const { t, frame, health, now, vehicle, setVehicle, road, setRoad, district, setDistrict, day, setShiftKey, shiftName, districtName } = dispatch;
  const list = createVehicleList(dispatch);
  const events = createMemo(() => {
    const own = new Set(list.inScope().map((row) => row.vehicle_id));
    return frame()?.events?.filter((event) => own.has(event.vehicle_id)) ?? null;
  });
  let searchBox: HTMLInputElement | undefined;

  const key = (event: KeyboardEvent) => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === 'Escape') {
      if (typing) (event.target as HTMLElement).blur();
      else if (vehicle() !== null) setVehicle(null);
      else setRoad(null);
    } else if (typing) return;
    else if (event.key === 'j' || event.key === 'J') list.move(1);
    else if (event.key === 'k' || event.key === 'K') list.move(-1);
    else if (event.key === '/') searchBox?.focus();
    else if (event.key === ' ' && vehicle() !== null && !(event.target instanceof HTMLButtonElement)) dispatch.replay.toggle();
    else return;
    event.preventDefault();
  };
  addEventListener('keydown', key);
  onCleanup(() => removeEventListener('keydown', key));

  // Towns lie far apart: the one with the most roads is shown until somebody chooses, if the address names none.
  let placed = false;
  createEffect(() => {
    const shown = frame();
    if (placed || !shown || shown.roads.length === 0) return;
    placed = true;
    const asked = new URLSearchParams(location.search).get('district');
    const greatest = [...townsOf(shown.roads)].find(([, town]) => town.weight === 1)?.[0];
    setDistrict(asked === 'city' ? null : (asked ?? greatest ?? null));
  });

  return (
    <div class="light dispatch" classList={{ dim: health() !== 'live' }} data-testid="screen" data-screen="dispatch"
      data-tick={frame()?.tick} data-health={health()} data-district={district() ?? ''} data-shift={day()?.key ?? ''}
      data-vehicle={vehicle() ?? ''} data-road={road() ?? ''}>
      <TopBar here="dispatch" title={t('dispatchTitle')} language={dispatch} health={health()} tick={frame()?.tick} now={now()}>
        <label class="fact">
          {t('shift')}{' '}
          <select data-testid="shift" onChange={(event) => setShiftKey(event.currentTarget.value || null)}>
            <For each={frame()?.days ?? []} fallback={<option value="">{t('noShift')}</option>}>
              {(item) => <option value={item.key} selected={item.key === day()?.key}>{item.date.slice(5)} {shiftName(item.shift)}</option>}
            </For>
          </select>
          <Show when={day()}>{(shown) => <b> {t('shiftEnds', { time: minute(shown().dueTs) })}</b>}</Show>
        </label>
        <label class="fact">
          {t('district')}{' '}
          <select data-testid="district" onChange={(event) => setDistrict(event.currentTarget.value || null)}>
            <option value="" selected={district() === null}>{t('allDistricts')}</option>
            <For each={frame()?.districts ?? []}>{(item) => <option value={item.id} selected={item.id === district()}>{districtName(item.id)}</option>}</For>
          </select>
        </label>
      </TopBar>
      <Frozen language={dispatch} health={health()} tick={frame()?.tick} />
      <main class="data">
        <VehicleList dispatch={dispatch} list={list} searchBox={(element) => { searchBox = element; }} />
        <div class="middle">
          <RoadMap dispatch={dispatch} />
          <section class="card bottom">
            <Show when={vehicle() !== null} fallback={<div class="overall"><Fleets dispatch={dispatch} /><Events dispatch={dispatch} events={events()} named /></div>}>
              <Journey dispatch={dispatch} />
            </Show>
          </section>
        </div>
        <div class="side">
          <RoadDetail dispatch={dispatch} />
          <RoadPanel dispatch={dispatch} />
        </div>
      </main>
    </div>
  );
}
