// Vehicles over the time that this page has watched, and how well each stream flows.

import { For, Index, Show, createMemo } from 'solid-js';
import { isKey } from '../../i18n';
import type { Trend } from '../../model/trend';
import { clock, minute, span } from '../../model/time';
import { type Screen, num } from './state';

const W = 1000;
const H = 100;
/** A stream that lags by more than this is marked, ms. */
const LAG_MS = 10_000;

export function TrendStrip(props: { screen: Screen }) {
  const { t, frame, scope, trends } = props.screen;
  const picture = createMemo(() => {
    const tick = frame()?.tick;
    const online = trends.get(scope(), 'online');
    const working = trends.get(scope(), 'working');
    const start = online.times[0];
    if (tick === undefined || start === undefined) return null;
    const end = Math.max(tick, start + 60_000);
    const top = Math.max(1, ...online.values.map((value) => value ?? 0)) * 1.12;
    const line = (trend: Trend) => {
      let d = '';
      let pen = false;
      trend.values.forEach((value, i) => {
        if (value === null) {
          pen = false;
          return;
        }
        const x = (((trend.times[i] as number) - start) / (end - start)) * W;
        d += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${(H - (value / top) * H).toFixed(1)}`;
        pen = true;
      });
      return d;
    };
    const long = end - start > 20 * 60_000;
    const marks = Array.from({ length: 6 }, (_, i) => {
      const at = start + ((end - start) * i) / 5;
      return { x: i * 20, text: long ? minute(at) : clock(at) };
    });
    return { online: line(online), working: line(working), marks, now: ((tick - start) / (end - start)) * 100, start, tick };
  });
  const label = (stream: string) => {
    const key = `stream.${stream}`;
    return isKey(key) ? t(key) : stream;
  };
  return (
    <section class="panel strip">
      <div class="strip-head">
        <h2>{t('trend')}</h2>
        <p>{picture() ? t('trendHint', { time: clock(picture()!.start) }) : ''}</p>
        <p class="strip-key">
          <span class="online"><i />{t('onlineVehicles')}</span>
          <span class="working"><i />{t('working')}</span>
        </p>
      </div>
      <div class="strip-chart">
        <svg viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" aria-hidden="true">
          <For each={[0, 20, 40, 60, 80, 100]}>{(x) => <path class="grid" d={`M${x * 10} 0V${H}`} vector-effect="non-scaling-stroke" />}</For>
          <path class="online" d={picture()?.online ?? ''} vector-effect="non-scaling-stroke" />
          <path class="working" d={picture()?.working ?? ''} vector-effect="non-scaling-stroke" />
        </svg>
        <Show when={picture()}>
          {(shown) => (
            <>
              <i class="cursor" style={{ left: `${shown().now}%` }} />
              <span class="cursor-tag" classList={{ end: shown().now > 85 }} style={{ left: `${shown().now}%` }}>{clock(shown().tick)}</span>
            </>
          )}
        </Show>
        <div class="axis">
          <Index each={picture()?.marks ?? []}>{(mark) => <span style={{ left: `${mark().x}%` }}>{mark().text}</span>}</Index>
        </div>
      </div>
      <table class="streams" data-testid="streams">
        <thead>
          <tr><th>{t('stream')}</th><th>{t('rate')}</th><th>{t('lag')}</th><th>{t('late')}</th><th>{t('duplicates')}</th><th>{t('rejected')}</th></tr>
        </thead>
        <tbody>
          <Index each={frame()?.streams ?? []}>
            {(stream) => (
              <tr classList={{ warn: stream().holdsBack || stream().lagMs > LAG_MS }}>
                <th>{label(stream().stream)}<Show when={stream().holdsBack}> <em class="tag">{t('holdsBack')}</em></Show></th>
                <td>{num(Math.round(stream().rate))}</td>
                <td>{stream().lagMs < 1000 ? `${num(stream().lagMs)} ms` : span(stream().lagMs, props.screen.spanUnits())}</td>
                <td>{num(stream().late)}</td>
                <td>{num(stream().duplicates)}</td>
                <td>{num(stream().rejected)}</td>
              </tr>
            )}
          </Index>
          <Show when={frame() && !frame()?.streams}><tr><th>—</th></tr></Show>
        </tbody>
      </table>
    </section>
  );
}
