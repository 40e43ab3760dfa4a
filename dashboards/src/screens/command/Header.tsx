// How far the data can be trusted: connection, delay, freshness; then what time it is in the city.

import { clock, day } from '../../model/time';
import { Nav } from '../shared/Nav';
import { type Screen, num } from './state';

/** Above this delay of the shown tick the figure turns to a warning, ms. */
const SLOW_MS = 5000;
/** A tick that is further ahead of this machine's clock says that the clock is wrong, ms. */
const SKEW_MS = 2000;

export function Header(props: { screen: Screen }) {
  const { t, frame, health, now, scope } = props.screen;
  const counts = () => frame()?.vehicleCounts?.get(scope());
  const delay = () => {
    const shown = frame();
    return shown ? now() - shown.tick : null;
  };
  return (
    <header class="header">
      <div class="trust">
        <span class={`pill ${health()}`} role="status" data-testid="health">
          <i />
          {t(`phase.${health()}`)}
        </span>
        <span class="fact">
          {t((delay() ?? 0) < -SKEW_MS ? 'clockSkew' : 'dataDelay')}{' '}
          <b data-testid="delay" classList={{ warn: Math.abs(delay() ?? 0) > SLOW_MS }}>
            {delay() === null ? '—' : (Math.max(delay() as number, (delay() as number) < -SKEW_MS ? -Infinity : 0) / 1000).toFixed(1)} {t('unit.s')}
          </b>
        </span>
        <span class="fact">
          {t('fresh')}{' '}
          <b data-testid="vehicles-fresh">{num(counts()?.fresh ?? (frame()?.vehicleCounts ? 0 : null))}</b>
          <small>/<span data-testid="vehicles-total" data-tick={frame()?.tick}>{num(counts()?.total ?? (frame()?.vehicleCounts ? 0 : null))}</span></small>
        </span>
        <span class="fact">
          {t('stale')} <b class="warn" data-testid="vehicles-stale">{num(counts()?.stale ?? (frame()?.vehicleCounts ? 0 : null))}</b>
          {' · '}
          {t('offline')} <b class="bad" data-testid="vehicles-offline">{num(counts()?.offline ?? (frame()?.vehicleCounts ? 0 : null))}</b>
        </span>
      </div>
      <div class="title">
        <h1>{t('title')}</h1>
        <Nav here="command" language={props.screen} />
      </div>
      <div class="now">
        <span class="fact">
          {t('sensorsOffline')}{' '}
          <b data-testid="sensors-offline">{num(frame()?.sensorsOffline ? (frame()?.sensorsOffline?.get(scope()) ?? 0) : null)}</b>{' '}
          <small>{t('sensorsOfflineOf', { total: num(frame()?.sensorsTotal.get(scope())) })}</small>
        </span>
        <span class="fact">{day(frame()?.tick ?? now(), props.screen.lang())}</span>
        <span class="clock" data-testid="clock" title={t('dataTime')}>{frame() ? clock(frame()!.tick) : '—'}</span>
        <button type="button" class="lang" data-testid="language" onClick={() => props.screen.setLang(props.screen.lang() === 'zh' ? 'en' : 'zh')}>
          {t('language')}
        </button>
      </div>
    </header>
  );
}
