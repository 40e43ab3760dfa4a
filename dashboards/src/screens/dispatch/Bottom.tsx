// Below the map: the fleets and the fence events of all, or the journeys of the chosen vehicle.

import { For, Index, Show, createMemo } from 'solid-js';
import type { FenceEventRow } from '../../live/types';
import { fleets, totals } from '../../model/journeys';
import { clock, minute, span } from '../../model/time';
import { km, num } from '../shared/format';
import { Missing } from '../shared/TopBar';
import { SPEEDS } from './replay';
import { Speed } from './Speed';
import type { Dispatch } from './state';

/** Most events in a list. */
const EVENTS_SHOWN = 60;

export function Fleets(props: { dispatch: Dispatch }) {
  const { t, frame, district, fleetName } = props.dispatch;
  const rows = createMemo(() => {
    const shown = frame();
    if (!shown) return [];
    const place = district();
    return fleets(shown.vehicles.filter((vehicle) => place === null || vehicle.district === place), shown.openTrips, shown.tick);
  });
  return (
    <section class="fleets">
      <h2>{t('fleets')}</h2>
      <table data-testid="fleets">
        <thead>
          <tr>
            <th /><th>{t('vehicles')}</th><th>{t('working')}</th><th>{t('driving')}</th><th>{t('stopped')}</th><th>{t('offline')}</th>
            <Show when={frame()?.openTrips}><th>{t('onTrip')}</th><th>{t('tripKm')}</th><th>{t('workKm')}</th></Show>
          </tr>
        </thead>
        <tbody>
          <Index each={rows()}>
            {(row) => (
              <tr data-fleet={row().fleet ?? ''}>
                <th>{fleetName(row().fleet)}</th>
                <td>{num(row().counts.total)}</td><td>{num(row().counts.working)}</td><td>{num(row().counts.driving)}</td>
                <td>{num(row().counts.stopped)}</td><td>{num(row().counts.offline)}</td>
                <Show when={frame()?.openTrips}><td>{num(row().onTrip)}</td><td>{km(row().distance)}</td><td>{km(row().working)}</td></Show>
              </tr>
            )}
          </Index>
        </tbody>
      </table>
      <Show when={frame() && !frame()!.offers.has('trips')}><Missing language={props.dispatch} view="trips" /></Show>
    </section>
  );
}

export function Events(props: { dispatch: Dispatch; events: readonly FenceEventRow[] | null; named: boolean }) {
  const { t, frame, fenceName, plate, setVehicle, spanUnits } = props.dispatch;
  const end = (event: FenceEventRow) => (event.end_ts === null ? t('stillThere') : minute(event.end_ts));
  return (
    <section class="events">
      <h2>{t('fenceEvents')} <b data-testid="fence-events">{num(props.events?.length)}</b></h2>
      <Show when={!frame() || frame()!.offers.has('fence_events')} fallback={<Missing language={props.dispatch} view="fence_events" />}>
        <ol>
          <For each={props.events?.slice(0, EVENTS_SHOWN) ?? []}>
            {(event) => (
              <li class={event.kind} classList={{ overstay: event.overstay }}>
                <time>{minute(event.start_ts)}–{end(event)}</time>
                <Show when={props.named}><button type="button" onClick={() => setVehicle(event.vehicle_id)}><b>{plate(event.vehicle_id)}</b></button></Show>
                <em>{t(`fence.${event.kind}`)}</em> <span>{fenceName(event.fence)}</span>
                <small>{span(event.dwell * 1000, spanUnits())}<Show when={event.overstay}> · {t('overstay')}</Show></small>
              </li>
            )}
          </For>
          <Show when={frame() && props.events?.length === 0}><li class="nothing">{t('noRows')}</li></Show>
        </ol>
      </Show>
    </section>
  );
}

export function Journey(props: { dispatch: Dispatch }) {
  const { t, frame, vehicle, setVehicle, plate, fenceName, spanUnits } = props.dispatch;
  const chosen = () => frame()?.chosen;
  const replay = props.dispatch.replay;
  const { list } = replay;
  const sum = createMemo(() => totals(list()));
  const lacking = () => (['trips', 'stops', 'tracks'] as const).filter((view) => frame() && !frame()!.offers.has(view));
  return (
    <div class="journey" data-testid="journey" data-vehicle={vehicle() ?? ''} data-ready={chosen()?.vehicle === vehicle() && chosen()?.trips ? 'yes' : 'no'}>
      <div class="journey-head">
        <h2>{t('journey', { vehicle: plate(vehicle() ?? '') })}</h2>
        <Show when={chosen()?.trips}>
          <span data-testid="journey-sum" data-trips={sum().trips} data-stops={sum().stops}>
            {t('journeySum', { distance: km(sum().distance), working: km(sum().working), stopped: span(sum().stopped, spanUnits()), trips: num(sum().trips), stops: num(sum().stops) })}
            <Show when={chosen()?.track}>{(track) => <> · {t('holes', { span: span(track().holeMs, spanUnits()) })}</>}</Show>
          </span>
        </Show>
        <Show when={frame()?.offers.has('tracks')}>
          <span class="replay">
            <Show when={replay.cursor()}>
              {(at) => <b data-testid="replay-at">{clock(at())} · {replay.moment()?.hole ? t('inHole') : `${num(Math.round(replay.moment()?.speed ?? 0))} km/h`}</b>}
            </Show>
            <button type="button" onClick={() => replay.jump(-1)}>‹ {t('stop')}</button>
            <button type="button" onClick={() => replay.jump(1)}>{t('stop')} ›</button>
            <button type="button" class="play" data-testid="play" onClick={replay.toggle}>{replay.running() ? '❚❚' : '▶'} {t('play')}</button>
            <For each={SPEEDS}>{(times) => <button type="button" aria-pressed={replay.speed() === times} onClick={() => replay.setSpeed(times)}>{times}×</button>}</For>
            <a href={`/api/v1/views/vehicles/${encodeURIComponent(vehicle() ?? '')}/track?format=gpx`} download={`${vehicle()}.gpx`}>GPX</a>
          </span>
        </Show>
        <button type="button" class="close" aria-label={t('close')} onClick={() => setVehicle(null)}>✕</button>
      </div>
      <For each={lacking()}>{(view) => <Missing language={props.dispatch} view={view} />}</For>
      <div class="journey-body">
        <Show when={frame()?.offers.has('tracks')}><Speed dispatch={props.dispatch} stretches={list()} /></Show>
        <Show when={frame()?.offers.has('trips')}>
          <div class="stretches">
            <table>
              <thead><tr><th /><th>{t('from')}</th><th>{t('to')}</th><th>{t('place')}</th><th>{t('distanceKm')}</th><th>{t('workingKm')}</th></tr></thead>
              <tbody>
                <For each={[...list()].reverse()}>
                  {(row) => (
                    <tr class={row.kind}>
                      <th>{t(row.kind)}</th><td>{minute(row.startTs)}</td><td>{row.provisional ? t('ongoing') : minute(row.endTs)}</td>
                      <td>{row.place === null ? '—' : fenceName(row.place)}</td>
                      <td>{row.kind === 'trip' ? km(row.distance) : '—'}</td><td>{row.kind === 'trip' ? km(row.workingDistance) : '—'}</td>
                    </tr>
                  )}
                </For>
              </tbody>
            </table>
          </div>
        </Show>
        <Events dispatch={props.dispatch} events={chosen()?.events ?? null} named={false} />
      </div>
    </div>
  );
}
