//! Reads `road`: a LineString, and a plan of shifts and passes, each with a window of time if that is narrower.

use model::reference::road::{PlanRef, RoadRef};
use serde_json::Value as Json;

use super::super::Interner;
use super::super::fields::{Object, short, tenths};
use super::{Reason, minute_of_day, name, text};

/// More passes than this in one shift are a mistake.
const MOST_PASSES: u64 = 1000;

pub(super) fn parse(interner: &mut Interner, object: &Object) -> Result<RoadRef, Reason> {
    let oneway = match object.get("oneway") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(oneway)) => *oneway,
        Some(other) => {
            return Err(format!("wrong_type: `oneway` is {}, expected true or false", short(other)));
        }
    };
    Ok(RoadRef {
        district: name(interner, object, "district")?,
        grade: name(interner, object, "grade")?,
        points: points(object)?,
        oneway,
        plan: plan(interner, object)?,
    })
}

fn points(object: &Object) -> Result<Vec<(i32, i32)>, Reason> {
    let Some(geometry) = object.get("geometry").filter(|geometry| !geometry.is_null()) else {
        return Ok(Vec::new());
    };
    let kind = geometry.get("type").and_then(Json::as_str).unwrap_or("");
    let line = geometry.get("coordinates").and_then(Json::as_array).filter(|_| kind == "LineString");
    let line =
        line.ok_or_else(|| format!("invalid_geometry: a road is a `{kind}`, expected a LineString"))?;
    let point = |position: &Json| {
        let degrees = |i: usize| position.get(i).and_then(Json::as_f64);
        match (degrees(0), degrees(1)) {
            (Some(lon), Some(lat)) => Ok((tenths(lon), tenths(lat))),
            _ => Err(format!("invalid_geometry: {} is not a position", short(position))),
        }
    };
    let mut points = line.iter().map(point).collect::<Result<Vec<_>, Reason>>()?;
    points.dedup();
    if points.len() < 2 {
        return Err("invalid_geometry: a road has two different positions at least".into());
    }
    Ok(points)
}

fn plan(interner: &mut Interner, object: &Object) -> Result<Vec<PlanRef>, Reason> {
    let Some(plan) = object.get("plan").filter(|plan| !plan.is_null()) else { return Ok(Vec::new()) };
    let wrong = || {
        format!(
            "wrong_type: `plan` is {}, expected [{{\"shift\", \"passes\", \"from\", \"by\"}}, …]",
            short(plan)
        )
    };
    let mut entries: Vec<PlanRef> = Vec::new();
    for entry in plan.as_array().ok_or_else(wrong)? {
        let entry = entry.as_object().ok_or_else(wrong)?;
        if entry.get("shift").is_none_or(Json::is_null) {
            return Err("missing_field: `plan.shift` is missing".into());
        }
        let shift = name(interner, entry, "shift")?;
        let passes = match entry.get("passes") {
            None | Some(Json::Null) => 1,
            Some(passes) => passes.as_u64().filter(|passes| *passes <= MOST_PASSES).ok_or_else(|| {
                format!("out_of_range: `plan.passes` is {}, expected 0 to {MOST_PASSES}", short(passes))
            })?,
        };
        let minute = |field: &str| match text(entry, field)? {
            None => Ok(None),
            Some(written) => minute_of_day(written)
                .map(Some)
                .ok_or_else(|| format!("out_of_range: `plan.{field}` is `{written}`, expected HH:MM")),
        };
        let (from, by) = (minute("from")?, minute("by")?);
        if entries.iter().any(|entry| entry.shift == shift) {
            return Err("duplicate_field: a shift is in `plan` twice".into());
        }
        if let Some(passes) = u32::try_from(passes).ok().filter(|passes| *passes > 0) {
            entries.push(PlanRef { shift, passes, from, by });
        }
    }
    Ok(entries)
}
