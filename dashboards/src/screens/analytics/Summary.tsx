// What changed and why, in one sentence computed from the rows shown, and four figures beside it.

import { For, Show, createMemo } from 'solid-js';
import { currentShift } from '../../model/coverage';
import { reaches } from '../../model/parks';
import { caseLines, greatestFall, mean } from '../../model/scores';
import { fixed, num, percent } from '../shared/format';
import { ALL_TIME } from './frame';
import { COMPLETE_FROM } from './Scores';
import type { Analytics } from './state';

export function Summary(props: { analytics: Analytics }) {
  const { t, frame, table, period, previous, unitName, indicatorName, parkScheme } = props.analytics;
  const average = createMemo(() => {
    const now = mean(table().map((row) => row.score));
    const changes = table().map((row) => row.change);
    return { now, change: changes.some((one) => one === null) ? null : mean(changes) };
  });
  const said = () => {
    const { now, change } = average();
    if (now === null) return t('noScores');
    const points = fixed(Math.abs(change ?? 0), 1);
    const moved = change === null ? '' : t(points === '0.0' ? 'saidSame' : change > 0 ? 'saidUp' : 'saidDown', { points });
    return t('said', { score: fixed(now, 1), change: moved });
  };
  const fall = createMemo(() => {
    const [shown, now, then] = [frame(), period(), previous()];
    return shown && now !== null && then !== null ? greatestFall(table(), shown.indicators, now, then) : null;
  });
  const incomplete = createMemo(() => table().filter((row) => row.completeness !== null && row.completeness < COMPLETE_FROM));
  const cityCases = createMemo(() => caseLines(frame()?.cases ?? [], ALL_TIME).find((line) => line.id === 'city'));
  const park = createMemo(() => reaches(frame()?.parkRadius ?? [], parkScheme()).city);
  /** The city's coverage in the shift that is on, as the engine's own row says. */
  const coverage = createMemo(() => {
    const [shown, rows] = [frame(), frame()?.coverage?.filter((row) => row.district === 'city' && row.planned_roads > 0)];
    if (!shown || !rows) return null;
    const shifts = shown.shifts;
    const days = rows.flatMap((row) => {
      const shift = shifts.get(row.shift);
      if (!shift) return [];
      const midnight = Date.parse(`${row.date}T00:00:00+08:00`);
      return [{ key: `${row.date}/${row.shift}`, shift: row.shift, date: row.date, planned: row.planned_roads, startTs: midnight + shift.start * 60_000, dueTs: midnight + shift.end * 60_000 }];
    }).sort((a, b) => a.dueTs - b.dueTs);
    const day = currentShift(days, shown.tick);
    return rows.find((row) => row.shift === day?.shift && row.date === day.date)?.share ?? null;
  });
  const figures = () => [
    { id: 'kpi-coverage', view: 'district_coverage' as const, label: t('coverageNow'), value: percent(coverage()), unit: '%' },
    { id: 'kpi-on-time', view: 'case_rates' as const, label: t('onTimeNow'), value: percent(cityCases()?.onTime), unit: '%' },
    { id: 'kpi-park', view: 'park_radius' as const, label: t('parkNow'), value: percent(park()?.share), unit: '%' },
    { id: 'kpi-people', view: 'park_radius' as const, label: t('peopleNow'), value: park() ? num(Math.round(park()!.covered)) : '—', unit: '' },
  ];
  return (
    <section class="card summary">
      <div class="sentence">
        <p data-testid="mean-score" data-mean={average().now ?? ''}>
          {said()}
          <Show when={fall()}>
            {(one) => (
              <>
                {' · '}
                <b class="down">
                  {t('saidFall', { place: unitName(one().standing.district), points: fixed(-(one().standing.change ?? 0), 1), score: fixed(one().standing.score, 1) })}
                </b>
                <Show when={one().indicator !== null}>{t('saidBy', { indicator: indicatorName(one().indicator), points: `−${Math.abs(one().points).toFixed(1)}` })}</Show>
              </>
            )}
          </Show>
          <Show when={previous() !== null && table().length > 0 && fall() === null}>{' · '}{t('saidNoFall')}</Show>
        </p>
        <Show when={incomplete().length > 0}>
          <p class="aside">{t('saidIncomplete', { n: num(incomplete().length), places: incomplete().slice(0, 4).map((row) => unitName(row.district)).join(t('listComma')) })}</p>
        </Show>
      </div>
      <For each={figures().filter((figure) => frame()?.offers.has(figure.view))}>
        {(figure) => <div class="kpi"><span>{figure.label}</span><b data-testid={figure.id}>{figure.value}</b><small>{figure.unit}</small></div>}
      </For>
    </section>
  );
}
