// From screen to screen. Each is a page of its own, so that each has one map for its life.

import { For } from 'solid-js';
import type { Language } from './live';

export const SCREENS = ['command', 'dispatch', 'analytics'] as const;
export type ScreenName = (typeof SCREENS)[number];

/** The screen of an address: its last part, else the command screen. */
export function screenOf(path: string): ScreenName {
  const last = path.split('/').filter(Boolean).pop();
  return SCREENS.find((name) => name === last) ?? 'command';
}

/** The address of a screen beside this one. The language goes along, for browsers that keep nothing. */
export function addressOf(screen: ScreenName, lang: string): string {
  return `/${screen === 'command' ? '' : screen}?lang=${lang}`;
}

export function Nav(props: { here: ScreenName; language: Language }) {
  const { t, lang } = props.language;
  return (
    <nav class="pages" aria-label={t('nav.label')}>
      <For each={SCREENS}>
        {(name) => (
          <a href={addressOf(name, lang())} aria-current={name === props.here ? 'page' : undefined} data-testid={`nav-${name}`}>{t(`nav.${name}`)}</a>
        )}
      </For>
    </nav>
  );
}
