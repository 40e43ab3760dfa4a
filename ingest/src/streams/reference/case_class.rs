//! `case_class`: `limits`, an object of limits by source of reports, of which `default` speaks of all others. What is no
//! source is refused: its limit would never apply.

use model::Sym;
use model::reference::CaseClassRef;
use model::rows::{Limit, LimitUnit};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::streams::cases::{MAX_AMOUNT, SOURCES};
use crate::streams::fields::{Object, short};
use crate::streams::{Interner, Reason};

/// Any source that is not named.
const DEFAULT: &str = "default";

#[derive(Deserialize)]
struct Raw {
    amount: f64,
    unit: LimitUnit,
}

pub(super) fn parse(interner: &mut Interner, object: &Object) -> Result<CaseClassRef, Reason> {
    let limits = match object.get("limits") {
        None | Some(Json::Null) => return Ok(CaseClassRef::default()),
        Some(Json::Object(limits)) => limits,
        Some(other) => {
            return Err(format!(
                "wrong_type: `limits` is {}, expected an object of limits by source",
                short(other)
            ));
        }
    };
    let limit = |(source, limit): (&String, &Json)| {
        let expected =
            "expected {\"amount\": n, \"unit\": urgent_hour, working_hour, working_day or natural_day}";
        if source != DEFAULT && !SOURCES.contains(&source.as_str()) {
            return Err(format!(
                "out_of_range: `limits` names `{source}`, expected {DEFAULT} or one of {}",
                SOURCES.join(", ")
            ));
        }
        let raw = Raw::deserialize(limit)
            .map_err(|_| format!("wrong_type: `limits.{source}` is {}, {expected}", short(limit)))?;
        if !(raw.amount > 0.0 && raw.amount <= MAX_AMOUNT) {
            return Err(format!(
                "out_of_range: `limits.{source}.amount` is {}, expected more than 0, at most {MAX_AMOUNT}",
                raw.amount
            ));
        }
        let source = if source == DEFAULT { Sym::EMPTY } else { interner.rare(source) };
        Ok((source, Limit { amount: raw.amount, unit: raw.unit }))
    };
    Ok(CaseClassRef { limits: limits.iter().map(limit).collect::<Result<_, Reason>>()? })
}
