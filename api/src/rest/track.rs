//! The track of one vehicle, as GeoJSON or GPX.
//!
//! **Meaning.** The plausible fixes between two event times, as the view `tracks` has them at one tick: a late fix is in
//! its place, a jump is not there. `tracks` holds fixes for the track retention; a span that begins before that is 410
//! with the oldest time that can be asked for. Older fixes are in the table `tracks_changes`, where there is a history.
//! GeoJSON (RFC 7946): one feature, its times, speeds and headings as lists beside the coordinates. GPX 1.1: one
//! track, a new segment after each silence of more than ten minutes.
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
struct Point {
    ts: i64,
    lon: f64,
    lat: f64,
    speed: Option<f64>,
    heading: Option<f64>,
    working: Option<bool>,
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

/// The fixes of `rows` within the span, in order of event time.
fn points(spec: &ViewSpec, rows: &[Arc<Row>], from: i64, to: i64) -> Vec<Point> {
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
    points.retain(|point| (from..=to).contains(&point.ts));
    points.sort_by_key(|point| point.ts);
    points
}

/// A GeoJSON feature: a line, a point for a single fix, no geometry without one.
fn geojson(vehicle: &str, tick: Tick, points: &[Point]) -> Vec<u8> {
    let geometry = match points {
        [] => serde_json::Value::Null,
        [point] => json!({"type": "Point", "coordinates": [point.lon, point.lat]}),
        points => {
            let line: Vec<_> = points.iter().map(|point| [point.lon, point.lat]).collect();
            json!({"type": "LineString", "coordinates": line})
        }
    };
    let feature = json!({
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
    });
    feature.to_string().into_bytes()
}

/// A GPX document.
fn gpx(vehicle: &str, points: &[Point]) -> Result<Vec<u8>, Problem> {
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a time cannot be written");
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gpx version=\"1.1\" creator=\"chengmai\" \
         xmlns=\"http://www.topografix.com/GPX/1/1\">\n<trk><name>",
    );
    for character in vehicle.chars() {
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
    let mut last: Option<i64> = None;
    for point in points {
        if last.is_none_or(|last| point.ts - last > SEGMENT_GAP_MS) {
            text.push_str(if last.is_some() { "</trkseg>\n<trkseg>\n" } else { "<trkseg>\n" });
        }
        last = Some(point.ts);
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(point.ts) * 1_000_000);
        let time = time.map_err(|_| failed(()))?.format(&Rfc3339).map_err(|_| failed(()))?;
        let (lat, lon) = (point.lat, point.lon);
        writeln!(text, "<trkpt lat=\"{lat}\" lon=\"{lon}\"><time>{time}</time></trkpt>")
            .map_err(|_| failed(()))?;
    }
    text.push_str(if last.is_some() { "</trkseg>\n</trk></gpx>\n" } else { "</trk></gpx>\n" });
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
    let (from, to) = (whole("from")?, whole("to")?);
    let store = &shared.store;
    let (view, spec) = store.view(TRACKS).ok_or_else(|| Problem::not_found("this city keeps no tracks"))?;
    let is = is_vehicle(id, store.names());
    let snapshot = store.select(view, &is);
    let (from, to) = span(from, to, snapshot.tick, shared.config.track_ms)?;
    if snapshot.rows.is_empty() {
        let known = store.view(VEHICLES).is_some_and(|(view, _)| !store.select(view, &is).rows.is_empty());
        if !known {
            return Err(Problem::not_found(format!("no vehicle `{id}` was ever heard")));
        }
    }
    let points = points(spec, &snapshot.rows, from, to);
    if gpx_wanted {
        let head = [(header::CONTENT_TYPE, "application/gpx+xml"), (header::CACHE_CONTROL, "no-store")];
        return Ok((head, gpx(id, &points)?).into_response());
    }
    Ok(json(geojson(id, snapshot.tick, &points)))
}

/// The track of a vehicle between two event times, of one tick.
#[utoipa::path(get, path = "/views/vehicles/{id}/track", tag = "views",
    params(
        ("id" = String, Path, description = "The vehicle"),
        ("from" = Option<i64>, Query, description = "First event time, Unix ms; the oldest held if absent"),
        ("to" = Option<i64>, Query, description = "Last event time, Unix ms; the latest if absent"),
        ("format" = Option<String>, Query, description = "geojson, the default, or gpx"),
    ),
    responses(
        (status = 200, description = "A GeoJSON feature, or a GPX document", body = serde_json::Value, content_type = "application/json"),
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
    parameters.only(&["from", "to", "format"])?;
    aside(move || answer(&shared, &id, &parameters)).await
}

#[cfg(test)]
mod tests {
    use super::{Point, geojson, gpx, span};

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
        let read = |points: &[Point]| -> serde_json::Value {
            serde_json::from_slice(&geojson("川J-1", 200, points)).unwrap()
        };
        let line = read(&[point(1_000), point(2_000)]);
        assert_eq!(line["geometry"]["coordinates"][1][1], 36.585);
        assert_eq!(line["properties"]["ts"], serde_json::json!([1_000, 2_000]));
        assert_eq!(line["properties"]["heading"], serde_json::json!([null, null]));
        assert_eq!(read(&[point(1_000)])["geometry"]["type"], "Point");
        assert!(read(&[])["geometry"].is_null());
    }

    #[test]
    fn silence_begins_a_segment() {
        let text =
            String::from_utf8(gpx("<a&b>", &[point(0), point(600_000), point(1_200_001)]).unwrap()).unwrap();
        assert_eq!(text.matches("<trkseg>").count(), 2);
        assert_eq!(text.matches("</trkseg>").count(), 2);
        assert!(text.contains("<name>&lt;a&amp;b&gt;</name>"), "{text}");
        assert!(
            text.contains("<trkpt lat=\"36.585\" lon=\"109.49\"><time>1970-01-01T00:10:00Z</time></trkpt>")
        );
        assert!(!String::from_utf8(gpx("v", &[]).unwrap()).unwrap().contains("trkseg"));
    }
}
