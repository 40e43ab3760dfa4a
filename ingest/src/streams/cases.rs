//! `cases`: events of cases, keyed by `case_id`.
//!
//! `case_id`, `ts`, `event`, and what that event carries: `reported` has `source`, `class`, `district`, `grid`, `lon`,
//! `lat`, `title` (all optional but `source`); `dispatched` has optional `department` and `limit` = {`amount`, `unit`};
//! `verified` has `passed`; `merged` has `into`; `rated` has `satisfaction` 1 to 5. `lon` and `lat` come together, in
//! `crs` if that is given. A case at (0, 0) is a case all the same: it is judged by its events and not by its place.

use model::rows::{Limit, LimitUnit};
use model::{CaseEvent, CaseEventKind as Event, LogPos, Row, StreamId, Sym};
use serde::Deserialize;

use super::fields::{Field, Id, Kind, Number, Text, Time, diagnose, optional, required, tenths, within};
use super::{Interner, Parsed, Reason, Stream, Times, geometry};

/// A decision may be dated back as far as it likes: the history of a case has no horizon.
pub(super) const STREAM: Stream = Stream { id: StreamId::Cases, parse, horizon: false, happened: true };

const FIELDS: &[Field] = &[
    required("case_id", Kind::Id),
    required("ts", Kind::Time),
    required("event", Kind::Text),
    optional("source", Kind::Text),
    optional("class", Kind::Id),
    optional("district", Kind::Id),
    optional("grid", Kind::Id),
    optional("lon", Kind::Number),
    optional("lat", Kind::Number),
    optional("crs", Kind::Text),
    optional("title", Kind::Text),
    optional("department", Kind::Id),
    optional("limit", Kind::Object),
    optional("passed", Kind::Bool),
    optional("into", Kind::Id),
    optional("satisfaction", Kind::Number),
    optional("appended_at", Kind::Time),
];

pub(super) const SOURCES: [&str; 6] = ["patrol", "hotline_12345", "public_app", "sensor", "video", "other"];
/// Longest limit, in its unit: more than a century of hours would be a mistake.
pub(super) const MAX_AMOUNT: f64 = 1e6;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    case_id: Id<'a>,
    ts: Time,
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    class: Option<Id<'a>>,
    #[serde(borrow)]
    district: Option<Id<'a>>,
    #[serde(borrow)]
    grid: Option<Id<'a>>,
    lon: Option<Number>,
    lat: Option<Number>,
    #[serde(borrow)]
    crs: Option<Text<'a>>,
    /// For people who read the log: no view has it, but what is no text is refused.
    #[serde(borrow, rename = "title")]
    _title: Option<Text<'a>>,
    #[serde(borrow)]
    caller: Option<Id<'a>>,
    #[serde(borrow)]
    department: Option<Id<'a>>,
    #[serde(borrow)]
    limit: Option<RawLimit<'a>>,
    passed: Option<bool>,
    #[serde(borrow)]
    into: Option<Id<'a>>,
    satisfaction: Option<Number>,
    appended_at: Option<Time>,
}

#[derive(Deserialize)]
struct RawLimit<'a> {
    amount: Option<Number>,
    #[serde(borrow)]
    unit: Option<Text<'a>>,
}

const EVENTS: &str = "reported, rejected, filed, dispatched, returned, extended, suspended, resumed, handled, verified, \
    closed, reopened, voided, appeal_granted, merged or rated";

fn parse(interner: &mut Interner, value: &[u8], pos: LogPos) -> Result<Parsed, Reason> {
    let record: Record<'_> = sonic_rs::from_slice(value).map_err(|e| diagnose(value, FIELDS, &e))?;
    // Of districts, classes and departments there are few; of callers and cases there are many.
    let mut name = |id: &Option<Id<'_>>| id.as_ref().map_or(Sym::EMPTY, |id| interner.frequent(id.as_str()));
    let missing = |field: &str| format!("missing_field: `{field}` is missing in event `{}`", record.event.0);
    let kind = match &*record.event.0 {
        "reported" => {
            let source = record.source.as_ref().map(|source| &*source.0).ok_or_else(|| missing("source"))?;
            if !SOURCES.contains(&source) {
                return Err(format!(
                    "out_of_range: `source` is `{source}`, expected one of {}",
                    SOURCES.join(", ")
                ));
            }
            let at = match (&record.lon, &record.lat) {
                (Some(lon), Some(lat)) => {
                    Some((within("lon", lon.0, -180.0..=180.0)?, within("lat", lat.0, -90.0..=90.0)?))
                }
                (None, None) => None,
                (None, Some(_)) => return Err(missing("lon")),
                (Some(_), None) => return Err(missing("lat")),
            };
            let crs = geometry::crs(record.crs.as_ref().map(|name| &*name.0))?;
            let at = at.map(|(lon, lat)| crs.to_wgs84(lon, lat)).map(|(lon, lat)| (tenths(lon), tenths(lat)));
            let (class, district, grid) = (name(&record.class), name(&record.district), name(&record.grid));
            let source = interner.frequent(source);
            let caller = record.caller.as_ref().map_or(Sym::EMPTY, |id| interner.rare(id.as_str()));
            Event::Reported { source, class, district, grid, caller, at }
        }
        "rejected" => Event::Rejected,
        "filed" => Event::Filed,
        "dispatched" => {
            let limit = record.limit.as_ref().map(limit).transpose()?;
            Event::Dispatched { department: name(&record.department), limit }
        }
        "returned" => Event::Returned,
        "extended" => Event::Extended,
        "suspended" => Event::Suspended,
        "resumed" => Event::Resumed,
        "handled" => Event::Handled,
        "verified" => Event::Verified { passed: record.passed.ok_or_else(|| missing("passed"))? },
        "closed" => Event::Closed,
        "reopened" => Event::Reopened,
        "voided" => Event::Voided,
        "appeal_granted" => Event::AppealGranted,
        "merged" => {
            let into = record.into.as_ref().ok_or_else(|| missing("into"))?;
            Event::Merged { into: interner.rare(into.as_str()) }
        }
        "rated" => {
            let n = record.satisfaction.ok_or_else(|| missing("satisfaction"))?.0;
            if n.fract() != 0.0 {
                return Err(format!("out_of_range: `satisfaction` is {n}, expected 1 to 5"));
            }
            Event::Rated { satisfaction: within("satisfaction", n, 1.0..=5.0)? as u8 }
        }
        other => return Err(format!("unknown_event: `event` is `{other}`, expected {EVENTS}")),
    };
    let case = interner.rare(record.case_id.as_str());
    let row = Row::Case(Box::new(CaseEvent { pos, case, ts: record.ts.0, kind }));
    let times = Times { ts: Some(record.ts.0), appended_at: record.appended_at.map(|time| time.0) };
    Ok(Parsed { row, times })
}

fn limit(limit: &RawLimit<'_>) -> Result<Limit, Reason> {
    let missing = |field: &str| format!("missing_field: `limit.{field}` is missing");
    let amount = within("limit.amount", limit.amount.ok_or_else(|| missing("amount"))?.0, 0.0..=MAX_AMOUNT)?;
    if amount <= 0.0 {
        return Err(format!("out_of_range: `limit.amount` is {amount}, expected more than 0"));
    }
    let unit = match &*limit.unit.as_ref().ok_or_else(|| missing("unit"))?.0 {
        "urgent_hour" => LimitUnit::UrgentHour,
        "working_hour" => LimitUnit::WorkingHour,
        "working_day" => LimitUnit::WorkingDay,
        "natural_day" => LimitUnit::NaturalDay,
        other => {
            let expected = "urgent_hour, working_hour, working_day or natural_day";
            return Err(format!("out_of_range: `limit.unit` is `{other}`, expected {expected}"));
        }
    };
    Ok(Limit { amount, unit })
}
