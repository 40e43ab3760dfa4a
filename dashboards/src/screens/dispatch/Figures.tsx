// The shift in five figures, from the engine's own row of the district or the city; above the map.

import { For, Show, createMemo } from 'solid-js';
import { countRoads, districtRow } from '../../model/coverage';
import { minute, span } from '../../model/time';
import { km, num, percent } from '../shared/format';
import { Missing } from '../shared/TopBar';
import type { Dispatch } from './state';

export function Figures(props: { dispatch: Dispatch }) {
  const { t, frame, rows, day, district, spanUnits } = props.dispatch;
  const counts = createMemo(() => {
    const list = rows();
    return list ? countRoads(list) : null;
  });
  const row = createMemo(() => {
    const [all, shown] = [frame()?.districtRows, day()];
    return all && shown ? districtRow(all, shown.key, district()) : null;
  });
  const share = () => row()?.share ?? null;
  const finish = () => {
    const [at, due] = [row()?.expected_finish_ts ?? null, day()?.dueTs];
    if (at === null || due === undefined) return { at: '—', against: '' };
    return { at: minute(at), against: t(at <= due ? 'beforeEnd' : 'afterEnd', { span: span(Math.abs(due - at), spanUnits()) }) };
  };
  const figures = () => [
    {
      id: 'coverage-share', tone: '', label: t('coverage'), value: percent(share()), unit: '%',
      note: t('sweptOf', { swept: km(row()?.swept_length), length: km(row()?.length) }),
    },
    { id: 'roads-done', tone: '', label: t('doneRoads'), value: num(counts()?.done), unit: t('roads'), note: t('ofPlanned', { n: num(counts()?.planned) }) },
    { id: 'roads-missed', tone: 'bad', label: t('missedRoads'), value: num(counts()?.missed), unit: t('roads'), note: t('missedKm', { km: km(counts()?.missedLength) }) },
    { id: 'roads-too_few', tone: 'warn', label: t('tooFewRoads'), value: num(counts()?.too_few), unit: t('roads'), note: `${t('road.not_due')} ${num(counts()?.not_due)}` },
    { id: 'finish', tone: '', label: t('expectedFinish'), value: finish().at, unit: '', note: finish().against },
    {
      id: 'completeness', tone: (row()?.record_completeness ?? 1) < 0.95 ? 'warn' : '', label: t('completeness'), value: percent(row()?.record_completeness), unit: '%',
      note: t('repeatShare', { share: percent(row()?.repeat_share) }),
    },
  ];
  const lacking = () => (['road_coverage', 'district_coverage'] as const).filter((view) => frame() && !frame()!.offers.has(view));
  return (
    <div class="figures">
      <For each={lacking()}>{(view) => <Missing language={props.dispatch} view={view} />}</For>
      <Show when={lacking().length < 2}>
        <For each={figures()}>
          {(figure) => (
            <div class={`figure ${figure.tone}`}>
              <span class="value"><b data-testid={figure.id}>{figure.value}</b> <small>{figure.unit}</small></span>
              <span class="label">{figure.label}</span>
              <span class="note">{figure.note}</span>
            </div>
          )}
        </For>
      </Show>
    </div>
  );
}
