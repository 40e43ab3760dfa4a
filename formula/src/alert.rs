//! What the condition of an alert rule may name (`docs/rules.md`).
//!
//! The edge refuses a condition by this list, and the dataflow evaluates it by this list. Windows are `(t − span, t]` of
//! event time and hold the readings that count.

use std::sync::Arc;

use crate::{Literal, Reference, Scope, Type};

/// Longest window, ms: 31 days.
pub const MAX_WINDOW_MS: i64 = 31 * 24 * 3_600_000;

/// A statistic of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// The mean; missing without readings.
    Mean,
    /// The least; missing without readings.
    Min,
    /// The greatest; missing without readings.
    Max,
    /// The number of readings.
    Count,
    /// The slope of the least-squares line, units per minute; missing with fewer than two readings.
    Slope,
    /// The value now minus the value that held when the window began.
    Change,
}

impl Statistic {
    const ALL: [(&'static str, Self); 6] = [
        ("mean", Self::Mean),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("slope", Self::Slope),
        ("change", Self::Change),
    ];
}

/// Something that a condition names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// The latest reading that counts.
    Value,
    /// Seconds since the latest reading that counts.
    Age,
    /// Hour of the day in city time, 0 to 23.
    Hour,
    /// Day of the week, 1 = Monday.
    Weekday,
    /// The sensor's id.
    SensorId,
    /// Its kind.
    SensorKind,
    /// Its district.
    SensorDistrict,
    /// Its site.
    SensorSite,
    /// Its gateway.
    SensorGateway,
    /// `sensor.street`.
    SensorStreet,
    /// Its heartbeat, s.
    SensorHeartbeat,
    /// Whether it has this tag.
    Tag(Arc<str>),
    /// A statistic of the series over a window, ms.
    Window(Statistic, i64),
    /// The latest reading of another metric of the site.
    Site(Arc<str>),
}

/// Reads what `reference` means: `None` for a name that is not in the list.
pub fn named(reference: &Reference) -> Option<Result<(Named, Type), String>> {
    let name = reference.name.as_str();
    let variable = match name {
        "value" => Some((Named::Value, Type::Number)),
        "age" => Some((Named::Age, Type::Number)),
        "hour" => Some((Named::Hour, Type::Number)),
        "weekday" => Some((Named::Weekday, Type::Number)),
        "sensor.id" => Some((Named::SensorId, Type::Text)),
        "sensor.kind" => Some((Named::SensorKind, Type::Text)),
        "sensor.district" => Some((Named::SensorDistrict, Type::Text)),
        "sensor.site" => Some((Named::SensorSite, Type::Text)),
        "sensor.gateway" => Some((Named::SensorGateway, Type::Text)),
        "sensor.street" => Some((Named::SensorStreet, Type::Text)),
        "sensor.heartbeat_s" => Some((Named::SensorHeartbeat, Type::Number)),
        _ => None,
    };
    let arguments = reference.arguments.as_deref();
    if let Some(variable) = variable {
        return Some(match arguments {
            None => Ok(variable),
            Some(_) => Err(format!("`{name}` is a variable, not a function")),
        });
    }
    let statistic = Statistic::ALL.iter().find(|(known, _)| *known == name).map(|(_, statistic)| *statistic);
    match (name, statistic, arguments) {
        ("tag", _, Some([Literal::Text(tag)])) => Some(Ok((Named::Tag(Arc::clone(tag)), Type::Bool))),
        ("site", _, Some([Literal::Text(metric)])) if !metric.is_empty() => {
            Some(Ok((Named::Site(Arc::clone(metric)), Type::Number)))
        }
        ("tag" | "site", ..) => {
            Some(Err(format!("`{name}` takes one text, such as {name}(\"pump_current\")")))
        }
        (_, Some(statistic), Some([Literal::Text(window)])) => {
            Some(span_ms(window).map(|ms| (Named::Window(statistic, ms), Type::Number)))
        }
        // The least and the greatest of numbers are functions of every formula.
        (_, Some(Statistic::Min | Statistic::Max), _) => None,
        (_, Some(_), _) => Some(Err(format!("`{name}` takes a window, such as {name}(\"15m\")"))),
        _ => None,
    }
}

/// The scope of alert conditions.
#[derive(Clone, Copy, Debug)]
pub struct AlertScope;

impl Scope for AlertScope {
    fn resolve(&self, reference: &Reference) -> Option<Result<Type, String>> {
        named(reference).map(|found| found.map(|(_, ty)| ty))
    }

    fn names(&self) -> Vec<String> {
        let variables = ["value", "age", "hour", "weekday", "sensor.id", "sensor.kind", "sensor.district"];
        let more = ["sensor.site", "sensor.gateway", "sensor.heartbeat_s", "tag(text)", "site(metric)"];
        let windows = Statistic::ALL.iter().map(|(name, _)| format!("{name}(window)"));
        variables.into_iter().chain(more).map(str::to_owned).chain(windows).collect()
    }
}

/// A span such as `90s`, `15m`, `2h` or `14d`, in ms.
///
/// # Errors
/// When it is none, or longer than [`MAX_WINDOW_MS`].
pub fn span_ms(text: &str) -> Result<i64, String> {
    let wrong = || {
        format!(
            "`{text}` is no window, expected such as \"90s\", \"15m\", \"2h\" or \"14d\", at most 31 days"
        )
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let n: i64 = digits.parse().map_err(|_| wrong())?;
    n.checked_mul(unit).filter(|ms| (1..=MAX_WINDOW_MS).contains(ms)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Formula;

    #[test]
    fn conditions_name_the_series_the_sensor_and_its_site() {
        let text = "value > 15 && mean('15m') > min(1, max(\"1h\")) && site('pump_current') < 0.5 && tag('deep') \
                    && sensor.district == '610602' && age < 600 && hour >= 6";
        let formula = Formula::compile(text, Type::Bool, &AlertScope).unwrap();
        assert_eq!(formula.references().len(), 8);
        for (text, says) in [
            ("mean('15 minutes') > 1", "is no window"),
            ("mean(15) > 1", "takes a window"),
            ("count('40d') > 1", "at most 31 days"),
            ("site(1) > 1", "takes one text"),
            ("depth > 1", "there is no `depth`; there are value, age"),
        ] {
            let error = Formula::compile(text, Type::Bool, &AlertScope).expect_err(text);
            assert!(error.text.contains(says), "{text}: {error}");
        }
        assert_eq!((span_ms("90s"), span_ms("2h")), (Ok(90_000), Ok(7_200_000)));
        assert!(span_ms("s").is_err() && span_ms("0s").is_err() && span_ms("水").is_err());
    }
}
