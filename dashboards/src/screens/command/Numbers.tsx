// The number to read from across the room, and the four behind it.

import { For, type JSX } from 'solid-js';
import { noVehicles, onTimeRate } from '../../model/select';
import { span } from '../../model/time';
import { Spark } from './Spark';
import { type Screen, num, percent } from './state';

/** As large as the panel has room for: three digits at full size, longer numbers smaller, never over the edge. */
const bigSize = (text: string) => `${Math.min(5.6, 17 / text.length)}rem`;

export function Headline(props: { screen: Screen }) {
  const { t, frame, scope, placeName } = props.screen;
  const counts = () => {
    const all = frame()?.vehicleCounts;
    return all ? (all.get(scope()) ?? noVehicles()) : null;
  };
  const share = (of: number | undefined) => {
    const total = counts()?.total ?? 0;
    return total > 0 && of !== undefined ? of / total : null;
  };
  const parts = ['working', 'driving', 'stopped', 'offline'] as const;
  return (
    <section class="panel headline">
      <div class="panel-head">
        <h2>{t('headline', { place: placeName(scope()) })}</h2>
        <span>{t('headlineOf', { total: num(counts()?.total) })}</span>
      </div>
      <div class="big">
        <span class="value" data-testid="vehicles-working" data-tick={frame()?.tick} style={{ 'font-size': bigSize(num(counts()?.working)) }}>
          {num(counts()?.working)}
        </span>
        <span class="unit">{t('units')}</span>
        <dl>
          <div><dt>{t('workShare')}</dt><dd>{percent(share(counts()?.working))}<small>%</small></dd></div>
          <div><dt>{t('onlineShare')}</dt><dd>{percent(share(counts() ? counts()!.total - counts()!.offline : undefined))}<small>%</small></dd></div>
        </dl>
      </div>
      <div class="stack" role="img" aria-label={parts.map((part) => `${t(part)} ${num(counts()?.[part])}`).join(', ')}>
        <For each={parts}>
          {(part) => <i class={part} style={{ 'flex-grow': counts()?.[part] ?? 0 }} />}
        </For>
      </div>
      <div class="stack-key">
        <For each={parts}>
          {(part) => (
            <span class={part}><i />{t(part)} <b data-testid={`state-${part}`}>{num(counts()?.[part])}</b></span>
          )}
        </For>
      </div>
    </section>
  );
}

function Tile(props: {
  screen: Screen; tone: 'ok' | 'warn' | 'bad'; name: string; testid: string; label: string; value: string; unit: string; note: JSX.Element;
}) {
  const { frame, scope, trends } = props.screen;
  return (
    <div class={`tile ${props.tone}`}>
      <h3>{props.label}</h3>
      <div class="tile-value">
        <span class="value" data-testid={props.testid} data-tick={frame()?.tick}>{props.value}</span>
        <span class="unit">{props.unit}</span>
      </div>
      <Spark trend={trends.get(scope(), props.name)} tick={frame()?.tick} tone={props.tone} />
      <p>{props.note}</p>
    </div>
  );
}

export function Tiles(props: { screen: Screen }) {
  const { t, frame, scope } = props.screen;
  const cases = () => {
    const all = frame()?.cases;
    return all ? (all.get(scope()) ?? { reported: 0, open: 0, overdue: 0, closed: 0, closedOnTime: 0 }) : undefined;
  };
  const alerts = () => frame()?.alertCounts?.get(scope());
  const alertsKnown = () => frame()?.alertCounts != null;
  const oldest = () => {
    const raised = alerts()?.oldestOpen;
    const tick = frame()?.tick;
    return raised == null || tick === undefined ? null : span(tick - raised, props.screen.spanUnits());
  };
  const overdueShare = () => {
    const now = cases();
    return now && now.open > 0 ? now.overdue / now.open : null;
  };
  return (
    <section class="panel tiles">
      <Tile screen={props.screen} name="open" testid="cases-open" tone="ok" label={t('openCases')} value={num(cases()?.open)} unit={t('items')}
        note={t('reportedN', { n: num(cases()?.reported) })} />
      <Tile screen={props.screen} name="overdue" testid="cases-overdue" tone="bad" label={t('overdueCases')} value={num(cases()?.overdue)} unit={t('items')}
        note={t('ofOpen', { share: overdueShare() === null ? '—' : `${percent(overdueShare())}%` })} />
      <Tile screen={props.screen} name="alerts" testid="alerts-open" tone="warn" label={t('openAlerts')}
        value={num(alertsKnown() ? (alerts()?.open ?? 0) : null)} unit={t('count')}
        note={oldest() === null ? t('noneOpen') : t('oldest', { span: oldest() as string })} />
      <Tile screen={props.screen} name="onTime" testid="cases-on-time" tone="ok" label={t('onTime')} value={percent(onTimeRate(cases()))} unit="%"
        note={t('closedOf', { onTime: num(cases()?.closedOnTime), closed: num(cases()?.closed) })} />
    </section>
  );
}
