// Alerts that ask for something, worst first. The list holds still under a finger or a pointer.

import { For, Show, createMemo, createSignal, onCleanup } from 'solid-js';
import { type AlertRow } from '../../live/types';
import { SEVERITIES, alertQueue, noAlerts } from '../../model/select';
import { span } from '../../model/time';
import { alertText } from './alert-text';
import { SeverityMark } from './Marks';
import { type Screen, num } from './state';

/** Most alerts in the list: what a wall can show, and a bound for its elements. */
const SHOWN = 30;
/** After the last touch the list stays for this long, ms. */
const TOUCH_HOLD_MS = 15_000;

export function createHold() {
  const [held, setHeld] = createSignal(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const release = () => setHeld(false);
  onCleanup(() => clearTimeout(timer));
  return {
    held,
    on: {
      onPointerEnter: (event: PointerEvent) => event.pointerType === 'mouse' && setHeld(true),
      onPointerLeave: (event: PointerEvent) => event.pointerType === 'mouse' && release(),
      onTouchStart: () => {
        clearTimeout(timer);
        setHeld(true);
        timer = setTimeout(release, TOUCH_HOLD_MS);
      },
    },
  };
}

export function AlertsPanel(props: { screen: Screen }) {
  const { t, frame, scope } = props.screen;
  const hold = createHold();
  const queue = createMemo<{ scope: string | null; rows: AlertRow[] | null }>(
    (before) => {
      const where = scope();
      if (hold.held() && before.scope === where) return before;
      const alerts = frame()?.alerts;
      return { scope: where, rows: alerts ? alertQueue(alerts, where) : null };
    },
    { scope: null, rows: null },
  );
  const counts = () => {
    const all = frame()?.alertCounts;
    return all ? (all.get(scope()) ?? noAlerts()) : null;
  };
  const rest = () => (queue().rows?.length ?? 0) - SHOWN;
  return (
    <section class="panel alerts" {...hold.on}>
      <div class="panel-head">
        <h2>{t('alerts')}</h2>
        <Show when={hold.held()}><em class="tag">{t('paused')}</em></Show>
        <span>
          <For each={SEVERITIES}>
            {(severity) => (
              <span class={`sev ${severity}`}>
                <SeverityMark severity={severity} />
                {t(`severity.${severity}`)} <b data-testid={`alerts-${severity}`}>{num(counts()?.[severity])}</b>
              </span>
            )}
          </For>
        </span>
      </div>
      <ol class="alert-list" data-testid="alert-list">
        <For each={queue().rows?.slice(0, SHOWN) ?? []}>
          {(alert) => {
            const said = createMemo(() => alertText(props.screen, alert));
            return (
              <li class={`alert ${alert.severity} ${alert.state}`} data-alert={alert.alert_id}>
                <SeverityMark severity={alert.severity} />
                <div>
                  <div class="where">
                    <b><Show when={alert.district !== null}>{props.screen.placeName(alert.district)} · </Show>{said().place}</b>
                    <time>{said().time}</time>
                  </div>
                  <div class="what">{said().what}</div>
                  <div class="whose">
                    <span>
                      {alert.owner !== null
                        ? t('owner', { name: alert.owner })
                        : t('waiting', { span: span((frame()?.tick ?? 0) - alert.raised_ts, props.screen.spanUnits()) })}
                    </span>
                    <strong>{t(alert.state === 'acknowledged' ? 'state.acknowledged' : 'state.open')}</strong>
                  </div>
                </div>
              </li>
            );
          }}
        </For>
        <Show when={queue().rows?.length === 0}><li class="nothing">{t('noAlerts')}</li></Show>
        <Show when={frame() && queue().rows === null}><li class="nothing">—</li></Show>
      </ol>
      <div class="panel-foot">
        <span>{t('acknowledgedN', { n: num(counts()?.acknowledged) })}</span>
        <Show when={rest() > 0}><span>{t('more', { n: num(rest()) })}</span></Show>
      </div>
    </section>
  );
}
