// Both languages say the same things.
import { expect, test } from 'vitest';
import { TABLES, fill, translate } from '../src/i18n';

test('the tables have equal keys and equal holes', () => {
  const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();
  expect(Object.keys(TABLES.en).sort()).toEqual(Object.keys(TABLES.zh).sort());
  for (const key of Object.keys(TABLES.zh) as (keyof typeof TABLES.zh)[]) {
    expect(holes(TABLES.en[key]), key).toEqual(holes(TABLES.zh[key]));
  }
});

test('English has no Chinese left in it, but for the name of the other language', () => {
  const chinese = Object.entries(TABLES.en).filter(([key, text]) => key !== 'language' && /[\u4e00-\u9fff]/.test(text));
  expect(chinese).toEqual([]);
});

test('holes are filled, unknown ones stay visible', () => {
  expect(fill('{a} of {b}', { a: 1 })).toBe('1 of {b}');
  expect(translate('zh', 'headlineOf', { total: 3 })).toBe('在册 3 台');
});
