// Scores, periods, waterfalls and parks on small hand-made rows; the sums of waterfalls on random ones.
import { describe, expect, test } from 'vitest';
import type { CaseRatesRow, IndicatorRow, ParkRadiusRow, ResidenceAccessRow, ScoreRow } from '../src/live/types';
import { homes, parkSchemes, placesOf, reaches } from '../src/model/parks';
import { caseLines, greatestFall, latestPeriod, mean, partsOf, periodKind, previousPeriod, schemesOf, standings, waterfall } from '../src/model/scores';

const score = (district: string, period: string, value: number | null, rank: number | null, over: Partial<ScoreRow> = {}): ScoreRow => ({
  scheme: 's', district, period, score: value, grade: 'B', rank, provisional: false, ...over,
});
const part = (district: string, period: string, indicator: string, weight: number, value: number | null, over: Partial<IndicatorRow> = {}): IndicatorRow => ({
  scheme: 's', district, indicator, period, value, score: value, weight, numerator: 1, denominator: 1, provisional: false, ...over,
});

describe('periods', () => {
  test('kinds', () => {
    expect(['2026-11-24', '2026-W48', '2026-11', '2026-Q4', '2026', 'all', 'last-30d'].map(periodKind)).toEqual(['day', 'week', 'month', 'quarter', 'year', 'other', 'other']);
  });
  test('the one before is of the same kind and is there', () => {
    expect(previousPeriod(['2026-09', '2026-11', '2026-W40', '2026-10-31'], '2026-11')).toBe('2026-09');
    expect(previousPeriod(['2026-11'], '2026-11')).toBeNull();
    expect(previousPeriod(['all', 'all-old'], 'all')).toBeNull();
  });
  test('the latest month, else whatever there is', () => {
    expect(latestPeriod(['2026-W48', '2026-10', '2026-11', '2026'])).toBe('2026-11');
    expect(latestPeriod(['2026-W47', '2026-W48'])).toBe('2026-W48');
    expect(latestPeriod([])).toBeNull();
  });
});

describe('scores', () => {
  test('by rank, with the change against the period before', () => {
    const rows = [score('b', '2026-11', 70, 2), score('a', '2026-11', 90, 1, { completeness: 0.9 }), score('c', '2026-11', null, null), score('b', '2026-10', 75, 1)];
    const table = standings(rows, '2026-11', '2026-10');
    expect(table.map(({ district, change, completeness }) => [district, change, completeness])).toEqual([['a', null, 0.9], ['b', -5, null], ['c', null, null]]);
    expect(mean(table.map((row) => row.score))).toBe(80);
    expect(mean([])).toBeNull();
  });

  test('parts add up to the score: by the engine, else by weight; what does not apply has no weight', () => {
    const rows = [part('a', 'p', 'x', 0.5, 80, { contribution: 40 }), part('a', 'p', 'y', 0.5, 60, { contribution: 30 }), part('b', 'p', 'x', 30, 80), part('b', 'p', 'y', 10, 40), part('b', 'p', 'z', 60, null)];
    expect(partsOf(rows, 'a', 'p').map(({ points }) => points)).toEqual([40, 30]);
    const own = partsOf(rows, 'b', 'p');
    expect(own.find(({ indicator }) => indicator === 'x')?.points).toBe(60);
    expect(own.find(({ indicator }) => indicator === 'y')?.points).toBe(10);
    expect(own.find(({ indicator }) => indicator === 'z')?.points).toBe(0);
    expect(partsOf(rows, 'nobody', 'p')).toEqual([]);
  });

  test('a waterfall adds up to the change, whatever came, went or is not accounted for', () => {
    let seed = 7;
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    for (let run = 0; run < 200; run++) {
      const rows = (period: string) => Array.from({ length: 1 + Math.floor(random() * 6) }, (_, i) => part('d', period, `i${(i * 3 + run) % 7}`, 1, 50, { contribution: random() * 20 }));
      const unique = (list: IndicatorRow[]) => [...new Map(list.map((row) => [row.indicator, row])).values()];
      const [then, now] = [partsOf(unique(rows('p')), 'd', 'p'), partsOf(unique(rows('q')), 'd', 'q')];
      const change = random() * 10 - 5;
      const moves = waterfall(then, now, change);
      expect(moves.reduce((sum, move) => sum + move.points, 0)).toBeCloseTo(change, 1);
    }
    const exact = waterfall(partsOf([part('d', 'p', 'x', 1, 0, { contribution: 10 })], 'd', 'p'), partsOf([part('d', 'q', 'x', 1, 0, { contribution: 7 })], 'd', 'q'), -3);
    expect(exact).toEqual([{ indicator: 'x', points: -3 }]);
  });

  test('the greatest fall and what did most of it; nothing fell is none', () => {
    const rows = [score('a', '2026-11', 70, 2), score('a', '2026-10', 80, 1), score('b', '2026-11', 80, 1), score('b', '2026-10', 79, 2)];
    const parts = [part('a', '2026-10', 'x', 1, 0, { contribution: 50 }), part('a', '2026-10', 'y', 1, 0, { contribution: 30 }), part('a', '2026-11', 'x', 1, 0, { contribution: 42 }), part('a', '2026-11', 'y', 1, 0, { contribution: 28 })];
    const fall = greatestFall(standings(rows, '2026-11', '2026-10'), parts, '2026-11', '2026-10');
    expect([fall?.standing.district, fall?.indicator, fall?.points]).toEqual(['a', 'x', -8]);
    expect(greatestFall(standings(rows.slice(2), '2026-11', '2026-10'), parts, '2026-11', '2026-10')).toBeNull();
  });

  test('versions of a scheme are one scheme', () => {
    const row = (id: string, json: Record<string, unknown>) => ({ kind: 'score_scheme', id, ts: null, json });
    const schemes = schemesOf([row('s-2027', { scheme: 's', text: { zh: '办法 2027', en: 'Scheme 2027' } }), row('s-2026', { scheme: 's', name: '办法 2026' }), row('post', { scope: 'post' })]);
    expect([...schemes.values()]).toEqual([{ id: 'post', names: { zh: 'post', en: 'post' }, scope: 'post' }, { id: 's', names: { zh: '办法 2027', en: 'Scheme 2027' }, scope: 'district' }]);
  });
});

test('case lines: one period, the city first, 0/0 is no rate', () => {
  const row = (scope: CaseRatesRow['scope'], id: string, period: string, closed: number, late: number): CaseRatesRow => ({ scope, id, period, reported: 10, open: 1, overdue: 0, closed, closed_overdue: late, reworked: 0 });
  const lines = caseLines([row('district', 'b', 'p', 4, 1), row('department', 'x', 'p', 9, 9), row('district', 'a', 'p', 0, 0), row('city', 'city', 'p', 4, 1), row('city', 'city', 'q', 8, 0)], 'p');
  expect(lines.map(({ id, onTime }) => [id, onTime])).toEqual([['city', 0.75], ['a', null], ['b', 0.75]]);
});

describe('parks', () => {
  const radius = (district: string, scheme: string | undefined, population: number, covered: number): ParkRadiusRow => ({
    district, ...(scheme !== undefined && { scheme }), residential_area: 1, covered_area: 0.5, share: 0.5, population, covered_population: covered, walking_share: null,
  });
  test('one scheme at a time, the city apart; an engine without schemes has the nameless one', () => {
    const rows = [radius('city', 'new', 100, 60), radius('d', 'new', 100, 60), radius('d', 'old', 100, 10)];
    expect(parkSchemes(rows)).toEqual(['new', 'old']);
    expect(reaches(rows, 'new').city?.people).toBe(0.6);
    expect(reaches(rows, 'old').districts.get('d')?.covered).toBe(10);
    expect(parkSchemes([radius('d', undefined, 0, 0)])).toEqual(['']);
    expect(reaches([radius('d', undefined, 0, 0)], '').districts.get('d')?.people).toBeNull();
  });

  test('the residences with the most people out of reach first, of a district', () => {
    const home = (id: string, over: Partial<ResidenceAccessRow>): ResidenceAccessRow => ({ residence_id: id, scheme: 'new', district: 'd', covered: false, population: 10, ...over });
    const rows = [home('a', { uncovered_population: 3 }), home('b', { uncovered_population: 8, straight_m: 600 }), home('c', { covered: true }), home('other', { scheme: 'old' }), home('away', { district: 'e', uncovered_population: 99 })];
    expect(homes(rows, 'new', 'd').map(({ id, people, straight }) => [id, people, straight])).toEqual([['b', 8, 600], ['a', 3, null], ['c', 0, null]]);
    expect(homes(rows, 'new', null)[0]?.id).toBe('away');
  });

  test('places are records with a geometry', () => {
    const row = (id: string, json: Record<string, unknown>) => ({ kind: 'park', id, ts: null, json });
    expect(placesOf([row('p', { name: '公园', district: 'd', geometry: { type: 'Point', coordinates: [109, 36] } }), row('q', { name: 'nowhere' })])).toEqual([
      { id: 'p', name: '公园', district: 'd', geometry: { type: 'Point', coordinates: [109, 36] } },
    ]);
  });
});
