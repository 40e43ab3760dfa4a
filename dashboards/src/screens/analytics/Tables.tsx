// The unit opened up: its indicators down to the counts they are made of. Beside it the cases of the period.

import { Index, Show, createMemo } from 'solid-js';
import { isKey } from '../../i18n';
import { caseLines, partsOf } from '../../model/scores';
import { fixed, num, percent } from '../shared/format';
import { Missing } from '../shared/TopBar';
import { ALL_TIME } from './frame';
import { Inputs } from './Inputs';
import type { Analytics } from './state';

export function Indicators(props: { analytics: Analytics }) {
  const { t, frame, scheme, unit, unitName, period, indicator, setIndicator, indicatorName } = props.analytics;
  const parts = createMemo(() => {
    const [shown, row, now] = [frame(), unit(), period()];
    return shown && row && now !== null ? partsOf(shown.indicators, row.district, now) : [];
  });
  const chosen = () => (parts().some((part) => part.indicator === indicator()) ? indicator() : null);
  const stateOf = (state: string) => (state === 'counted' || state === '' ? '' : isKey(`state.${state}`) ? t(`state.${state}` as 'state.counted') : state);
  return (
    <section class="card indicators">
      <div class="card-head"><h2>{t('indicatorsTitle', { place: unitName(unit()?.district ?? null) })}</h2><small>{t('indicatorsHint')}</small></div>
      <Show when={!frame() || frame()!.offers.has('indicators')} fallback={<Missing language={props.analytics} view="indicators" />}>
        <div class="scroll">
          <table>
            <thead><tr><th>{t('indicatorOf')}</th><th>{t('weightOf')}</th><th>{t('numbersOf')}</th><th>{t('valueOf')}</th><th>{t('scoreOf')}</th><th>{t('pointsOf')}</th></tr></thead>
            <tbody>
              <Index each={parts()}>
                {(part) => (
                  <tr classList={{ chosen: chosen() === part().indicator, idle: part().weight === 0 }} data-indicator={part().indicator}
                    onClick={() => setIndicator(indicator() === part().indicator ? null : part().indicator)}>
                    <th><button type="button">{indicatorName(part().indicator)}</button> <small>{stateOf(part().state)}</small></th>
                    <td>{percent(part().weight)}%</td>
                    <td>{num(part().numerator)} / {num(part().denominator)}</td>
                    <td>{fixed(part().value, 3)}</td>
                    <td>{fixed(part().score, 1)}</td>
                    <td><b>{fixed(part().points, 2)}</b></td>
                  </tr>
                )}
              </Index>
            </tbody>
          </table>
          <Show when={frame() && parts().length === 0}><p class="nothing">{t('noRows')}</p></Show>
        </div>
        <Show when={chosen()} keyed>
          {(id) => (
            <div class="formula">
              <b>{indicatorName(id)}</b> {t('formula')} <code>{frame()?.indicatorRefs.get(id)?.formula || t('noFormula')}</code>
              <Show when={frame()?.indicatorRefs.get(id)?.source}>{(source) => <> · {t('source')} {source()}</>}</Show>
              <Show when={unit() && scheme() && period() !== null}>
                <Inputs analytics={props.analytics} scheme={scheme()!.id} unit={unit()!.district} period={period()!} indicator={id} />
              </Show>
            </div>
          )}
        </Show>
      </Show>
    </section>
  );
}

export function Cases(props: { analytics: Analytics }) {
  const { t, frame, period, unit, unitName, setDistrict } = props.analytics;
  const lines = createMemo(() => {
    const rows = frame()?.cases ?? [];
    const of = period() === null ? [] : caseLines(rows, period() as string);
    return of.length > 0 ? { period: period() as string, rows: of } : { period: ALL_TIME, rows: caseLines(rows, ALL_TIME) };
  });
  return (
    <section class="card cases">
      <div class="card-head"><h2>{t('casesTitle')}</h2><small data-testid="cases-period" data-period={lines().period}>{lines().period === ALL_TIME ? t('casesAll') : t('casesPeriod', { period: lines().period })}</small></div>
      <Show when={!frame() || frame()!.offers.has('case_rates')} fallback={<Missing language={props.analytics} view="case_rates" />}>
        <div class="scroll">
          <table>
            <thead><tr><th /><th>{t('reportedOf')}</th><th>{t('closedOfCases')}</th><th>{t('openOf')}</th><th>{t('overdueOf')}</th><th>{t('onTimeOf')}</th><th>{t('reworkedOf')}</th></tr></thead>
            <tbody>
              <Index each={lines().rows}>
                {(line) => (
                  <tr classList={{ total: line().id === 'city', chosen: unit()?.district === line().id }} onClick={() => line().id !== 'city' && setDistrict(line().id)}>
                    <th>{unitName(line().id)}</th>
                    <td data-testid={`reported-${line().id}`}>{num(line().reported)}</td><td data-testid={`closed-${line().id}`}>{num(line().closed)}</td>
                    <td>{num(line().open)}</td><td>{num(line().overdue)}</td>
                    <td><b data-testid={`on-time-${line().id}`}>{line().onTime === null ? '—' : `${percent(line().onTime)}%`}</b></td><td>{num(line().reworked)}</td>
                  </tr>
                )}
              </Index>
            </tbody>
          </table>
        </div>
      </Show>
    </section>
  );
}
