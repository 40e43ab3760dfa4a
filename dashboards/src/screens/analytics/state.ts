// The state of the analytics screen: the frame shown and the question asked, which the address keeps.

import { createEffect, createMemo, createSignal } from 'solid-js';
import { parkSchemes } from '../../model/parks';
import { latestPeriod, periodKind, previousPeriod, standings } from '../../model/scores';
import { cityDate } from '../../model/time';
import { createLanguage, createLive } from '../shared/live';
import { FrameMaker, type Question, subscriptions } from './frame';

const same = (a: Question, b: Question) => JSON.stringify(a) === JSON.stringify(b);

export function createAnalytics() {
  const language = createLanguage('analyticsTitle');
  const { lang, t } = language;
  const asked = new URLSearchParams(location.search);
  const [schemeChosen, setScheme] = createSignal<string | null>(asked.get('scheme'));
  const [periodChosen, setPeriod] = createSignal<string | null>(asked.get('period'));
  const [districtChosen, setDistrict] = createSignal<string | null>(asked.get('district'));
  const [parkSchemeChosen, setParkScheme] = createSignal<string | null>(null);
  const [indicator, setIndicator] = createSignal<string | null>(null);
  const [question, setQuestion] = createSignal<Question>({ scheme: null, periods: [], date: cityDate(Date.now()) }, { equals: same });
  const maker = new FrameMaker();
  const { frame, now, health, ask } = createLive(subscriptions(question()), (store, tick) => maker.make(store, tick, question()));

  /** The scheme chosen, else the first that scores districts, else the first. */
  const scheme = createMemo(() => {
    const all = [...(frame()?.schemes.values() ?? [])];
    return all.find(({ id }) => id === schemeChosen()) ?? all.find(({ scope }) => scope === 'district') ?? all[0] ?? null;
  });
  const periods = createMemo(() => [...new Set((frame()?.scores ?? []).map((row) => row.period))].sort().reverse());
  const period = createMemo(() => {
    const [all, wanted] = [periods(), periodChosen()];
    return wanted !== null && (all.length === 0 || all.includes(wanted)) ? wanted : latestPeriod(all);
  });
  const previous = createMemo(() => (period() === null ? null : previousPeriod(periods(), period() as string)));
  createEffect(() => {
    const shown = frame();
    if (!shown) return;
    setQuestion({ scheme: scheme()?.id ?? null, periods: [period(), previous()].filter((one) => one !== null), date: cityDate(shown.tick) });
  });
  createEffect(() => ask(subscriptions(question())));

  const table = createMemo(() => {
    const [shown, one] = [frame()?.scores, period()];
    return shown && one !== null ? standings(shown, one, previous()) : [];
  });
  /** The unit opened up: the one chosen, else the one that fell most, else the last in rank. */
  const unit = createMemo(() => {
    const list = table();
    const fallen = list.filter((row) => (row.change ?? 0) < 0).sort((a, b) => (a.change as number) - (b.change as number))[0];
    return list.find((row) => row.district === districtChosen()) ?? fallen ?? list.at(-1) ?? null;
  });
  const radiusSchemes = createMemo(() => parkSchemes(frame()?.parkRadius ?? []));
  const parkScheme = createMemo(() => radiusSchemes().find((id) => id === parkSchemeChosen()) ?? radiusSchemes()[0] ?? '');
  /** The district of the park map: the one chosen if it is one, else the one with the most people out of reach. */
  const parkDistrict = createMemo(() => {
    const shown = frame();
    const known = (id: string | null) => id !== null && (shown?.districts.some((one) => one.id === id) ?? false);
    if (known(districtChosen())) return districtChosen();
    let most: { id: string; people: number } | null = null;
    for (const row of shown?.parkRadius ?? []) {
      const people = row.population - row.covered_population;
      if (known(row.district) && people > (most?.people ?? -1)) most = { id: row.district, people };
    }
    return most?.id ?? unit()?.district ?? null;
  }, null, { equals: (a, b) => a === b });

  // A link shows the same again.
  createEffect(() => {
    const query = new URLSearchParams({ lang: lang() });
    for (const [name, value] of [['scheme', schemeChosen()], ['period', periodChosen()], ['district', districtChosen()]] as const) if (value !== null) query.set(name, value);
    history.replaceState(null, '', `?${query}`);
  });

  const unitName = (id: string | null): string => {
    if (id === null || id === 'city') return t('districtsTotal');
    const found = frame()?.districts.find((one) => one.id === id);
    if (found) return lang() === 'en' ? (found.nameEn ?? found.name) : found.name;
    return frame()?.unitNames.get(id)?.[lang()] ?? (id === 'unknown' ? t('unknownDistrict') : id);
  };
  return {
    ...language, frame, now, health, scheme, setScheme, periods, period, setPeriod, previous, setDistrict, table, unit, unitName,
    indicator, setIndicator, radiusSchemes, parkScheme, setParkScheme, parkDistrict, periodKind,
    indicatorName: (id: string | null) => (id === null ? t('unexplained') : (frame()?.indicatorRefs.get(id)?.names[lang()] ?? id)),
    radiusName: (id: string) => frame()?.radiusNames.get(id)?.[lang()] ?? id,
  };
}

export type Analytics = ReturnType<typeof createAnalytics>;
