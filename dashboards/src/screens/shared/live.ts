// What every screen has: one connection, one frame shown, the health of both, and the language.
//
// Frames are committed as often as the engine ticks and shown once a second: a wall is read, not watched for flicker.

import { createMemo, createSignal, onCleanup } from 'solid-js';
import { type Key, type Lang, translate } from '../../i18n';
import { Connection, type Phase, browserEnvironment } from '../../live/connection';
import type { Store } from '../../live/store';
import type { Subscription } from '../../live/types';

/** How often a new frame is shown, ms. */
export const SHOW_EVERY_MS = 1000;
/** A second that begins later than this says that the machine cannot keep up, ms. */
const BEHIND_MS = 300;
/** Without a new tick for this long the data count as stalled although the connection is there, ms. */
export const STALLED_AFTER_MS = 6000;

export type Health = 'live' | 'stalled' | 'connecting' | 'disconnected';

/** Shows frames of type `F`, which `make` computes from a committed store in one step. */
export function createLive<F extends { tick: number }>(first: readonly Subscription[], make: (store: Store, tick: number) => F) {
  const [frame, setFrame] = createSignal<F | null>(null);
  const [phase, setPhase] = createSignal<Phase>('idle');
  const [now, setNow] = createSignal(Date.now());
  const [moved, setMoved] = createSignal(Date.now());
  let last: Store | null = null;
  let waiting = false;

  const show = () => {
    waiting = false;
    if (last && last.tick !== null) {
      const next = make(last, last.tick);
      setFrame(() => next);
    }
  };
  const connection = new Connection(first, browserEnvironment('/api/v1'), {
    phase: setPhase,
    committed: (store) => {
      last = store;
      waiting = true;
      setMoved(Date.now());
      if (frame() === null) show();
    },
    problem: (text) => console.warn(`live: ${text}`),
  });

  // A machine that falls behind is shown half as many frames, until it keeps up again.
  let timer: ReturnType<typeof setTimeout>;
  let pause = SHOW_EVERY_MS;
  const beat = (due: number) => {
    pause = performance.now() - due > BEHIND_MS ? SHOW_EVERY_MS * 2 : SHOW_EVERY_MS;
    if (waiting) show();
    setNow(Date.now());
    timer = setTimeout(beat, pause, performance.now() + pause);
  };
  timer = setTimeout(beat, pause, performance.now() + pause);
  const offline = () => connection.suspend();
  const online = () => connection.wake();
  addEventListener('offline', offline);
  addEventListener('online', online);
  onCleanup(() => {
    clearTimeout(timer);
    removeEventListener('offline', offline);
    removeEventListener('online', online);
    connection.stop();
  });
  connection.start();

  const health = createMemo<Health>(() => {
    if (phase() === 'live') return now() - moved() > STALLED_AFTER_MS ? 'stalled' : 'live';
    return frame() === null ? 'connecting' : 'disconnected';
  });
  return { frame, now, health, ask: (next: readonly Subscription[]) => connection.change(next) };
}

// A wall in kiosk mode may have no storage: then the choice lasts as long as the page.
function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    return;
  }
}

/** The language: what the address asks for, else what was chosen last, else Chinese. `title` names the page. */
export function createLanguage(title: Key) {
  const asked = new URLSearchParams(location.search).get('lang') ?? read('chengmai.lang');
  const [lang, set] = createSignal<Lang>(asked === 'en' ? 'en' : 'zh');
  const t = (key: Key, values?: Record<string, string | number>) => translate(lang(), key, values);
  const setLang = (next: Lang) => {
    set(next);
    document.documentElement.lang = next === 'zh' ? 'zh-CN' : 'en';
    document.title = translate(next, title);
    write('chengmai.lang', next);
  };
  setLang(lang());
  return { lang, setLang, t, spanUnits: () => ({ s: t('unit.s'), min: t('unit.min'), h: t('unit.h'), d: t('unit.d') }) };
}
export type Language = ReturnType<typeof createLanguage>;
