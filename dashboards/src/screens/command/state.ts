// The state of the command screen: the frame shown, language, scope and metric.

import { createMemo, createSignal } from 'solid-js';
import type { District } from '../../model/reference';
import type { Metric } from '../../model/select';
import { Trends } from '../../model/trend';
import { createLanguage, createLive } from '../shared/live';
import { FrameMaker, SUBSCRIPTIONS, remember } from './frame';

export { num, percent } from '../shared/format';

export function createScreen() {
  const [scope, setScope] = createSignal<string | null>(null);
  const [metric, setMetric] = createSignal<Metric>('open');
  const trends = new Trends();
  const maker = new FrameMaker();
  const { frame, now, health } = createLive(SUBSCRIPTIONS, (store, tick) => {
    const next = maker.make(store, tick);
    remember(next, trends);
    return next;
  });
  const { lang, setLang, t, spanUnits } = createLanguage('title');

  const byId = createMemo(() => new Map((frame()?.districts ?? []).map((district) => [district.id, district])));
  const nameOf = (district: District | undefined) =>
    district ? (lang() === 'en' ? (district.nameEn ?? district.name) : district.name) : undefined;

  return {
    frame, now, lang, setLang, scope, metric, setScope, setMetric, trends, health, t, spanUnits,
    district: (id: string) => byId().get(id),
    placeName: (id: string | null) =>
      id === null ? t('city') : (nameOf(byId().get(id)) ?? (id === 'unknown' ? t('unknownDistrict') : id)),
  };
}

export type Screen = ReturnType<typeof createScreen>;
