// Every string of the page in two tables of equal keys. `fill` puts values into `{holes}`.
import { en } from './en';
import { zh } from './zh';

export type Lang = 'zh' | 'en';
export type Key = keyof typeof zh;
export const TABLES: Record<Lang, Record<Key, string>> = { zh, en };

export function fill(template: string, values: Record<string, string | number> = {}): string {
  return template.replace(/\{(\w+)\}/g, (hole, name: string) => String(values[name] ?? hole));
}

export function translate(lang: Lang, key: Key, values?: Record<string, string | number>): string {
  return fill(TABLES[lang][key], values);
}

/** Whether a string of the engine (a stream, a state) has a translation. */
export function isKey(key: string): key is Key {
  return key in zh;
}
