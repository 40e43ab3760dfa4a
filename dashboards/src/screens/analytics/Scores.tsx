// Who stands where: rank, parts of the score as a bar, change, completeness. A row opens the unit up.

import { For, Index, Show, createMemo } from 'solid-js';
import { partsOf } from '../../model/scores';
import { fixed, num, percent } from '../shared/format';
import { Missing } from '../shared/TopBar';
import { partColour } from './colour';
import { ScoreMap } from './ScoreMap';
import type { Analytics } from './state';

/** Below this share of their weight the data count as incomplete. */
export const COMPLETE_FROM = 0.95;
/** Parts named above the table; the others are in the list of indicators. */
const NAMED = 8;

export function Change(props: { points: number | null }) {
  return (
    <span classList={{ up: (props.points ?? 0) > 0, down: (props.points ?? 0) < 0 }}>
      {props.points === null ? '—' : `${props.points > 0 ? '▲' : props.points < 0 ? '▼' : ''} ${Math.abs(props.points).toFixed(1)}`}
    </span>
  );
}

export function Scores(props: { analytics: Analytics }) {
  const { t, frame, table, unit, unitName, setDistrict, period, indicatorName } = props.analytics;
  /** The order of the parts is that of the unit opened up, so that a colour means the same in every row. */
  const order = createMemo(() => {
    const [shown, first] = [frame(), unit() ?? table()[0]];
    return shown && first && period() !== null ? partsOf(shown.indicators, first.district, period() as string).map(({ indicator }) => indicator) : [];
  }, [], { equals: (a, b) => a.join() === b.join() });
  const parts = (district: string) => {
    const shown = frame();
    return shown && period() !== null ? partsOf(shown.indicators, district, period() as string) : [];
  };
  const colourOf = (indicator: string) => partColour(Math.max(0, order().indexOf(indicator)));
  return (
    <section class="card scores">
      <div class="card-head"><h2>{t('scoresTitle')}</h2><small>{t('scoresHint')}</small></div>
      <Show when={!frame() || frame()!.offers.has('scores')} fallback={<Missing language={props.analytics} view="scores" />}>
        <Show when={frame()?.offers.has('indicators')} fallback={<Missing language={props.analytics} view="indicators" />}>
          <div class="part-key">
            <For each={order().slice(0, NAMED)}>{(id) => <span><i style={{ background: colourOf(id) }} />{indicatorName(id)}</span>}</For>
          </div>
        </Show>
        <div class="scroll">
          <table>
            <thead><tr><th /><th /><th class="parts">{t('outOf100')}</th><th>{t('scoreOf')}</th><th>{t('gradeOf')}</th><th>{t('changeOf')}</th><th>{t('dataComplete')}</th></tr></thead>
            <tbody>
              <Index each={table()}>
                {(row) => (
                  <tr classList={{ chosen: unit()?.district === row().district }} data-unit={row().district} onClick={() => setDistrict(row().district)}>
                    <td>{row().rank ?? '—'}</td>
                    <th><button type="button">{unitName(row().district)}</button></th>
                    <td class="parts">
                      <span class="parts-bar">
                        <For each={parts(row().district)}>{(part) => <i style={{ width: `${Math.max(0, part.points)}%`, background: colourOf(part.indicator) }} title={`${indicatorName(part.indicator)} ${fixed(part.points, 1)}`} />}</For>
                      </span>
                    </td>
                    <td><b data-testid={`score-${row().district}`}>{fixed(row().score, 1)}</b></td>
                    <td><span class="grade">{row().grade ?? '—'}</span></td>
                    <td><Change points={row().change} /></td>
                    <td classList={{ incomplete: (row().completeness ?? 1) < COMPLETE_FROM }}>
                      {row().completeness === null ? (row().provisional ? t('provisional') : '—') : `${(row().completeness as number) < COMPLETE_FROM ? '⚠ ' : ''}${percent(row().completeness)}%`}
                    </td>
                  </tr>
                )}
              </Index>
            </tbody>
          </table>
          <Show when={frame() && table().length === 0}><p class="nothing">{t('noScores')}</p></Show>
        </div>
        <div class="score-foot">
          <ScoreMap analytics={props.analytics} />
          <p class="card-foot"><b>{t('howTo')}</b> {t('howToText')} {t('unitCount', { n: num(table().length) })}<Show when={frame()?.shippedBorders}> · {t('attribution')}</Show></p>
        </div>
      </Show>
    </section>
  );
}
