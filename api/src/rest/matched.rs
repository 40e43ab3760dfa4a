//! The way of one vehicle along the roads, matched when somebody asks.
//!
//! **Meaning.** The fixes of a track on the roads in force at the same tick, by the matcher that coverage rests on
//! (crate `matching`). The engine matches each fix on the roads of the fix's own tick; so after a road has been moved the
//! way drawn here and what was covered before may differ on that road. The match looks at two minutes before and one
//! minute after the fixes of each block of ten minutes; so the way within a span does not depend on the span.
//!
//! **Mechanism.** Roads near the track are read from the view `reference` and matched on, away from the threads that
//! serve the live protocol. Roads further from all fixes than a way between two of them can be long change nothing.
//!
//! Nothing is kept between requests.

use std::sync::Arc;

use matching::geo::{Place, Scale, distance_mm};
use matching::network::rank;
use matching::{Edit, Fix, Params, RoadLine, Step, Track, World};
use model::{Names, Sym, Value, ViewSpec};
use serde::Deserialize;
use serde_json::json;

use super::track::Point;
use crate::store::Row;

/// The view with the roads, and their kind in it.
pub(super) const REFERENCE: &str = "reference";
const ROAD: &str = "road";

/// A matched track, in order of event time.
pub(super) struct Matched {
    steps: Vec<Step>,
}

/// A vertex of the way with its time, which between two fixes grows with the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Vertex {
    /// Unix ms.
    pub ts: i64,
    /// Degrees.
    pub lon: f64,
    /// Degrees.
    pub lat: f64,
}

fn degrees(place: Place) -> [f64; 2] {
    [f64::from(place.0) / 1e7, f64::from(place.1) / 1e7]
}

fn tenths(degrees: f64) -> i32 {
    (degrees * 1e7).round() as i32
}

/// What of a road's record matters to the match.
#[derive(Deserialize)]
struct Drawn {
    oneway: Option<bool>,
    geometry: Option<Line>,
}

#[derive(Deserialize)]
struct Line {
    coordinates: Vec<Vec<f64>>,
}

/// The vertices of a road that comes into the box, and whether it is one-way.
fn drawn(json: &str, (low, high): ([f64; 2], [f64; 2])) -> Option<(Vec<Place>, bool)> {
    // What is in force was looked through when it came in.
    let road: Drawn = serde_json::from_str(json).ok()?;
    let vertex = |position: &Vec<f64>| Some((tenths(*position.first()?), tenths(*position.get(1)?)));
    let mut line: Vec<Place> = road.geometry?.coordinates.iter().map(vertex).collect::<Option<_>>()?;
    line.dedup();
    let outside = |at: fn(&Place) -> i32, axis: usize| {
        let (least, most) = (line.iter().map(at).min(), line.iter().map(at).max());
        most.is_none_or(|most| f64::from(most) < low[axis]) || least.is_none_or(|l| f64::from(l) > high[axis])
    };
    (!outside(|place| place.0, 0) && !outside(|place| place.1, 1))
        .then(|| (line, road.oneway.unwrap_or(false)))
}

/// The box around all fixes that no way between two of them can leave, in 10⁻⁷ degrees.
fn reach(fixes: &[Fix], params: &Params) -> Option<([f64; 2], [f64; 2])> {
    let margin = params.way_mm + 2 * params.radius_mm;
    let around = |fix: &Fix| Scale::at(fix.at.1).around(fix.at, margin);
    fixes.iter().map(around).reduce(|(low, high), (l, h)| {
        ([low[0].min(l[0]), low[1].min(l[1])], [high[0].max(h[0]), high[1].max(h[1])])
    })
}

/// Matches the fixes of a vehicle; said are those of `[from, to]`.
pub(super) fn matched(
    points: &[Point],
    (from, to): (i64, i64),
    roads: &[Arc<Row>],
    spec: &ViewSpec,
    names: &Names,
) -> Result<Matched, String> {
    let params = Params::default();
    let mut world = World::new(params.clone()).ok_or("the parameters of the model do not fit each other")?;
    let fix = |point: &Point| Fix {
        ts: point.ts,
        at: (tenths(point.lon), tenths(point.lat)),
        speed: point.speed.map(|speed| Fix::speed_of(speed as f32)),
        heading: point.heading.map(|heading| Fix::heading_of(heading as f32)),
        working: point.working == Some(true),
        epoch: 1,
    };
    // Whatever a block within the span looks at.
    let margin = params.block_ms + params.warm_up_ms.max(params.ahead_ms);
    let within = (from.saturating_sub(margin), to.saturating_add(margin));
    let fixes: Vec<Fix> =
        points.iter().filter(|point| (within.0..=within.1).contains(&point.ts)).map(fix).collect();
    let Some(around) = reach(&fixes, &params) else { return Ok(Matched { steps: Vec::new() }) };
    let place = |name: &str| spec.column(name).unwrap_or_default();
    let (id_at, json_at) = (place("id"), place("json"));
    let near = |row: &Arc<Row>| {
        let Value::Name(id) = row.values[id_at] else { return None };
        let (line, oneway) = drawn(row.values[json_at].as_str(names)?, around)?;
        Some((id, line, oneway))
    };
    let near: Vec<(Sym, Vec<Place>, bool)> = roads.iter().filter_map(near).collect();
    world.network.change(near.iter().map(|(id, points, oneway)| {
        (id.0, Some(RoadLine { rank: rank(names.resolve(*id)), points, oneway: *oneway }))
    }));
    let edits: Vec<Edit> = fixes.into_iter().map(Edit::Put).collect();
    let mut track = Track::default();
    track.edit(&mut world, &edits, &mut Vec::new());
    let (first, last) = (edits.first().map_or(0, Edit::ts), edits.last().map_or(0, Edit::ts));
    let steps = track.way(&mut world, from.max(first), to.min(last).saturating_add(1));
    Ok(Matched { steps })
}

/// Whether a row of `reference` is a road, by its key.
pub(super) fn is_road(row: &Row, spec: &ViewSpec, names: &Names) -> bool {
    spec.column("kind").is_some_and(|at| row.values[at].as_str(names) == Some(ROAD))
}

impl Matched {
    /// The stretches of the way, each without a break.
    pub fn lines(&self) -> Vec<Vec<Vertex>> {
        let mut lines: Vec<Vec<Vertex>> = Vec::new();
        for (i, step) in self.steps.iter().enumerate().filter(|(_, step)| !step.line.is_empty()) {
            let goes_on = i > 0 && !self.steps[i - 1].line.is_empty();
            let (start, end) = (self.steps[i.saturating_sub(1)].fix.ts, step.fix.ts);
            let lengths: Vec<i64> = step.line.windows(2).map(|pair| distance_mm(pair[0], pair[1])).collect();
            let total = lengths.iter().sum::<i64>();
            let mut so_far = 0;
            let line = step.line.iter().enumerate().map(|(n, place)| {
                so_far += n.checked_sub(1).map_or(0, |n| lengths[n]);
                let share = if total > 0 { so_far as f64 / total as f64 } else { n.min(1) as f64 };
                let [lon, lat] = degrees(*place);
                Vertex { ts: start + (share * (end - start) as f64).round() as i64, lon, lat }
            });
            let line: Vec<Vertex> = line.collect();
            match lines.last_mut() {
                // Blocks choose for themselves: where two meet, the way may begin a little off where it ended.
                Some(last) if goes_on => {
                    let same = last.last() == line.first();
                    last.extend(line.into_iter().skip(usize::from(same)));
                }
                _ => lines.push(line),
            }
        }
        lines
    }

    /// A GeoJSON feature: the stretches as a MultiLineString, and for each fix its road, how far along it, and where.
    pub fn feature(&self, vehicle: &str, tick: u64, names: &Names) -> serde_json::Value {
        let lines: Vec<Vec<[f64; 2]>> = self
            .lines()
            .iter()
            .map(|line| line.iter().map(|vertex| [vertex.lon, vertex.lat]).collect())
            .collect();
        let geometry = match lines.is_empty() {
            true => serde_json::Value::Null,
            false => json!({"type": "MultiLineString", "coordinates": lines}),
        };
        let spots = || self.steps.iter().map(|step| step.spot);
        let road = |road: u32| names.resolve(Sym(road)).to_owned();
        json!({
            "type": "Feature",
            "geometry": geometry,
            "properties": {
                "vehicle_id": vehicle,
                "tick": tick,
                "matched": true,
                "ts": self.steps.iter().map(|step| step.fix.ts).collect::<Vec<_>>(),
                "road": spots().map(|spot| spot.map(|spot| road(spot.road))).collect::<Vec<_>>(),
                "along": spots().map(|spot| spot.map(|s| f64::from(s.at_mm) / 1000.0)).collect::<Vec<_>>(),
                "place": spots().map(|spot| spot.map(|spot| degrees(spot.place))).collect::<Vec<_>>(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Column, Names, Type, Value, ViewSpec};

    use super::{Matched, matched};
    use crate::rest::track::Point;
    use crate::store::Row;

    const SPEC: ViewSpec = ViewSpec {
        name: "reference",
        zh: "",
        doc: "",
        key: 2,
        columns: &[
            Column::new("kind", Type::Text, "", ""),
            Column::new("id", Type::Text, "", ""),
            Column::new("json", Type::Json, "", ""),
        ],
        bounded_by: "",
    };

    fn city(names: &Names) -> Vec<Arc<Row>> {
        let roads = [
            ("east", r#"{"geometry":{"type":"LineString","coordinates":[[109.49,36.59],[109.495,36.59]]}}"#),
            (
                "south",
                r#"{"oneway":true,"geometry":{"type":"LineString","coordinates":[[109.495,36.59],[109.495,36.586]]}}"#,
            ),
            ("far", r#"{"geometry":{"type":"LineString","coordinates":[[110.49,36.59],[110.495,36.59]]}}"#),
            ("not drawn", r#"{"grade":1}"#),
        ];
        let row = |(id, json): (&str, &str)| {
            Row::new(&[Value::Literal("road"), Value::Name(names.intern(id)), Value::Text(json.into())])
        };
        roads.map(row).to_vec()
    }

    /// Along the one road, round the corner, along the other, off into a field, and home after an hour.
    fn drive() -> Vec<Point> {
        let places = [
            (0, 109.4930, 36.590_03),
            (10, 109.4940, 36.589_96),
            (20, 109.495_05, 36.5895),
            (30, 109.494_95, 36.5885),
            (40, 109.490, 36.583),
            (3_640, 109.4930, 36.590_02),
            (3_650, 109.4931, 36.590_02),
        ];
        let point = |(s, lon, lat): (i64, f64, f64)| Point {
            ts: 1_794_560_400_000 + s * 1000,
            lon,
            lat,
            speed: None,
            heading: None,
            working: None,
        };
        places.map(point).to_vec()
    }

    fn all(names: &Names) -> Matched {
        matched(&drive(), (i64::MIN, i64::MAX), &city(names), &SPEC, names).unwrap()
    }

    #[test]
    fn the_way_goes_by_the_roads_and_breaks_off_them() {
        let names = Names::new();
        let way = all(&names);
        let feature = way.feature("川J-1", 200, &names);
        let properties = &feature["properties"];
        let null = serde_json::Value::Null;
        assert_eq!(
            properties["road"].as_array().unwrap()[..6],
            ["east".into(), "east".into(), "south".into(), "south".into(), null, "east".into()]
        );
        assert_eq!(properties["place"][3], serde_json::json!([109.495, 36.5885]));
        let lines = feature["geometry"]["coordinates"].as_array().unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0].as_array().unwrap()[2], serde_json::json!([109.495, 36.59]), "the corner");
        let times: Vec<i64> = way.lines()[0].iter().map(|vertex| vertex.ts - 1_794_560_400_000).collect();
        assert_eq!((times[0], times[1], times[3], times[4]), (0, 10_000, 20_000, 30_000));
        assert!((15_000..20_000).contains(&times[2]), "{times:?}: the corner lies in the second half");
    }

    #[test]
    fn a_span_is_a_part_of_the_whole() {
        let names = Names::new();
        let start = 1_794_560_400_000;
        let some = matched(&drive(), (start + 10_000, start + 30_000), &city(&names), &SPEC, &names).unwrap();
        let whole = all(&names);
        assert_eq!(some.steps.len(), 3);
        assert!(some.steps[0].line.is_empty(), "its way begins with it");
        assert_eq!(some.steps[1..], whole.steps[2..4]);
        let none = matched(&[], (0, 1), &city(&names), &SPEC, &names).unwrap();
        assert!(none.feature("v", 1, &names)["geometry"].is_null());
    }
}
