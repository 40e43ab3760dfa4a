//! `sensors`: the latest reading of each metric of each sensor, and how the sensor is.
//!
//! **Meaning.** The value is that of the counted reading with the greatest event time, whatever order readings arrive
//! in. The state is *offline* while an offline rule is unmet, else *alarm* or *warning* by the worst live rule
//! whose episode lasts, else *normal*; it is *unknown* when it would be offline
//! if all of its partition were read, without a counted reading, or for a sensor that no reference
//! record describes and no rule judges.
//!
//! **Mechanism.** Kept by [`crate::series`], O(1) for a reading in order.
//!
//! **State.** One row per sensor and metric ever heard.

use model::reference::Severity;
use model::{Column, Sym, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};

use super::View;
use crate::operators::delta::Keyed;
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "sensors",
        zh: "传感器",
        doc: "The latest reading of each metric of each sensor, and how the sensor is.",
        key: 2,
        columns: &[
            Column::new("sensor_id", Type::Text, "传感器", "The sensor."),
            Column::new("metric", Type::Text, "指标", "What it measures."),
            Column::new("district", Type::Text, "区县", "From its reference record.").nullable(),
            Column::new("kind", Type::Text, "类型", "Sensor kind, from its reference record.").nullable(),
            Column::new("value", Type::Float, "数值", "The latest counted value, in the metric's unit.")
                .nullable(),
            Column::new("ts", Type::Time, "时间", "Event time of that reading."),
            Column::new("state", Type::Text, "状态", "normal, warning, alarm, offline or unknown."),
        ],
        bounded_by: "the number of (sensor, metric) pairs heard",
    },
    render: |context, id| context.publish(context.sensors.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// How a sensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SensorState {
    /// 正常.
    Normal,
    /// 预警.
    Warning,
    /// 报警.
    Alarm,
    /// 离线.
    Offline,
    /// 未知.
    Unknown,
}

impl SensorState {
    /// The state of a sensor that is described or not, has a counted reading or not, is silent or not, and whose worst
    /// lasting episode is `worst`.
    pub fn of(described: bool, counted: bool, silent: bool, worst: Option<Severity>) -> Self {
        match worst {
            _ if silent => Self::Offline,
            _ if !counted => Self::Unknown,
            Some(Severity::Severe) => Self::Alarm,
            Some(Severity::Warning) => Self::Warning,
            Some(Severity::Notice) => Self::Normal,
            None if described => Self::Normal,
            None => Self::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Warning => "warning",
            Self::Alarm => "alarm",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }
}

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SensorRow {
    /// The sensor.
    pub sensor: Sym,
    /// The metric.
    pub metric: Sym,
    /// Empty when unknown.
    pub district: Sym,
    /// Empty when unknown.
    pub kind: Sym,
    /// The latest counted value.
    pub value: Option<f64>,
    /// Its event time; that of the latest reading when none counts.
    pub ts: i64,
    /// How the sensor is.
    pub state: SensorState,
}

impl Keyed for SensorRow {
    type Key = (Sym, Sym);
    fn key(&self) -> (Sym, Sym) {
        (self.sensor, self.metric)
    }
}

impl ViewRow for SensorRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.sensor));
        out.push(Value::Name(self.metric));
        out.push(Value::name_or_null(self.district));
        out.push(Value::name_or_null(self.kind));
        out.push(self.value.map_or(Value::Null, Value::Float));
        out.push(Value::Int(self.ts));
        out.push(Value::Literal(self.state.name()));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::reference::Signal;
    use model::{Kind, Quality, Row, Sym, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::reference;

    /// Readings by (sensor, metric) and event time, the last in log order, of any quality.
    pub(crate) type Readings = BTreeMap<(Sym, Sym), BTreeMap<i64, (f64, Quality)>>;

    /// All readings bound up to `at`.
    pub(crate) fn readings(history: &History, at: Tick) -> Readings {
        let mut all: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (_, row) in history.until(at) {
            if let Row::Reading(r) = row {
                all.entry((r.sensor, r.metric)).or_default().insert(r.ts, (r.value, r.quality));
            }
        }
        all
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let sensors = reference::oracle::typed(history, at, Kind::Sensor);
        let rules = reference::oracle::typed(history, at, Kind::Rule);
        let of_site = |rule: Sym| match &rules[&rule] {
            Typed::Rule(rule) => crate::series::oracle::names_site(rule),
            _ => false,
        };
        let lasting: Vec<_> = crate::series::oracle::episodes(history, at)
            .into_iter()
            .filter(|episode| episode.cleared_ts.is_none() && !episode.shadow && !of_site(episode.rule))
            .collect();
        let mut rows = Vec::new();
        let clock = crate::series::oracle::clock(history, at);
        let all = readings(history, at);
        for ((sensor, metric), by_time) in readings(history, at) {
            let known = match sensors.get(&sensor) {
                Some(Typed::Sensor(known)) => Some(known),
                _ => None,
            };
            let counted = by_time.iter().rev().find(|(_, (_, quality))| *quality != Quality::Bad);
            let mine = |metric: Sym| lasting.iter().filter(move |e| e.sensor == sensor && e.metric == metric);
            let worst = mine(metric).map(|episode| episode.severity.name()).collect::<Vec<_>>();
            // Silent for longer than some live rule allows, by the clock of the city but not by that of the log.
            let heard =
                all.keys().filter(|(is, _)| *is == sensor).filter_map(|key| all[key].keys().next_back());
            let heard = *heard.max().unwrap();
            let unsure = rules.values().any(|rule| {
                let Typed::Rule(rule) = rule else { return false };
                let Signal::Offline { heartbeats } = rule.signal else { return false };
                let selected = crate::series::rules::selects(&rule.selector, known);
                let limit =
                    known.and_then(|known| known.heartbeat_s).map(|s| (s * heartbeats * 1000.0) as i64);
                let silent = |limit: i64| at as i64 - heard > limit && clock - heard <= limit;
                rule.enabled && rule.shadow_of == Sym::EMPTY && selected && limit.is_some_and(silent)
            });
            let state = if mine(Sym::EMPTY).next().is_some() {
                "offline"
            } else if unsure || counted.is_none() {
                "unknown"
            } else if worst.contains(&"severe") {
                "alarm"
            } else if worst.contains(&"warning") {
                "warning"
            } else if known.is_some() || worst.contains(&"notice") {
                "normal"
            } else {
                "unknown"
            };
            rows.push(json!({
                "sensor_id": history.name(sensor),
                "metric": history.name(metric),
                "district": known.map_or(Json::Null, |known| history.name_or_null(known.district)),
                "kind": known.map_or(Json::Null, |known| history.name_or_null(known.kind)),
                "value": counted.map(|(_, (value, _))| value),
                "ts": counted.map_or(by_time.keys().next_back(), |(ts, _)| Some(ts)),
                "state": state,
            }));
        }
        rows
    }
}
