// Scores opened up: who stands where, which indicator made it, what moved since the period before. Pure.

import type { CaseRatesRow, IndicatorRow, ReferenceRow, ScoreRow } from '../live/types';
import { type Names, namesOf, record, text } from './reference';

export type PeriodKind = 'day' | 'week' | 'month' | 'quarter' | 'year' | 'other';

const SHAPES: readonly [PeriodKind, RegExp][] = [
  ['day', /^\d{4}-\d{2}-\d{2}$/], ['week', /^\d{4}-W\d{2}$/], ['month', /^\d{4}-\d{2}$/], ['quarter', /^\d{4}-Q\d$/], ['year', /^\d{4}$/],
];

/** What a label stands for: 2026-11-24, 2026-W48, 2026-11, 2026-Q4, 2026; anything else is a kind of its own. */
export function periodKind(label: string): PeriodKind {
  return SHAPES.find(([, shape]) => shape.test(label))?.[0] ?? 'other';
}

/** Labels of one kind in order are periods in order. */
const before = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** The period of the same kind before this one, of those there are. */
export function previousPeriod(periods: Iterable<string>, period: string): string | null {
  const kind = periodKind(period);
  if (kind === 'other') return null;
  let found: string | null = null;
  for (const other of periods) if (periodKind(other) === kind && other < period && (found === null || other > found)) found = other;
  return found;
}

/** The latest month; without months the latest of the first kind that is there. */
export function latestPeriod(periods: Iterable<string>): string | null {
  const all = [...periods];
  for (const kind of ['month', 'quarter', 'week', 'day', 'year', 'other'] as const) {
    const latest = all.filter((period) => periodKind(period) === kind).sort(before).at(-1);
    if (latest !== undefined) return latest;
  }
  return null;
}

export interface Scheme {
  id: string;
  names: Names;
  /** What is scored: district, department, post or city; a scheme that does not say scores districts. */
  scope: string;
}

/** The schemes, each once: several records may be versions of one scheme, the last named one gives the name. */
export function schemesOf(rows: Iterable<ReferenceRow>): Map<string, Scheme> {
  const list = [...rows].sort((a, b) => before(a.id, b.id));
  const names = namesOf(list);
  const schemes = new Map<string, Scheme>();
  for (const row of list) {
    const body = record(row);
    const id = text(body['scheme'], row.id);
    schemes.set(id, { id, names: names.get(row.id) ?? { zh: id, en: id }, scope: text(body['scope'], 'district') });
  }
  return schemes;
}

export interface Standing {
  district: string;
  score: number | null;
  grade: string | null;
  rank: number | null;
  /** Points against the period before; null when either is not known. */
  change: number | null;
  /** Share of the weight whose inputs are there, 0..1; null when the engine does not say. */
  completeness: number | null;
  provisional: boolean;
}

const numeric = (value: unknown): number | null => (typeof value === 'number' ? value : null);

/** Units by rank, those without a score last, ids between equals. */
export function standings(rows: readonly ScoreRow[], period: string, previous: string | null): Standing[] {
  const old = new Map(rows.filter((row) => row.period === previous).map((row) => [row.district, row.score]));
  return rows.filter((row) => row.period === period).map((row): Standing => {
    const then = old.get(row.district) ?? null;
    return {
      district: row.district, score: row.score, grade: row.grade, rank: row.rank, provisional: row.provisional,
      completeness: numeric(row['completeness']),
      change: row.score === null || then === null ? null : row.score - then,
    };
  }).sort((a, b) => (a.rank ?? Infinity) - (b.rank ?? Infinity) || (b.score ?? -1) - (a.score ?? -1) || before(a.district, b.district));
}

/** The mean of the scores there are; null for none. */
export function mean(values: Iterable<number | null>): number | null {
  let [sum, n] = [0, 0];
  for (const value of values) if (value !== null) [sum, n] = [sum + value, n + 1];
  return n > 0 ? sum / n : null;
}

export interface Part {
  indicator: string;
  /** Share of the total, 0..1. */
  weight: number;
  score: number | null;
  /** Points of the total. */
  points: number;
  value: number | null;
  numerator: number | null;
  denominator: number | null;
  state: string;
  provisional: boolean;
}

/** The parts of one unit's score in one period, the heaviest first. The points add up to the score. */
export function partsOf(rows: readonly IndicatorRow[], district: string, period: string): Part[] {
  const own = rows.filter((row) => row.district === district && row.period === period);
  const counted = own.reduce((sum, row) => sum + (row.score === null ? 0 : row.weight), 0);
  return own.map((row): Part => ({
    indicator: row.indicator,
    weight: counted > 0 ? row.weight / counted : 0,
    score: row.score,
    points: numeric(row['contribution']) ?? (row.score === null || counted === 0 ? 0 : (row.weight * row.score) / counted),
    value: row.value, numerator: row.numerator, denominator: row.denominator,
    state: text(row['state']), provisional: row.provisional,
  })).sort((a, b) => b.weight - a.weight || before(a.indicator, b.indicator));
}

export interface Move {
  /** Null for what no indicator accounts for. */
  indicator: string | null;
  points: number;
}

/** What no indicator accounts for is a step of its own only above this; below it is rounding. */
const NEGLIGIBLE = 0.005;

/** What moved a score from one period to the next, by indicator. The moves add up to the change, but for rounding. */
export function waterfall(then: readonly Part[], now: readonly Part[], change: number): Move[] {
  const old = new Map(then.map((part) => [part.indicator, part.points]));
  const moves: Move[] = now.map((part) => ({ indicator: part.indicator, points: part.points - (old.get(part.indicator) ?? 0) }));
  for (const part of then) if (!now.some(({ indicator }) => indicator === part.indicator)) moves.push({ indicator: part.indicator, points: -part.points });
  const rest = change - moves.reduce((sum, move) => sum + move.points, 0);
  if (Math.abs(rest) > NEGLIGIBLE) moves.push({ indicator: null, points: rest });
  return moves;
}

/** The greatest fall of a unit and the indicator that did most of it; null when nothing fell. */
export function greatestFall(
  table: readonly Standing[], rows: readonly IndicatorRow[], period: string, previous: string,
): { standing: Standing; indicator: string | null; points: number } | null {
  const fallen = table.filter((row) => (row.change ?? 0) < 0).sort((a, b) => (a.change as number) - (b.change as number))[0];
  if (!fallen) return null;
  const moves = waterfall(partsOf(rows, fallen.district, previous), partsOf(rows, fallen.district, period), fallen.change as number);
  const worst = moves.filter((move) => move.indicator !== null).sort((a, b) => a.points - b.points)[0];
  return { standing: fallen, indicator: worst && worst.points < 0 ? worst.indicator : null, points: worst?.points ?? 0 };
}

export interface CaseLine {
  id: string;
  reported: number;
  closed: number;
  open: number;
  overdue: number;
  /** Closed in time out of closed, 0..1; null for 0/0. */
  onTime: number | null;
  reworked: number;
}

const lineOf = (row: CaseRatesRow): CaseLine => ({
  id: row.scope === 'city' ? 'city' : row.id, reported: row.reported, closed: row.closed, open: row.open, overdue: row.overdue, reworked: row.reworked,
  onTime: row.closed > 0 ? (row.closed - row.closed_overdue) / row.closed : null,
});

/** The case counts of one period, the city first, then the districts by id. */
export function caseLines(rows: Iterable<CaseRatesRow>, period: string): CaseLine[] {
  const own = [...rows].filter((row) => row.period === period && (row.scope === 'city' || row.scope === 'district'));
  return own.sort((a, b) => Number(b.scope === 'city') - Number(a.scope === 'city') || before(a.id, b.id)).map(lineOf);
}
