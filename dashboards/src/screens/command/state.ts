// The state of the screen: the frame shown, the health of the connection, language, scope and metric.
//
// Frames are committed as often as the engine ticks and shown once a second: a wall is read, not watched for flicker.

import { createMemo, createSignal, onCleanup } from 'solid-js';
import { type Key, type Lang, translate } from '../../i18n';
import { Connection, type Phase, browserEnvironment } from '../../live/connection';
import type { Store } from '../../live/store';
import type { District } from '../../model/reference';
import type { Metric } from '../../model/select';
import { Trends } from '../../model/trend';
import { type Frame, FrameMaker, SUBSCRIPTIONS, remember } from './frame';

/** How often a new frame is shown, ms. */
export const SHOW_EVERY_MS = 1000;
/** A second that begins later than this says that the machine cannot keep up, ms. */
const BEHIND_MS = 300;
/** Without a new tick for this long the data count as stalled although the connection is there, ms. */
export const STALLED_AFTER_MS = 6000;

export type Health = 'live' | 'stalled' | 'connecting' | 'disconnected';

function storedLang(): Lang {
  const asked = new URLSearchParams(location.search).get('lang') ?? read('chengmai.lang');
  return asked === 'en' ? 'en' : 'zh';
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

export function createScreen() {
  const [frame, setFrame] = createSignal<Frame | null>(null);
  const [phase, setPhase] = createSignal<Phase>('idle');
  const [now, setNow] = createSignal(Date.now());
  const [moved, setMoved] = createSignal(Date.now());
  const [lang, setLangSignal] = createSignal<Lang>(storedLang());
  const [scope, setScope] = createSignal<string | null>(null);
  const [metric, setMetric] = createSignal<Metric>('open');
  const trends = new Trends();
  const maker = new FrameMaker();
  let waiting: Store | null = null;

  const show = () => {
    const store = waiting;
    waiting = null;
    if (!store || store.tick === null) return;
    const next = maker.make(store, store.tick);
    remember(next, trends);
    setFrame(next);
  };

  const connection = new Connection(SUBSCRIPTIONS, browserEnvironment('/api/v1'), {
    phase: setPhase,
    committed: (store) => {
      const first = frame() === null;
      waiting = store;
      setMoved(Date.now());
      if (first) show();
    },
    problem: (text) => console.warn(`live: ${text}`),
  });

  // A machine that falls behind is shown half as many frames, until it keeps up again.
  let timer: ReturnType<typeof setTimeout>;
  let pause = SHOW_EVERY_MS;
  const beat = (due: number) => {
    pause = performance.now() - due > BEHIND_MS ? SHOW_EVERY_MS * 2 : SHOW_EVERY_MS;
    show();
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

  const t = (key: Key, values?: Record<string, string | number>) => translate(lang(), key, values);
  const byId = createMemo(() => new Map((frame()?.districts ?? []).map((district) => [district.id, district])));
  const nameOf = (district: District | undefined) =>
    district ? (lang() === 'en' ? (district.nameEn ?? district.name) : district.name) : undefined;

  return {
    frame, now, lang, scope, metric, setScope, setMetric, trends, health, t,
    setLang: (next: Lang) => {
      setLangSignal(next);
      document.documentElement.lang = next === 'zh' ? 'zh-CN' : 'en';
      document.title = translate(next, 'title');
      write('chengmai.lang', next);
    },
    district: (id: string) => byId().get(id),
    placeName: (id: string | null) =>
      id === null ? t('city') : (nameOf(byId().get(id)) ?? (id === 'unknown' ? t('unknownDistrict') : id)),
    spanUnits: () => ({ s: t('unit.s'), min: t('unit.min'), h: t('unit.h'), d: t('unit.d') }),
  };
}

export type Screen = ReturnType<typeof createScreen>;

/** A number for people: grouped, or a dash when it is not known. */
export function num(value: number | null | undefined): string {
  return value === null || value === undefined ? '—' : value.toLocaleString('en-US');
}

/** A share 0..1 as percent with one decimal, without the sign; a dash when it is not known. */
export function percent(value: number | null | undefined): string {
  return value === null || value === undefined ? '—' : (value * 100).toFixed(1);
}
