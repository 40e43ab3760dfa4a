// The picture of one tick for the dispatch screen, and what the connection must ask for to draw it.
//
// What grows with the days is asked for as narrowly as the screen shows it: coverage of the dates that a shift at T can
// belong to, trips and fence visits that are going on, and all of one vehicle, the chosen one.

import type { Store, Table } from '../../live/store';
import type {
  DistrictCoverageRow, FenceEventRow, ReferenceRow, RoadCoverageRow, Row, StopRow, Subscription, TrackRow, TripRow, VehicleRow,
} from '../../live/types';
import { type Shift, type ShiftDay, shiftDays, shiftsOf } from '../../model/coverage';
import { type Track, mergeEvents, trackOf } from '../../model/journeys';
import { type District, type Names, type Road, type Vehicle, districtsOf, namesOf, roadsOf, vehiclesOf } from '../../model/reference';
import { Kept } from '../shared/kept';

const kind = (name: string): Subscription => ({ id: `ref-${name}`, view: 'reference', where: { kind: name } });

/** The views that a panel of this screen needs. */
export const VIEWS = ['vehicles', 'road_coverage', 'district_coverage', 'trips', 'stops', 'fence_events', 'tracks', 'reference'] as const;
export type ViewName = (typeof VIEWS)[number];

const FIXED: readonly Subscription[] = [
  { id: 'vehicles', view: 'vehicles' },
  { id: 'trips-open', view: 'trips', where: { provisional: 'true' } },
  { id: 'fences-open', view: 'fence_events', where: { provisional: 'true' } },
  { id: 'fences-deviation', view: 'fence_events', where: { kind: 'deviation' } },
  { id: 'fences-missed', view: 'fence_events', where: { kind: 'missed' } },
  kind('district'), kind('road'), kind('shift'), kind('fleet'), kind('vehicle'), kind('fence'),
];

/** All subscriptions: of these city dates, and of this vehicle if one is chosen. */
export function subscriptions(dates: readonly string[], vehicle: string | null): Subscription[] {
  const dated = dates.flatMap((date): Subscription[] => [
    { id: `roads/${date}`, view: 'road_coverage', where: { date } },
    { id: `districts/${date}`, view: 'district_coverage', where: { date } },
  ]);
  const of = (view: ViewName): Subscription => ({ id: `${view}/${vehicle}`, view, where: { vehicle_id: vehicle ?? '' } });
  return [...FIXED, ...dated, ...(vehicle === null ? [] : [of('trips'), of('stops'), of('fence_events'), of('tracks')])];
}

/** The chosen vehicle; a null says that the engine has no such view or has not answered yet. */
export interface Chosen {
  vehicle: string;
  trips: TripRow[] | null;
  stops: StopRow[] | null;
  events: FenceEventRow[] | null;
  track: Track | null;
}

export interface Frame {
  tick: number;
  offers: ReadonlySet<ViewName>;
  vehicles: VehicleRow[];
  openTrips: TripRow[] | null;
  events: FenceEventRow[] | null;
  /** Rows of all shifts of the dates asked for; null without the view. */
  roadRows: RoadCoverageRow[] | null;
  districtRows: DistrictCoverageRow[] | null;
  days: ShiftDay[];
  shifts: Map<string, Shift>;
  districts: District[];
  /** Whether borders come from the file shipped with the page (or agree with it). */
  shippedBorders: boolean;
  roads: Road[];
  roadById: Map<string, Road>;
  fleetNames: Map<string, Names>;
  fenceNames: Map<string, Names>;
  plates: Map<string, Vehicle>;
  chosen: Chosen | null;
}

/** Makes frames of a store, one after the other. */
export class FrameMaker {
  private readonly kept = new Kept();

  make(store: Store, tick: number, dates: readonly string[], vehicle: string | null): Frame {
    const rows = <R extends Row>(id: string): R[] | null => {
      const table = store.table<R>(id);
      return table && table.version > 0 ? [...table.rows.values()] : null;
    };
    const reference = <T>(id: string, name: string, make: (rows: Iterable<ReferenceRow>) => T): T =>
      this.kept.get(name, store.table<ReferenceRow>(id), make);
    const dated = <R extends Row>(prefix: string, view: ViewName) =>
      store.offers(view) ? dates.flatMap((date) => rows<R>(`${prefix}/${date}`) ?? []) : null;
    const roadTables = dates.map((date) => store.table<RoadCoverageRow>(`roads/${date}`)).filter((table) => table !== undefined);
    const { districts, shipped } = reference('ref-district', 'district', districtsOf);
    const shifts = reference('ref-shift', 'shift', shiftsOf);
    const roads = reference('ref-road', 'road', roadsOf);
    const roadRows = dated<RoadCoverageRow>('roads', 'road_coverage');
    const events = ['fences-open', 'fences-deviation', 'fences-missed'].map((id) => rows<FenceEventRow>(id));
    const track = vehicle === null ? undefined : store.table<TrackRow>(`tracks/${vehicle}`);
    return {
      tick,
      offers: new Set(VIEWS.filter((view) => store.offers(view))),
      vehicles: rows<VehicleRow>('vehicles') ?? [],
      openTrips: rows<TripRow>('trips-open'),
      events: events[0] ? mergeEvents(events.filter((list) => list !== null)) : null,
      roadRows,
      districtRows: dated<DistrictCoverageRow>('districts', 'district_coverage'),
      days: this.kept.of('days', [store.table('ref-shift'), ...roadTables], () => shiftDays(roadRows ?? [], shifts)),
      shifts,
      districts,
      shippedBorders: shipped,
      roads,
      roadById: this.kept.get('roadById', store.table('ref-road') as Table | undefined, () => new Map(roads.map((road) => [road.id, road]))),
      fleetNames: reference('ref-fleet', 'fleet', namesOf),
      fenceNames: reference('ref-fence', 'fence', namesOf),
      plates: reference('ref-vehicle', 'vehicle', vehiclesOf),
      chosen: vehicle === null ? null : {
        vehicle,
        trips: rows(`trips/${vehicle}`),
        stops: rows(`stops/${vehicle}`),
        events: rows(`fence_events/${vehicle}`),
        track: track && track.version > 0 ? this.kept.get(`track`, track, trackOf) : null,
      },
    };
  }
}
