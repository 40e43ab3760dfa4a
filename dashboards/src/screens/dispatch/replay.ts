// The replay of the chosen vehicle's track: a moment that is set by hand or runs. Null = now, nothing is replayed.

import { createEffect, createMemo, createSignal, on, onCleanup } from 'solid-js';
import { momentOf, stopBeside, stretches } from '../../model/journeys';
import type { Frame } from './frame';

/** How often a running replay moves on, ms. */
const STEP_MS = 100;
/** How many seconds of the track pass in one. */
export const SPEEDS = [4, 16, 64] as const;

export function createReplay(frame: () => Frame | null, vehicle: () => string | null) {
  const [cursor, setCursor] = createSignal<number | null>(null);
  const [running, setRunning] = createSignal(false);
  const [speed, setSpeed] = createSignal<number>(SPEEDS[1]);
  const fixes = () => {
    const chosen = frame()?.chosen;
    return chosen && chosen.vehicle === vehicle() ? (chosen.track?.fixes ?? []) : [];
  };
  const list = createMemo(() => stretches(frame()?.chosen?.trips ?? [], frame()?.chosen?.stops ?? []));
  const stop = () => {
    setRunning(false);
    setCursor(null);
  };
  createEffect(on(vehicle, stop, { defer: true }));
  createEffect(() => {
    if (!running()) return;
    const step = STEP_MS * speed();
    const timer = setInterval(() => {
      const last = fixes().at(-1)?.ts;
      const next = (cursor() ?? 0) + step;
      if (last === undefined || next > last) setRunning(false);
      else setCursor(next);
    }, STEP_MS);
    onCleanup(() => clearInterval(timer));
  });
  return {
    cursor, setCursor, running, speed, setSpeed, stop, list,
    moment: createMemo(() => {
      const at = cursor();
      return at === null ? null : momentOf(fixes(), at);
    }),
    toggle: () => {
      const [first, last] = [fixes()[0]?.ts, fixes().at(-1)?.ts];
      if (first === undefined || last === undefined) return;
      // At the end, or with nothing set, it begins anew.
      if (!running() && (cursor() === null || (cursor() as number) + STEP_MS * speed() > last)) setCursor(first);
      setRunning(!running());
    },
    jump: (by: 1 | -1) => {
      const to = stopBeside(list(), cursor() ?? (by > 0 ? -Infinity : Infinity), by);
      if (to !== null) setCursor(to);
    },
  };
}
