// The waterfall between two periods and the line over all of them, drawn by hand.

import { For, Show, createMemo } from 'solid-js';
import { mean, partsOf, periodKind, waterfall } from '../../model/scores';
import { fixed } from '../shared/format';
import { DOWN, TOTAL, UP } from './colour';
import type { Analytics } from './state';

const W = 640;
const H = 150;
/** Most periods in the line. */
const PERIODS_SHOWN = 14;
/** Steps that are drawn by themselves; the smaller ones are one step. */
const STEPS_SHOWN = 7;

interface Bar {
  label: string;
  from: number;
  to: number;
  colour: string;
  text: string;
}

export function Waterfall(props: { analytics: Analytics }) {
  const { t, frame, unit, unitName, period, previous, indicatorName } = props.analytics;
  const bars = createMemo<Bar[] | null>(() => {
    const [shown, row, now, then] = [frame(), unit(), period(), previous()];
    if (!shown || !row || row.score === null || row.change === null || now === null || then === null) return null;
    const moves = waterfall(partsOf(shown.indicators, row.district, then), partsOf(shown.indicators, row.district, now), row.change)
      .sort((a, b) => Math.abs(b.points) - Math.abs(a.points));
    const rest = moves.slice(STEPS_SHOWN).reduce((sum, move) => sum + move.points, 0);
    const steps = moves.length > STEPS_SHOWN ? [...moves.slice(0, STEPS_SHOWN), { indicator: null, points: rest }] : moves;
    let level = row.score - row.change;
    const all: Bar[] = [{ label: then, from: 0, to: level, colour: TOTAL, text: fixed(level, 1) }];
    for (const { indicator, points } of steps) {
      all.push({ label: indicatorName(indicator), from: level, to: level + points, colour: points < 0 ? DOWN : UP, text: `${points > 0 ? '+' : points < 0 ? '−' : ''}${Math.abs(points).toFixed(1)}` });
      level += points;
    }
    all.push({ label: now, from: 0, to: row.score, colour: TOTAL, text: fixed(row.score, 1) });
    return all;
  });
  const scale = () => {
    const levels = (bars() ?? []).flatMap(({ from, to }) => [from, to]).filter((level) => level > 0);
    const [low, high] = [Math.min(...levels), Math.max(...levels)];
    // The totals are cut off below: what moved is what is looked at.
    const floor = Math.max(0, low - Math.max(2, (high - low) * 1.2));
    return { y: (level: number) => H - ((Math.max(level, floor) - floor) / Math.max(high - floor, 1e-9)) * (H - 14) };
  };
  return (
    <section class="card">
      <div class="card-head"><h2>{t('movedTitle', { place: unitName(unit()?.district ?? null) })}</h2><small>{t('points')}</small></div>
      <Show when={bars()} fallback={<p class="nothing">{t('noMove')}</p>}>
        {(list) => (
          <>
            <svg class="waterfall" viewBox={`0 -6 ${W} ${H + 6}`} preserveAspectRatio="none" role="img" aria-label={t('movedTitle', { place: unitName(unit()?.district ?? null) })}>
              <For each={list()}>
                {(bar, i) => {
                  const step = W / list().length;
                  const [top, bottom] = [Math.min(scale().y(bar.from), scale().y(bar.to)), Math.max(scale().y(bar.from), scale().y(bar.to))];
                  return <rect x={i() * step + step * 0.15} width={step * 0.7} y={top} height={Math.max(1, bottom - top)} fill={bar.colour} />;
                }}
              </For>
            </svg>
            <ol class="waterfall-key" style={{ 'grid-template-columns': `repeat(${list().length}, 1fr)` }}>
              <For each={list()}>{(bar) => <li><b style={{ color: bar.colour }}>{bar.text}</b><span title={bar.label}>{bar.label}</span></li>}</For>
            </ol>
          </>
        )}
      </Show>
    </section>
  );
}

export function TrendLine(props: { analytics: Analytics }) {
  const { t, frame, unit, unitName, period, periods } = props.analytics;
  const shownPeriods = createMemo(() => {
    const now = period();
    return now === null ? [] : periods().filter((one) => periodKind(one) === periodKind(now) && one <= now).sort().slice(-PERIODS_SHOWN);
  });
  const lines = createMemo(() => {
    const rows = frame()?.scores ?? [];
    const own = shownPeriods().map((one) => rows.find((row) => row.period === one && row.district === unit()?.district)?.score ?? null);
    const all = shownPeriods().map((one) => mean(rows.filter((row) => row.period === one).map((row) => row.score)));
    return { own, all };
  });
  const range = createMemo(() => {
    const known = [...lines().own, ...lines().all].filter((value): value is number => value !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    return known.length === 0 ? null : { low: Math.floor(low - 1), high: Math.ceil(high + 1) };
  });
  const path = (values: readonly (number | null)[]) => {
    const r = range();
    if (!r) return '';
    let pen = false;
    return values.map((value, i) => {
      if (value === null) {
        pen = false;
        return '';
      }
      const x = values.length > 1 ? (i / (values.length - 1)) * W : W / 2;
      const text = `${pen ? 'L' : 'M'}${x.toFixed(1)} ${(H - ((value - r.low) / (r.high - r.low)) * H).toFixed(1)}`;
      pen = true;
      return text;
    }).join('');
  };
  return (
    <section class="card trend">
      <div class="card-head"><h2>{t('trendTitle')}</h2><small>{t('points')}</small></div>
      <Show when={range() && shownPeriods().length > 1} fallback={<p class="nothing">{t('noMove')}</p>}>
        <div class="trend-chart">
          <svg viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" aria-hidden="true">
            <path d={`M0 ${H}H${W}M0 0H${W}M0 ${H / 2}H${W}`} stroke="#dde3ea" fill="none" vector-effect="non-scaling-stroke" />
            <path d={path(lines().all)} stroke={TOTAL} stroke-dasharray="6 4" fill="none" stroke-width="2" vector-effect="non-scaling-stroke" />
            <path d={path(lines().own)} stroke={DOWN} fill="none" stroke-width="2.5" vector-effect="non-scaling-stroke" />
          </svg>
          <span class="high">{range()?.high}</span><span class="low">{range()?.low}</span>
        </div>
        <div class="trend-axis"><span>{shownPeriods()[0]}</span><span>{shownPeriods().at(-1)}</span></div>
        <p class="trend-key">
          <i style={{ background: DOWN }} />{unitName(unit()?.district ?? null)} <b>{fixed(lines().own.at(-1), 1)}</b>
          <i style={{ background: TOTAL }} />{t('meanScore')} <b>{fixed(lines().all.at(-1), 1)}</b>
        </p>
      </Show>
    </section>
  );
}
