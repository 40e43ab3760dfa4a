//! The track of one vehicle, as GeoJSON or GPX.
//!
//! **Meaning.** The plausible fixes between two event times, as the view `tracks` has them at one tick: a late fix is in
//! its place, a jump is not there. `tracks` holds fixes for the track retention; a span that begins before that is 410
//! with the oldest time that can be asked for. Older fixes are in the table `tracks_changes`, where there is a history.
//! `way` says which way is drawn: `raw` by the fixes as they are, `matched` along the roads ([`super::matched`]), `both`
//! one beside the other. GeoJSON (RFC 7946): a feature of each, its times, speeds and headings as lists beside the
//! coordinates; two are a collection. GPX 1.1: a track of each, with a new segment after each silence of more than ten
//! minutes, or where the matched way breaks.
//!
//! Nothing is kept between requests.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Names, Tick, Value, ViewSpec};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::matched::{self, Matched, REFERENCE, Vertex};
use super::{App, Path, aside, json};
use crate::problem::Problem;
use crate::query::Parameters;
use crate::store::Row;
use crate::token::Scope;
use crate::{Shared, guard};

/// The view that is read, and the one that knows every vehicle that was ever heard.
const TRACKS: &str = "tracks";
const VEHICLES: &str = "vehicles";
/// A longer silence begins a new segment in GPX, ms.
const SEGMENT_GAP_MS: i64 = 600_000;

/// One fix of the track.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// Unix ms.
    pub ts: i64,
    /// Degrees.
    pub lon: f64,
    /// Degrees.
    pub lat: f64,
    /// km/h.
    pub speed: Option<f64>,
    /// Degrees clockwise from north.
    pub heading: Option<f64>,
    /// Brush, pump or nozzle on.
    pub working: Option<bool>,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Raw,
    Matched,
    Both,
}

/// The span asked for, `[from, to]` in Unix ms, if it lies within what is held at `tick`.
fn span(
    from: Option<i64>,
    to: Option<i64>,
    tick: Tick,
    retention_ms: Option<i64>,
) -> Result<(i64, i64), Problem> {
    let now = i64::try_from(tick).unwrap_or(i64::MAX);
    let oldest = retention_ms.map_or(i64::MIN, |retention| now.saturating_sub(retention));
    let (from, to) = (from.unwrap_or(oldest), to.unwrap_or(i64::MAX));
    if from > to {
        return Err(Problem::bad_request(format!("`from` is {from}, after `to`, which is {to}")));
    }
    if from < oldest {
        let detail = format!(
            "fixes before {oldest} are no longer held; older ones are in the table tracks_changes of the history"
        );
        let oldest_tick = u64::try_from(oldest).ok();
        return Err(Problem { oldest_tick, ..Problem::new(StatusCode::GONE, detail) });
    }
    Ok((from, to))
}

/// The fixes of `rows`, in order of event time.
fn points(spec: &ViewSpec, rows: &[Arc<Row>]) -> Vec<Point> {
    let column =
        |row: &Row, name: &str| spec.column(name).map(|at| row.values[at].clone()).unwrap_or_default();
    let float = |row: &Row, name: &str| match column(row, name) {
        Value::Float(value) => Some(value),
        _ => None,
    };
    let point = |row: &Arc<Row>| {
        let Value::Int(ts) = column(row, "ts") else { return None };
        let working = match column(row, "working") {
            Value::Bool(working) => Some(working),
            _ => None,
        };
        Some(Point {
            ts,
            lon: float(row, "lon")?,
            lat: float(row, "lat")?,
            speed: float(row, "speed"),
            heading: float(row, "heading"),
            working,
        })
    };
    let mut points: Vec<Point> = rows.iter().filter_map(point).collect();
    points.sort_by_key(|point| point.ts);
    points
}

/// A GeoJSON feature: a line, a point for a single fix, no geometry without one.
fn feature(vehicle: &str, tick: Tick, points: &[Point]) -> serde_json::Value {
    let geometry = match points {
        [] => serde_json::Value::Null,
        [point] => json!({"type": "Point", "coordinates": [point.lon, point.lat]}),
        points => {
            let line: Vec<_> = points.iter().map(|point| [point.lon, point.lat]).collect();
            json!({"type": "LineString", "coordinates": line})
        }
    };
    json!({
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "vehicle_id": vehicle,
            "tick": tick,
            "matched": false,
            "ts": points.iter().map(|point| point.ts).collect::<Vec<_>>(),
            "speed": points.iter().map(|point| point.speed).collect::<Vec<_>>(),
            "heading": points.iter().map(|point| point.heading).collect::<Vec<_>>(),
            "working": points.iter().map(|point| point.working).collect::<Vec<_>>(),
        },
    })
}

/// The fixes as segments: a longer silence begins a new one.
fn segments(points: &[Point]) -> Vec<Vec<Vertex>> {
    let runs = points.chunk_by(|a, b| b.ts - a.ts <= SEGMENT_GAP_MS);
    let vertex = |point: &Point| Vertex { ts: point.ts, lon: point.lon, lat: point.lat };
    runs.map(|run| run.iter().map(vertex).collect()).collect()
}

/// A GPX document of tracks, each with its name and its segments.
fn gpx(tracks: &[(String, Vec<Vec<Vertex>>)]) -> Result<Vec<u8>, Problem> {
    let failed = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a time cannot be written");
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gpx version=\"1.1\" creator=\"chengmai\" \
         xmlns=\"http://www.topografix.com/GPX/1/1\">\n",
    );
    for (name, segments) in tracks {
        text.push_str("<trk><name>");
        for character in name.chars() {
            match character {
                '&' => text.push_str("&amp;"),
                '<' => text.push_str("&lt;"),
                '>' => text.push_str("&gt;"),
                // XML 1.0 knows no other control characters, not even escaped.
                '\t' | '\n' | '\r' => text.push(character),
                control if control.is_control() => text.push('\u{FFFD}'),
                other => text.push(other),
            }
        }
        text.push_str("</name>\n");
        for segment in segments {
            text.push_str("<trkseg>\n");
            for Vertex { ts, lon, lat } in segment {
                let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*ts) * 1_000_000);
                let time = time.map_err(|_| failed())?.format(&Rfc3339).map_err(|_| failed())?;
                writeln!(text, "<trkpt lat=\"{lat}\" lon=\"{lon}\"><time>{time}</time></trkpt>")
                    .map_err(|_| failed())?;
            }
            text.push_str("</trkseg>\n");
        }
        text.push_str("</trk>\n");
    }
    text.push_str("</gpx>\n");
    Ok(text.into_bytes())
}

fn is_vehicle(id: &str, names: &Names) -> impl Fn(&[Value]) -> bool {
    let sym = names.get(id);
    move |key| matches!((key.first(), sym), (Some(Value::Name(found)), Some(sym)) if *found == sym)
}

fn answer(shared: &Shared, id: &str, parameters: &Parameters) -> Result<Response, Problem> {
    let whole = |name: &str| match parameters.get(name) {
        None => Ok(None),
        Some(text) => text.parse::<i64>().map(Some).map_err(|_| {
            Problem::bad_request(format!("`{name}={text}`: expected Unix ms as a whole number"))
        }),
    };
    let gpx_wanted = match parameters.get("format") {
        None | Some("geojson") => false,
        Some("gpx") => true,
        Some(other) => {
            return Err(Problem::bad_request(format!("`format={other}`: expected geojson or gpx")));
        }
    };
    let way = match parameters.get("way") {
        None | Some("raw") => Way::Raw,
        Some("matched") => Way::Matched,
        Some("both") => Way::Both,
        Some(other) => {
            return Err(Problem::bad_request(format!("`way={other}`: expected raw, matched or both")));
        }
    };
    let (from, to) = (whole("from")?, whole("to")?);
    let store = &shared.store;
    let (view, spec) = store.view(TRACKS).ok_or_else(|| Problem::not_found("this city keeps no tracks"))?;
    let is = is_vehicle(id, store.names());
    let snapshot = store.select(view, &is);
    let tick = snapshot.tick;
    let (from, to) = span(from, to, tick, shared.config.track_ms)?;
    if snapshot.rows.is_empty() {
        let known = store.view(VEHICLES).is_some_and(|(view, _)| !store.select(view, &is).rows.is_empty());
        if !known {
            return Err(Problem::not_found(format!("no vehicle `{id}` was ever heard")));
        }
    }
    let mut points = points(spec, &snapshot.rows);
    let matched = (way != Way::Raw).then(|| matched_way(shared, &points, (from, to), tick)).transpose()?;
    points.retain(|point| (from..=to).contains(&point.ts));
    let raw = (way != Way::Matched).then_some(points);
    if gpx_wanted {
        let raw = raw.map(|points| (id.to_owned(), segments(&points)));
        let matched = matched.map(|matched| (format!("{id} (matched)"), matched.lines()));
        let tracks: Vec<_> = raw.into_iter().chain(matched).collect();
        let head = [(header::CONTENT_TYPE, "application/gpx+xml"), (header::CACHE_CONTROL, "no-store")];
        return Ok((head, gpx(&tracks)?).into_response());
    }
    let raw = raw.map(|points| feature(id, tick, &points));
    let matched = matched.map(|matched| matched.feature(id, tick, store.names()));
    let said = match (raw, matched) {
        (Some(raw), Some(matched)) => json!({"type": "FeatureCollection", "features": [raw, matched]}),
        (raw, matched) => raw.or(matched).unwrap_or_default(),
    };
    Ok(json(said.to_string().into_bytes()))
}

/// The way along the roads as they are at the tick of the track.
fn matched_way(shared: &Shared, points: &[Point], span: (i64, i64), tick: Tick) -> Result<Matched, Problem> {
    let store = &shared.store;
    let (view, spec) =
        store.view(REFERENCE).ok_or_else(|| Problem::not_found("this city keeps no reference data"))?;
    let mut roads = store.as_of(view, tick).map_err(|gone| Problem {
        oldest_tick: Some(gone.oldest),
        ..Problem::new(StatusCode::GONE, "the roads of that tick are no longer held; ask again")
    })?;
    roads.rows.retain(|row| matched::is_road(row, spec, store.names()));
    matched::matched(points, span, &roads.rows, spec, store.names())
        .map_err(|detail| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
}

/// The track of a vehicle between two event times, of one tick: as it was sent, along the roads, or both.
///
/// A raw feature is a LineString with `ts`, `speed`, `heading` and `working` of each vertex. A matched one
/// (`"matched": true`) is a MultiLineString along the roads, broken where the vehicle was off them or silent, with `ts`,
/// `road`, `along` (m from the start of the road) and `place` of each fix, null off the road. `both` is a
/// FeatureCollection, or a GPX document with two tracks.
#[utoipa::path(get, path = "/views/vehicles/{id}/track", tag = "views",
    params(
        ("id" = String, Path, description = "The vehicle"),
        ("from" = Option<i64>, Query, description = "First event time, Unix ms; the oldest held if absent"),
        ("to" = Option<i64>, Query, description = "Last event time, Unix ms; the latest if absent"),
        ("way" = Option<String>, Query, description = "raw, the default: the fixes as they are; matched: along the roads; both"),
        ("format" = Option<String>, Query, description = "geojson, the default, or gpx"),
    ),
    responses(
        (status = 200, description = "A GeoJSON feature, a collection of two, or a GPX document", body = serde_json::Value, content_type = "application/json"),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such vehicle", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The span begins before what is held", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn read_track(
    State(shared): App,
    Path(id): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    parameters.only(&["from", "to", "way", "format"])?;
    aside(move || answer(&shared, &id, &parameters)).await
}

#[cfg(test)]
mod tests {
    use super::{Point, feature, gpx, segments, span};

    fn point(ts: i64) -> Point {
        Point { ts, lon: 109.49, lat: 36.585, speed: Some(12.5), heading: None, working: Some(true) }
    }

    #[test]
    fn a_span_lies_within_what_is_held() {
        assert_eq!(span(None, None, 10_000, Some(4_000)).unwrap(), (6_000, i64::MAX));
        assert_eq!(span(Some(6_000), Some(7_000), 10_000, Some(4_000)).unwrap(), (6_000, 7_000));
        let gone = span(Some(5_999), None, 10_000, Some(4_000)).unwrap_err();
        assert_eq!((gone.status, gone.oldest_tick), (410, Some(6_000)));
        assert_eq!(span(Some(8), Some(7), 10, None).unwrap_err().status, 400);
    }

    #[test]
    fn a_track_is_a_feature() {
        let read = |points: &[Point]| feature("川J-1", 200, points);
        let line = read(&[point(1_000), point(2_000)]);
        assert_eq!(line["geometry"]["coordinates"][1][1], 36.585);
        assert_eq!(line["properties"]["ts"], serde_json::json!([1_000, 2_000]));
        assert_eq!(line["properties"]["heading"], serde_json::json!([null, null]));
        assert_eq!(read(&[point(1_000)])["geometry"]["type"], "Point");
        assert!(read(&[])["geometry"].is_null());
    }

    #[test]
    fn silence_begins_a_segment() {
        let gpx = |name: &str, points: &[Point]| {
            String::from_utf8(gpx(&[(name.to_owned(), segments(points))]).unwrap()).unwrap()
        };
        let text = gpx("<a&b>", &[point(0), point(600_000), point(1_200_001)]);
        assert_eq!(text.matches("<trkseg>").count(), 2);
        assert_eq!(text.matches("</trkseg>").count(), 2);
        assert!(text.contains("<name>&lt;a&amp;b&gt;</name>"), "{text}");
        assert!(
            text.contains("<trkpt lat=\"36.585\" lon=\"109.49\"><time>1970-01-01T00:10:00Z</time></trkpt>")
        );
        assert!(!gpx("v", &[]).contains("trkseg"));
    }
}
