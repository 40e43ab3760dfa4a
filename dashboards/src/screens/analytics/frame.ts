// The picture of one tick for the analytics screen, and what the connection must ask for to draw it: the scores of one
// scheme, the indicators of the period shown and the one before, the case counts of that period and of all time.

import type { Store } from '../../live/store';
import type {
  CaseRatesRow, DistrictCoverageRow, IndicatorRow, ParkRadiusRow, ReferenceRow, ResidenceAccessRow, Row, ScoreRow, Subscription,
} from '../../live/types';
import { type Shift, shiftsOf } from '../../model/coverage';
import { type Place, placesOf } from '../../model/parks';
import { type District, type Names, districtsOf, namesOf, record } from '../../model/reference';
import { type Scheme, schemesOf } from '../../model/scores';
import { Kept } from '../shared/kept';

const kind = (name: string): Subscription => ({ id: `ref-${name}`, view: 'reference', where: { kind: name } });

/** The views that a panel of this screen needs. */
export const VIEWS = ['scores', 'indicators', 'case_rates', 'district_coverage', 'park_radius', 'residence_access', 'reference'] as const;
export type ViewName = (typeof VIEWS)[number];

/** The period of the case counts over the whole log. */
export const ALL_TIME = 'all';
/** What an access row needs here: its path to the park can be long. */
const ACCESS_COLUMNS = ['residence', 'residence_id', 'scheme', 'district', 'population', 'covered', 'uncovered_population', 'straight_m', 'walking_m'];

export interface Question {
  scheme: string | null;
  periods: readonly string[];
  /** City date of the tick. */
  date: string;
}

/** The periods whose case counts are shown: the first of those asked for, and all time. */
const casePeriods = (periods: readonly string[]): string[] => [...new Set([...periods.slice(0, 1), ALL_TIME])];

export function subscriptions({ scheme, periods, date }: Question): Subscription[] {
  const wanted: Subscription[] = [
    { id: 'park_radius', view: 'park_radius' },
    { id: 'residence_access', view: 'residence_access', columns: ACCESS_COLUMNS },
    ...['district', 'park', 'residence', 'indicator', 'score_scheme', 'shift', 'department', 'radius_scheme'].map(kind),
    { id: `coverage/${date}`, view: 'district_coverage', where: { date } },
  ];
  for (const period of casePeriods(periods)) {
    for (const scope of ['city', 'district']) wanted.push({ id: `cases/${scope}/${period}`, view: 'case_rates', where: { period, scope } });
  }
  if (scheme !== null) {
    wanted.push({ id: `scores/${scheme}`, view: 'scores', where: { scheme } });
    for (const period of periods) wanted.push({ id: `indicators/${scheme}/${period}`, view: 'indicators', where: { scheme, period } });
  }
  return wanted;
}

export interface Indicator {
  names: Names;
  formula: string;
  source: string;
}

export interface Frame {
  tick: number;
  offers: ReadonlySet<ViewName>;
  schemes: Map<string, Scheme>;
  indicatorRefs: Map<string, Indicator>;
  /** Of the scheme asked for; null while not answered. */
  scores: ScoreRow[] | null;
  indicators: IndicatorRow[];
  cases: CaseRatesRow[] | null;
  coverage: DistrictCoverageRow[] | null;
  shifts: Map<string, Shift>;
  parkRadius: ParkRadiusRow[] | null;
  access: ResidenceAccessRow[] | null;
  parks: Place[];
  residences: Place[];
  districts: District[];
  /** Whether borders come from the file shipped with the page (or agree with it). */
  shippedBorders: boolean;
  unitNames: Map<string, Names>;
  radiusNames: Map<string, Names>;
}

function indicatorsOf(rows: Iterable<ReferenceRow>): Map<string, Indicator> {
  const list = [...rows];
  const names = namesOf(list);
  return new Map(list.map((row): [string, Indicator] => {
    const body = record(row);
    const part = (name: string) => (typeof body[name] === 'string' ? (body[name] as string) : '');
    const formula = [part('numerator'), part('denominator')].filter(Boolean).join(' ÷ ') || part('formula');
    return [row.id, { names: names.get(row.id) ?? { zh: row.id, en: row.id }, formula, source: part('source') }];
  }));
}

export class FrameMaker {
  private readonly kept = new Kept();

  make(store: Store, tick: number, question: Question): Frame {
    const rows = <R extends Row>(id: string): R[] | null => {
      const table = store.table<R>(id);
      return table && table.version > 0 ? [...table.rows.values()] : null;
    };
    const reference = <T>(name: string, make: (rows: Iterable<ReferenceRow>) => T): T =>
      this.kept.get(name, store.table<ReferenceRow>(`ref-${name}`), make);
    const { districts, shipped } = reference('district', districtsOf);
    const caseTables = casePeriods(question.periods).flatMap((one) => ['city', 'district'].map((scope) => rows<CaseRatesRow>(`cases/${scope}/${one}`)));
    return {
      tick,
      offers: new Set(VIEWS.filter((view) => store.offers(view))),
      schemes: reference('score_scheme', schemesOf),
      indicatorRefs: reference('indicator', indicatorsOf),
      scores: question.scheme === null ? null : rows(`scores/${question.scheme}`),
      indicators: question.periods.flatMap((one) => rows<IndicatorRow>(`indicators/${question.scheme}/${one}`) ?? []),
      cases: store.offers('case_rates') ? caseTables.flatMap((list) => list ?? []) : null,
      coverage: rows(`coverage/${question.date}`),
      shifts: reference('shift', shiftsOf),
      parkRadius: rows('park_radius'),
      access: rows('residence_access'),
      parks: reference('park', placesOf),
      residences: reference('residence', placesOf),
      districts,
      shippedBorders: shipped,
      unitNames: reference('department', namesOf),
      radiusNames: reference('radius_scheme', namesOf),
    };
  }
}
