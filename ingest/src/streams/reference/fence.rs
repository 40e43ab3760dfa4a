//! `fence`: areas, circles and routes with their rules. The record is documented in `docs/fences.md`.

use model::Sym;
use model::reference::fence::{FencePlan, FenceRef, FenceShape, Position};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Interner, Object, Reason, minute_of_day, number};
use crate::streams::fields::{Id, short, tenths, within};

/// Vertices of one fence at most.
const MAX_VERTICES: usize = 100_000;
/// Vehicles, fleets, or windows of one fence at most.
const MAX_LIST: usize = 10_000;
/// Greatest radius of a circle or width of a route, m.
const MAX_RADIUS_M: f64 = 100_000.0;
/// Seconds of a minute and of a day.
const MINUTE_S: u32 = 60;
const DAY_S: u32 = 86_400;

/// Reads a fence whose geometry was looked through.
pub(super) fn parse(interner: &mut Interner, object: &Object) -> Result<FenceRef, Reason> {
    let positive = |name: &str, most: f64| match number(object, name)? {
        Some(value) if value <= 0.0 || value > most => {
            Err(format!("out_of_range: `{name}` is {value}, expected more than 0 and at most {most}"))
        }
        value => Ok(value),
    };
    let flag = |name: &str| match object.get(name) {
        None | Some(Json::Null) => Ok(false),
        Some(Json::Bool(flag)) => Ok(*flag),
        Some(other) => Err(format!("wrong_type: `{name}` is {}, expected true or false", short(other))),
    };
    let margin_m = match number(object, "margin_m")? {
        Some(margin) => Some(within("margin_m", margin, 0.0..=10_000.0)?),
        None => None,
    };
    Ok(FenceRef {
        shape: shape(object, positive("radius_m", MAX_RADIUS_M)?, positive("width_m", MAX_RADIUS_M)?)?,
        speed_limit_kmh: positive("speed_limit", 1000.0)?,
        max_dwell_ms: positive("max_dwell_s", 366.0 * 86_400.0)?.map(|s| (s * 1000.0).round() as i64),
        margin_m,
        place: flag("place")?,
        service_area: flag("service_area")?,
        vehicles: names(interner, object, "vehicles")?,
        fleets: names(interner, object, "fleets")?,
        plan: plan(interner, object)?,
    })
}

fn shape(object: &Object, radius_m: Option<f64>, width_m: Option<f64>) -> Result<FenceShape, Reason> {
    let invalid = |what: &str| format!("invalid_geometry: {what}");
    let geometry = object.get("geometry").filter(|geometry| !geometry.is_null());
    let geometry = geometry.ok_or("missing_field: `geometry` is missing")?;
    let name = geometry.get("type").and_then(Json::as_str).unwrap_or("");
    let coordinates = geometry.get("coordinates").unwrap_or(&Json::Null);
    let mut vertices = 0;
    let mut line = |least: usize, list: &Json| {
        let positions: Option<Vec<Position>> =
            list.as_array().map(Vec::as_slice).unwrap_or(&[]).iter().map(position).collect();
        let positions = positions.ok_or_else(|| invalid("a position is not [lon, lat]"))?;
        vertices += positions.len();
        if vertices > MAX_VERTICES {
            return Err(invalid(&format!("more than {MAX_VERTICES} vertices")));
        }
        let mut distinct = positions.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < least {
            return Err(invalid(&format!(
                "{} distinct positions, expected at least {least}",
                distinct.len()
            )));
        }
        Ok(positions)
    };
    let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
    let shape = match name {
        "Polygon" => {
            FenceShape::Area(list(coordinates).iter().map(|ring| line(3, ring)).collect::<Result<_, _>>()?)
        }
        "MultiPolygon" => {
            let rings = list(coordinates).iter().flat_map(list).collect::<Vec<_>>();
            FenceShape::Area(rings.iter().map(|ring| line(3, ring)).collect::<Result<_, _>>()?)
        }
        "Point" => {
            let centre = position(coordinates).ok_or_else(|| invalid("a position is not [lon, lat]"))?;
            FenceShape::Circle(
                centre,
                radius_m.ok_or("missing_field: `radius_m` is missing in a fence around a point")?,
            )
        }
        "LineString" | "MultiLineString" => {
            let lines = if name == "LineString" { vec![coordinates.clone()] } else { list(coordinates) };
            let lines = lines.iter().map(|each| line(2, each)).collect::<Result<_, _>>()?;
            FenceShape::Route(lines, width_m.ok_or("missing_field: `width_m` is missing in a route")?)
        }
        other => {
            return Err(invalid(&format!(
                "a fence can't be a `{other}`, expected Polygon, MultiPolygon, Point with `radius_m`, or LineString with `width_m`"
            )));
        }
    };
    match &shape {
        FenceShape::Area(rings) if rings.is_empty() => Err(invalid("no ring")),
        FenceShape::Route(lines, _) if lines.is_empty() => Err(invalid("no line")),
        _ => Ok(shape),
    }
}

fn position(json: &Json) -> Option<Position> {
    let degrees = |i: usize| json.get(i).and_then(Json::as_f64);
    Some((tenths(degrees(0)?), tenths(degrees(1)?)))
}

fn some_list<'a>(object: &'a Object, name: &str) -> Result<&'a [Json], Reason> {
    match object.get(name) {
        None | Some(Json::Null) => Ok(&[]),
        Some(Json::Array(list)) if list.len() <= MAX_LIST => Ok(list),
        Some(other) => {
            Err(format!("wrong_type: `{name}` is {}, expected a list of at most {MAX_LIST}", short(other)))
        }
    }
}

fn id(interner: &mut Interner, json: &Json, field: &str) -> Result<Sym, Reason> {
    match Id::deserialize(json) {
        Ok(id) => Ok(interner.rare(id.as_str())),
        Err(_) => Err(format!("wrong_type: `{field}` holds {}, expected identifiers", short(json))),
    }
}

fn names(interner: &mut Interner, object: &Object, field: &str) -> Result<Vec<Sym>, Reason> {
    some_list(object, field)?.iter().map(|json| id(interner, json, field)).collect()
}

fn plan(interner: &mut Interner, object: &Object) -> Result<Vec<FencePlan>, Reason> {
    let mut plan: Vec<FencePlan> = Vec::new();
    for item in some_list(object, "plan")? {
        let wrong = || {
            format!(
                "wrong_type: `plan` holds {}, expected {{\"vehicle\": id, \"from\": \"HH:MM\", \"to\": \"HH:MM\"}}",
                short(item)
            )
        };
        let second = |name: &str| {
            let minute = item.get(name).and_then(Json::as_str).and_then(minute_of_day).ok_or_else(wrong)?;
            Ok::<u32, Reason>(u32::from(minute) * MINUTE_S)
        };
        let vehicle = id(interner, item.get("vehicle").ok_or_else(wrong)?, "plan")?;
        let (from, to) = (second("from")?, second("to")?);
        if from >= DAY_S {
            return Err(wrong());
        }
        // An end that is not after the beginning is that of the next day.
        let to = if to > from { to } else { to + DAY_S };
        plan.push(FencePlan { vehicle, from, to });
    }
    // Two windows of one vehicle that share a moment would say the same thing twice.
    plan.sort_unstable_by_key(|plan| (plan.vehicle.0, plan.from));
    for (i, a) in plan.iter().enumerate() {
        for b in plan[i + 1..].iter().take_while(|b| b.vehicle == a.vehicle) {
            if b.from < a.to || a.from + DAY_S < b.to {
                return Err("invalid_plan: two windows of one vehicle in `plan` overlap".into());
            }
        }
    }
    Ok(plan)
}
