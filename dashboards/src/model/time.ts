// City time and spans, as people read them. The city's zone is fixed here until the engine says which it is.

const ZONE = 'Asia/Shanghai';

const clockFormat = new Intl.DateTimeFormat('en-GB', {
  timeZone: ZONE, hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false,
});
const dayFormats: Record<string, Intl.DateTimeFormat> = {
  zh: new Intl.DateTimeFormat('zh-CN', { timeZone: ZONE, month: 'long', day: 'numeric', weekday: 'short' }),
  en: new Intl.DateTimeFormat('en-GB', { timeZone: ZONE, month: 'short', day: 'numeric', weekday: 'short' }),
};

/** HH:MM:SS in city time. */
export function clock(ms: number): string {
  return clockFormat.format(ms);
}

/** HH:MM in city time. */
export function minute(ms: number): string {
  return clock(ms).slice(0, 5);
}

/** The day in city time. */
export function day(ms: number, lang: 'zh' | 'en'): string {
  return dayFormats[lang]?.format(ms) ?? '';
}

export interface SpanUnits {
  s: string;
  min: string;
  h: string;
  d: string;
}

/** A span of ms in its two greatest units; never negative. */
export function span(ms: number, units: SpanUnits): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [d, h, m] = [Math.floor(s / 86_400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d > 0) return `${d} ${units.d} ${h} ${units.h}`;
  if (h > 0) return `${h} ${units.h} ${m} ${units.min}`;
  if (m > 0) return `${m} ${units.min}`;
  return `${s} ${units.s}`;
}

const dateFormat = new Intl.DateTimeFormat('en-CA', { timeZone: ZONE, year: 'numeric', month: '2-digit', day: '2-digit' });

/** The city's date, YYYY-MM-DD. */
export function cityDate(ms: number): string {
  return dateFormat.format(ms);
}
