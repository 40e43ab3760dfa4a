//! Reads `shift`: `start` and `end` as HH:MM of the city's day; an end at or before the start is of the next day.

use model::reference::shift::ShiftRef;
use serde::Deserialize;
use serde_json::Value as Json;

use super::super::Interner;
use super::super::fields::{Id, Object, short};
use super::{Reason, minute_of_day, text};

const DAY: u16 = 24 * 60;

pub(super) fn parse(interner: &mut Interner, object: &Object) -> Result<ShiftRef, Reason> {
    let minute = |name: &str| {
        let written =
            text(object, name)?.ok_or_else(|| format!("missing_field: `{name}` is missing in a shift"))?;
        minute_of_day(written).ok_or_else(|| format!("out_of_range: `{name}` is `{written}`, expected HH:MM"))
    };
    let (start, end) = (minute("start")?, minute("end")?);
    if start == DAY {
        return Err("out_of_range: `start` is `24:00`, expected 00:00 to 23:59".into());
    }
    let end = if end <= start { end + DAY } else { end };
    let fleets = match object.get("fleets") {
        None | Some(Json::Null) => Vec::new(),
        Some(fleets) => {
            let wrong =
                || format!("wrong_type: `fleets` is {}, expected a list of identifiers", short(fleets));
            let fleet = |fleet: &Json| match Id::deserialize(fleet) {
                Ok(id) => Ok(interner.rare(id.as_str())),
                Err(_) => Err(wrong()),
            };
            fleets.as_array().ok_or_else(wrong)?.iter().map(fleet).collect::<Result<_, Reason>>()?
        }
    };
    Ok(ShiftRef { start, end, fleets })
}
