// The analytics screen: scores and why they moved, indicators down to their counts, cases, parks. One frame, shown whole.

import { For, Show, createSignal } from 'solid-js';
import { Frozen, TopBar } from '../shared/TopBar';
import { TrendLine, Waterfall } from './Charts';
import { Parks } from './Parks';
import { Scores } from './Scores';
import { createAnalytics } from './state';
import { Summary } from './Summary';
import { Cases, Indicators } from './Tables';
import '../shared/base.css';
import '../shared/light.css';
import './analytics.css';

/** How long the button says that the link was copied, ms. */
const COPIED_MS = 2000;

export function AnalyticsScreen() {
  const analytics = createAnalytics();
  const { t, lang, frame, health, now, scheme, setScheme, period, periods, setPeriod, previous } = analytics;
  const [copied, setCopied] = createSignal(false);
  const copy = () => {
    navigator.clipboard?.writeText(location.href).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), COPIED_MS);
    }, () => {});
  };
  /** The rows of a view as a table file, as they are at the tick shown. */
  const file = (view: string, where: Record<string, string>) => {
    const query = new URLSearchParams({ lang: lang() });
    for (const [column, value] of Object.entries(where)) query.append('where', `${column}:${value}`);
    return `/api/v1/export/${view}.csv?${query}`;
  };
  return (
    <div class="light analytics" classList={{ dim: health() !== 'live' }} data-testid="screen" data-screen="analytics"
      data-tick={frame()?.tick} data-health={health()} data-scheme={scheme()?.id ?? ''} data-period={period() ?? ''}
      data-unit={analytics.unit()?.district ?? ''} data-park-scheme={analytics.parkScheme()}>
      <TopBar here="analytics" title={t('analyticsTitle')} language={analytics} health={health()} tick={frame()?.tick} now={now()} />
      <Frozen language={analytics} health={health()} tick={frame()?.tick} />
      <main class="data">
        <div class="filters">
          <label class="fact">{t('scheme')}{' '}
            <select data-testid="scheme" onChange={(event) => setScheme(event.currentTarget.value)}>
              <For each={[...(frame()?.schemes.values() ?? [])]} fallback={<option>{t('noScheme')}</option>}>
                {(one) => <option value={one.id} selected={one.id === scheme()?.id}>{one.names[lang()]}</option>}
              </For>
            </select>
          </label>
          <label class="fact">{t('period')}{' '}
            <select data-testid="period" onChange={(event) => setPeriod(event.currentTarget.value)}>
              <For each={periods()} fallback={<option>—</option>}>{(one) => <option value={one} selected={one === period()}>{one}</option>}</For>
            </select>
          </label>
          <span class="fact">{t('comparedWith')} <b>{previous() ?? t('noPrevious')}</b></span>
          <span class="filters-end">
            <Show when={frame()?.offers.has('scores') && scheme()}>
              {(one) => <a href={file('scores', { scheme: one().id })} download="">{t('exportOf', { name: t('scoresTitle') })}</a>}
            </Show>
            <Show when={frame()?.offers.has('park_radius')}><a href={file('park_radius', {})} download="">{t('exportOf', { name: t('parksTitle') })}</a></Show>
            <button type="button" onClick={copy}>{t(copied() ? 'copied' : 'copyLink')}</button>
          </span>
        </div>
        <Summary analytics={analytics} />
        <Scores analytics={analytics} />
        <Waterfall analytics={analytics} />
        <TrendLine analytics={analytics} />
        <Indicators analytics={analytics} />
        <Cases analytics={analytics} />
        <Parks analytics={analytics} />
      </main>
    </div>
  );
}
