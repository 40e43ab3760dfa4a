// The state of the dispatch screen: the frame shown and what the dispatcher has chosen.

import { createEffect, createMemo, createSignal } from 'solid-js';
import type { RoadCoverageRow } from '../../live/types';
import { currentShift, shiftDayOf } from '../../model/coverage';
import { cityDate } from '../../model/time';
import { createLanguage, createLive } from '../shared/live';
import { FrameMaker, subscriptions } from './frame';
import { createReplay } from './replay';

const DAY_MS = 86_400_000;
/** The dates that a shift which is on can belong to: one that began yesterday may end today. */
const datesAt = (ms: number): string[] => [cityDate(ms - DAY_MS), cityDate(ms)];

export function createDispatch() {
  const language = createLanguage('dispatchTitle');
  const { lang, t } = language;
  const [vehicle, setVehicle] = createSignal<string | null>(null);
  const [road, setRoad] = createSignal<string | null>(null);
  const [district, setDistrict] = createSignal<string | null>(null);
  /** Null follows the shift that is on. */
  const [shiftKey, setShiftKey] = createSignal<string | null>(null);
  const [dates, setDates] = createSignal(datesAt(Date.now()), { equals: (a, b) => a.join() === b.join() });
  const maker = new FrameMaker();
  const { frame, now, health, ask } = createLive(subscriptions(dates(), null), (store, tick) => maker.make(store, tick, dates(), vehicle()));
  // The date is that of the data: a clock of this machine that is wrong shows the wrong day only until the first frame.
  createEffect(() => {
    const shown = frame();
    if (shown) setDates(datesAt(shown.tick));
  });
  createEffect(() => ask(subscriptions(dates(), vehicle())));

  const day = createMemo(() => {
    const shown = frame();
    if (!shown) return null;
    return shown.days.find(({ key }) => key === shiftKey()) ?? currentShift(shown.days, shown.tick);
  }, null, { equals: (a, b) => a?.key === b?.key && a?.dueTs === b?.dueTs && a?.planned === b?.planned });
  /** The rows of the shift shown, of the district chosen. */
  const rows = createMemo<RoadCoverageRow[] | null>(() => {
    const [all, key, place] = [frame()?.roadRows, day()?.key, district()];
    if (!all) return null;
    return all.filter((row) => shiftDayOf(row) === key && (place === null || row.district === place));
  });
  const stateByRoad = createMemo(() => new Map((rows() ?? []).filter((row) => row.planned_passes > 0).map((row) => [row.road, row])));

  const called = (names: ReadonlyMap<string, { zh: string; en: string }> | undefined, id: string) => names?.get(id)?.[lang()] ?? id;
  return {
    ...language, frame, now, health, vehicle, setVehicle, road, setRoad, district, setDistrict, shiftKey, setShiftKey, day, rows, stateByRoad,
    replay: createReplay(frame, vehicle),
    plate: (id: string) => frame()?.plates.get(id)?.plate ?? id,
    kindOf: (id: string) => frame()?.plates.get(id)?.kind ?? '',
    fleetName: (id: string | null) => (id === null ? t('noFleet') : called(frame()?.fleetNames, id)),
    fenceName: (id: string) => called(frame()?.fenceNames, id),
    shiftName: (id: string) => frame()?.shifts.get(id)?.name ?? id,
    roadName: (id: string) => frame()?.roadById.get(id)?.name ?? id,
    districtName: (id: string | null) => {
      const found = frame()?.districts.find((candidate) => candidate.id === id);
      return id === null ? t('city') : found ? (lang() === 'en' ? (found.nameEn ?? found.name) : found.name) : id;
    },
  };
}

export type Dispatch = ReturnType<typeof createDispatch>;
