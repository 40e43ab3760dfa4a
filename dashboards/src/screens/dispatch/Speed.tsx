// The speed of the chosen vehicle over the time of its track; holes are hatched, never bridged; stops lie behind.

import { For, Show, createMemo } from 'solid-js';
import { type Stretch, speedLine } from '../../model/journeys';
import { minute } from '../../model/time';
import { TRACK } from './colour';
import type { Dispatch } from './state';

const W = 600;
const H = 100;
/** The scale reaches at least this far, so that a stroll does not look like a race, km/h. */
const LEAST_TOP = 20;

export function Speed(props: { dispatch: Dispatch; stretches: readonly Stretch[] }) {
  const { t, frame, replay } = props.dispatch;
  const fixes = () => frame()?.chosen?.track?.fixes ?? [];
  const ends = () => [fixes()[0]?.ts ?? 0, fixes().at(-1)?.ts ?? 0] as const;
  const top = createMemo(() => fixes().reduce((most, fix) => Math.max(most, fix.speed ?? 0), LEAST_TOP));
  const drawn = createMemo(() => speedLine(fixes(), { from: ends()[0], to: ends()[1], top: top(), width: W, height: H }));
  const x = (ts: number) => (Math.min(1, Math.max(0, (ts - ends()[0]) / Math.max(1, ends()[1] - ends()[0])))) * W;
  const pick = (event: MouseEvent & { currentTarget: SVGElement }) => {
    const box = event.currentTarget.getBoundingClientRect();
    replay.setCursor(ends()[0] + ((event.clientX - box.left) / Math.max(1, box.width)) * (ends()[1] - ends()[0]));
  };
  return (
    <div class="speed-chart">
      <Show when={fixes().length > 1} fallback={<p class="nothing">{frame()?.chosen?.track ? t('noRows') : t('loading')}</p>}>
        <svg viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" role="img" aria-label={t('speedAxis')} data-testid="speed" onClick={pick}>
          <defs><pattern id="hole" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="2.4" height="6" fill="#a9b4c2" /></pattern></defs>
          <For each={props.stretches.filter((row) => row.kind === 'stop')}>
            {(row) => <rect x={x(row.startTs)} width={Math.max(0, x(row.endTs) - x(row.startTs))} y="0" height={H} fill="#f5e3b8" />}
          </For>
          <For each={drawn().holes}>{([a, b]) => <rect x={a} width={b - a} y="0" height={H} fill="url(#hole)" />}</For>
          <path d={drawn().line} fill="none" stroke={TRACK} stroke-width="1.5" vector-effect="non-scaling-stroke" />
          <Show when={replay.cursor()}>{(at) => <path d={`M${x(at()).toFixed(1)} 0V${H}`} stroke="#16202e" stroke-width="2" vector-effect="non-scaling-stroke" />}</Show>
        </svg>
        <div class="speed-axis"><span>{minute(ends()[0])}</span><span>{t('speedAxis')} · 0–{Math.round(top())}</span><span>{minute(ends()[1])}</span></div>
      </Show>
    </div>
  );
}
