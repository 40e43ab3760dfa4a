// The head of the light screens: where one is, how far the data can be trusted, the language.

import { type JSX, Show } from 'solid-js';
import { clock, day } from '../../model/time';
import type { Health, Language } from './live';
import { Nav, type ScreenName } from './Nav';

/** Above this delay of the shown tick the figure turns to a warning, ms. */
const SLOW_MS = 5000;

export function TopBar(props: {
  here: ScreenName; title: string; language: Language; health: Health; tick: number | undefined; now: number; children?: JSX.Element;
}) {
  const { t, lang, setLang } = props.language;
  const delay = () => (props.tick === undefined ? null : props.now - props.tick);
  return (
    <header class="top-bar">
      <h1>{props.title}</h1>
      <Nav here={props.here} language={props.language} />
      <div class="top-facts">
        <span class={`pill ${props.health}`} role="status" data-testid="health"><i />{t(`phase.${props.health}`)}</span>
        <span class="fact">
          {t('dataDelay')}{' '}
          <b classList={{ warn: Math.abs(delay() ?? 0) > SLOW_MS }}>{delay() === null ? '—' : (Math.max(0, delay() as number) / 1000).toFixed(1)} {t('unit.s')}</b>
        </span>
        {props.children}
        <span class="fact" title={t('dataTime')}>
          {day(props.tick ?? props.now, lang())} <b data-testid="clock">{props.tick === undefined ? '—' : clock(props.tick)}</b>
        </span>
        <button type="button" class="lang" data-testid="language" onClick={() => setLang(lang() === 'zh' ? 'en' : 'zh')}>{t('language')}</button>
      </div>
    </header>
  );
}

/** Says that the data stand still, or that none has come yet. */
export function Frozen(props: { language: Language; health: Health; tick: number | undefined }) {
  const { t } = props.language;
  return (
    <>
      <Show when={props.health === 'disconnected' || props.health === 'stalled'}>
        <div class="frozen" role="status" data-testid="frozen">{t('dimmed', { time: clock(props.tick ?? 0) })}</div>
      </Show>
      <Show when={props.tick === undefined}><div class="first" role="status">{t('waitingFirst')}</div></Show>
    </>
  );
}

/** Takes the place of a panel whose view the engine does not have. */
export function Missing(props: { language: Language; view: string }) {
  return <p class="missing" data-missing={props.view}>{props.language.t('missingView', { view: props.view })}</p>;
}
