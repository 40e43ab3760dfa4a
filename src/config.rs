//! The configuration: defaults < file < environment < flags, and an unknown key is an error that suggests a known one.
//!
//! A key `section.name` is `section.name` in the file (TOML), `CHENGMAI_SECTION_NAME` in the environment and
//! `--set section.name=value` on the command line. What a key means is written at its field below; `chengmai check`
//! prints the whole configuration in force.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::{Error, PeriodKind, Result, TickLength};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where things are kept.
    pub data: Data,
    /// The log.
    pub log: Log,
    /// The dataflow.
    pub engine: Engine,
    /// Which statistics of cases are kept.
    pub statistics: Statistics,
    /// The history.
    pub clickhouse: ClickHouse,
    /// The API and the screens.
    pub api: Api,
    /// Who is told of incidents.
    pub webhook: Webhook,
    /// The simulated city (`simulate` and `demo`).
    pub simulate: Simulate,
}

/// Who is told of incidents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Address that incidents are posted to; empty = nobody is told.
    pub url: String,
    /// The secret that signs them, shared with the receiver.
    pub secret: String,
}

/// Where things are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Folder of the local log, the embedded ClickHouse and the token secret.
    pub folder: PathBuf,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `local` (embedded, under the data folder) or `kafka`.
    pub kind: LogKind,
    /// Kafka's bootstrap servers, comma separated.
    pub brokers: String,
    /// Prefix of topic names.
    pub prefix: String,
    /// Partitions of a topic that is created.
    pub partitions: u16,
    /// Further settings for the Kafka client, such as `security.protocol`.
    pub kafka: std::collections::BTreeMap<String, String>,
}

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// Embedded.
    Local,
    /// Apache Kafka.
    Kafka,
}

/// The dataflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// The views that run, separated by commas; empty = those that run unless others are asked for. `rejects` always
    /// does, for the topic of rejected records is written from it.
    pub views: String,
    /// Worker threads.
    pub workers: usize,
    /// Distance between ticks, ms.
    pub tick_ms: u64,
    /// Records a tick may bind.
    pub max_records_per_tick: usize,
    /// Records older than T by more than this are not applied but kept in the late ledger, ms.
    pub horizon_ms: i64,
    /// A record older than its tick by more than this is counted as late, ms.
    pub late_after_ms: i64,
    /// Width of sensor windows, ms.
    pub window_ms: i64,
    /// Distance between their starts, ms.
    pub window_step_ms: i64,
    /// Sensor windows are kept this long after their end, ms.
    pub window_retention_ms: i64,
    /// Alerts are kept this long after they ended, ms.
    pub alert_retention_ms: i64,
    /// Rejects and late records are kept this long, ms.
    pub refused_retention_ms: i64,
    /// A vehicle without a fix for longer is offline, ms.
    pub vehicle_offline_ms: i64,
    /// Between two fixes further apart than this nothing counts as swept.
    pub cover_hole_ms: i64,
    /// What was swept is kept this long after the end of its shift.
    pub coverage_retention_ms: i64,
    /// Silence of a vehicle that ends its trip, ms.
    pub trip_gap_ms: i64,
    /// Rest of at least this long is a stop, ms.
    pub stop_ms: i64,
    /// How far a fix may be from the truth, m: the margin of fences that name none.
    pub fix_accuracy_m: f64,
    /// Speed limit where neither a fence nor the vehicle's record names one, km/h.
    pub speed_limit_kmh: f64,
    /// Trips, stops and events at fences are kept this long after they ended, ms.
    pub journey_retention_ms: i64,
    /// Fixes are in `tracks` this long after their event time, ms.
    pub track_retention_ms: i64,
    /// City time minus UTC, minutes (Asia/Shanghai: 480).
    pub utc_offset_min: i32,
}

/// Kinds of periods, separated by commas, for which `case_rates` holds each kind of scope: day, week, month, quarter,
/// year, rolling (which needs day), all. Nothing is kept of a scope without kinds. Scores and their indicators are made
/// of these statistics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Statistics {
    /// The city.
    pub city: String,
    /// Each district.
    pub district: String,
    /// Each department.
    pub department: String,
    /// Each unit grid.
    pub grid: String,
    /// Each class of cases.
    pub class: String,
    /// Each source of reports.
    pub channel: String,
    /// Each post of the operations room.
    pub post: String,
}

/// The history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickHouse {
    /// `embedded`, `external` or `off`.
    pub mode: ClickHouseMode,
    /// Where libchdb.so is (`embedded`); `make clickhouse` puts it there.
    pub library: PathBuf,
    /// HTTP address of the server (`external`).
    pub url: String,
    /// User (`external`).
    pub user: String,
    /// Password (`external`).
    pub password: String,
    /// Database.
    pub database: String,
    /// Batches are cut on this grid of ticks, ms; a multiple of the tick length.
    pub grid_ms: u64,
    /// History older than this is deleted, days.
    pub ttl_days: u32,
}

/// Which ClickHouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClickHouseMode {
    /// Our own child process.
    Embedded,
    /// A server that is there.
    External,
    /// No history.
    Off,
}

/// The API and the screens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Address to listen on. Reading is open on loopback only; elsewhere it needs a token.
    pub listen: SocketAddr,
    /// Folder of the built screens.
    pub dashboards: PathBuf,
}

/// The simulated city.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Simulate {
    /// The same seed gives the same city.
    pub seed: u64,
    /// Vehicles.
    pub vehicles: u32,
    /// Sensors.
    pub sensors: u32,
    /// New cases an hour.
    pub cases_per_hour: f64,
    /// Share of records that are late, duplicate, jumping, garbage …, 0..1.
    pub dirt: f64,
    /// Multiplies how often vehicles and sensors report.
    pub rate: f64,
}

impl Default for Data {
    fn default() -> Self {
        Self { folder: "data".into() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            kind: LogKind::Local,
            brokers: "127.0.0.1:9092".into(),
            prefix: "city.".into(),
            partitions: 4,
            kafka: Default::default(),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        let dataflow = dataflow::Settings::default();
        let limits = ingest::streams::Limits::default();
        Self {
            views: String::new(),
            workers: 1,
            tick_ms: model::tick::DEFAULT_TICK_MS,
            max_records_per_tick: 100_000,
            horizon_ms: dataflow.horizon_ms.unwrap_or(i64::MAX),
            late_after_ms: limits.late_after_ms,
            window_ms: dataflow.window_ms,
            window_step_ms: dataflow.window_step_ms,
            window_retention_ms: dataflow.window_retention_ms.unwrap_or(i64::MAX),
            alert_retention_ms: dataflow.alert_retention_ms.unwrap_or(i64::MAX),
            refused_retention_ms: dataflow.refused_retention_ms.unwrap_or(i64::MAX),
            vehicle_offline_ms: dataflow.vehicle_offline_ms,
            cover_hole_ms: dataflow.cover_hole_ms,
            coverage_retention_ms: dataflow.coverage_retention_ms.unwrap_or(i64::MAX),
            trip_gap_ms: dataflow.journeys.gap_ms,
            stop_ms: dataflow.journeys.stop_ms,
            fix_accuracy_m: dataflow.journeys.accuracy_m,
            speed_limit_kmh: dataflow.journeys.speed_limit_kmh,
            journey_retention_ms: dataflow.journey_retention_ms.unwrap_or(i64::MAX),
            track_retention_ms: dataflow.track_retention_ms.unwrap_or(i64::MAX),
            utc_offset_min: dataflow.utc_offset_min,
        }
    }
}

impl Default for Statistics {
    fn default() -> Self {
        let of = dataflow::settings::Statistics::default();
        let names =
            |kinds: Vec<PeriodKind>| kinds.into_iter().map(PeriodKind::name).collect::<Vec<_>>().join(",");
        Self {
            city: names(of.city),
            district: names(of.district),
            department: names(of.department),
            grid: names(of.grid),
            class: names(of.class),
            channel: names(of.channel),
            post: names(of.post),
        }
    }
}

impl Statistics {
    /// The same for the dataflow.
    fn kinds(&self) -> Result<dataflow::settings::Statistics> {
        let of = |key: &str, text: &str| {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            let kinds: Option<Vec<PeriodKind>> = names.map(PeriodKind::from_name).collect();
            kinds
                .filter(|kinds| !kinds.contains(&PeriodKind::Rolling) || kinds.contains(&PeriodKind::Day))
                .ok_or_else(|| {
                    Error::user(format!(
                        "statistics.{key} = {text}: expected some of day, week, month, quarter, year, rolling (which \
                         needs day), all, separated by commas"
                    ))
                })
        };
        Ok(dataflow::settings::Statistics {
            city: of("city", &self.city)?,
            district: of("district", &self.district)?,
            department: of("department", &self.department)?,
            grid: of("grid", &self.grid)?,
            class: of("class", &self.class)?,
            channel: of("channel", &self.channel)?,
            post: of("post", &self.post)?,
        })
    }
}

impl Default for ClickHouse {
    fn default() -> Self {
        Self {
            mode: ClickHouseMode::Embedded,
            library: ".cache/clickhouse/26.7/libchdb.so".into(),
            url: "http://127.0.0.1:8123".into(),
            user: "default".into(),
            password: String::new(),
            database: "chengmai".into(),
            grid_ms: 1000,
            ttl_days: 400,
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), dashboards: "dashboards/dist".into() }
    }
}

impl Default for Simulate {
    fn default() -> Self {
        Self { seed: 1, vehicles: 180, sensors: 260, cases_per_hour: 120.0, dirt: 0.01, rate: 1.0 }
    }
}

impl Config {
    /// The configuration in force: `file` if given, the environment, and `sets` (`section.key=value`) on top.
    ///
    /// # Errors
    /// A user error that names the key, its value, where it comes from and what was expected.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Config> {
        let mut table = Table::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Error::user(format!("{}: cannot be read", path.display())).caused_by(e))?;
            let given: Table = text.parse().map_err(|e: toml::de::Error| {
                Error::user(format!("{}: not TOML", path.display())).caused_by(e)
            })?;
            let place = path.display().to_string();
            known_keys(&given, &place)?;
            merge(&mut table, given);
        }
        for (name, value) in std::env::vars().filter(|(name, _)| name.starts_with("CHENGMAI_")) {
            let lower = name["CHENGMAI_".len()..].to_lowercase();
            // Variables of other parts of the program share the prefix; a section is what makes one ours.
            let Some((section, key)) =
                lower.split_once('_').filter(|(section, _)| defaults().contains_key(*section))
            else {
                continue;
            };
            set(&mut table, section, key, &value, &name)?;
        }
        for assignment in sets {
            let parts =
                assignment.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
            let Some(((section, key), value)) = parts else {
                return Err(Error::user(format!("--set {assignment}: expected section.key=value")));
            };
            set(&mut table, section, key, value, &format!("--set {assignment}"))?;
        }
        let config: Config =
            Value::Table(table).try_into().map_err(|e| Error::user("configuration").caused_by(e))?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<()> {
        let wrong = |key: &str, value: String, expected: &str| {
            Err(Error::user(format!("{key} = {value}: expected {expected}")))
        };
        let engine = &self.engine;
        if engine.workers == 0 || engine.workers > 256 {
            return wrong("engine.workers", engine.workers.to_string(), "1 to 256");
        }
        if engine.tick_ms == 0 || engine.tick_ms > 60_000 {
            return wrong("engine.tick_ms", engine.tick_ms.to_string(), "1 to 60000");
        }
        if engine.window_step_ms <= 0
            || engine.window_ms <= 0
            || engine.window_ms % engine.window_step_ms != 0
        {
            return wrong(
                "engine.window_ms",
                engine.window_ms.to_string(),
                "a multiple of engine.window_step_ms",
            );
        }
        for (key, value) in [("trip_gap_ms", engine.trip_gap_ms), ("stop_ms", engine.stop_ms)] {
            if value <= 0 {
                return wrong(&format!("engine.{key}"), value.to_string(), "more than 0");
            }
        }
        for (key, value) in
            [("fix_accuracy_m", engine.fix_accuracy_m), ("speed_limit_kmh", engine.speed_limit_kmh)]
        {
            if !(value > 0.0 && value <= 1000.0) {
                return wrong(&format!("engine.{key}"), value.to_string(), "more than 0, at most 1000");
            }
        }
        for (key, value) in [
            ("journey_retention_ms", engine.journey_retention_ms),
            ("track_retention_ms", engine.track_retention_ms),
        ] {
            if value < 0 {
                return wrong(&format!("engine.{key}"), value.to_string(), "at least 0");
            }
        }
        self.statistics.kinds()?;
        if self.clickhouse.grid_ms == 0 || !self.clickhouse.grid_ms.is_multiple_of(engine.tick_ms) {
            return wrong(
                "clickhouse.grid_ms",
                self.clickhouse.grid_ms.to_string(),
                "a multiple of engine.tick_ms",
            );
        }
        if !self.webhook.url.is_empty() && self.webhook.secret.is_empty() {
            return wrong("webhook.secret", "\"\"".into(), "a secret shared with the receiver");
        }
        if self.log.partitions == 0 {
            return wrong("log.partitions", "0".into(), "at least 1");
        }
        if !(0.0..=0.5).contains(&self.simulate.dirt) {
            return wrong("simulate.dirt", self.simulate.dirt.to_string(), "a share from 0 to 0.5");
        }
        Ok(())
    }

    /// Distance between ticks.
    pub fn tick(&self) -> TickLength {
        TickLength::from_millis(self.engine.tick_ms).unwrap_or_default()
    }

    /// The views that are asked for.
    fn views(&self) -> Option<Vec<String>> {
        let names = self.engine.views.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        if names.is_empty() {
            return None;
        }
        names.push("rejects".to_owned());
        Some(names)
    }

    /// Settings of the dataflow.
    pub fn dataflow(&self) -> dataflow::Settings {
        let engine = &self.engine;
        dataflow::Settings {
            tick: self.tick(),
            views: self.views(),
            topic_prefix: self.log.prefix.clone(),
            horizon_ms: Some(engine.horizon_ms),
            window_ms: engine.window_ms,
            window_step_ms: engine.window_step_ms,
            window_retention_ms: Some(engine.window_retention_ms),
            alert_retention_ms: Some(engine.alert_retention_ms),
            refused_retention_ms: Some(engine.refused_retention_ms),
            vehicle_offline_ms: engine.vehicle_offline_ms,
            cover_hole_ms: engine.cover_hole_ms,
            coverage_retention_ms: Some(engine.coverage_retention_ms),
            journeys: dataflow::JourneyParams {
                gap_ms: engine.trip_gap_ms,
                stop_ms: engine.stop_ms,
                accuracy_m: engine.fix_accuracy_m,
                speed_limit_kmh: engine.speed_limit_kmh,
                utc_offset_min: engine.utc_offset_min,
                ..dataflow::JourneyParams::default()
            },
            journey_retention_ms: Some(engine.journey_retention_ms),
            track_retention_ms: Some(engine.track_retention_ms),
            utc_offset_min: engine.utc_offset_min,
            // Checked when the configuration was read.
            statistics: self.statistics.kinds().unwrap_or_default(),
            ..dataflow::Settings::default()
        }
    }

    /// Limits of the edge.
    pub fn limits(&self) -> ingest::streams::Limits {
        ingest::streams::Limits {
            horizon_ms: Some(self.engine.horizon_ms),
            late_after_ms: self.engine.late_after_ms,
            ..ingest::streams::Limits::default()
        }
    }
}

fn defaults() -> Table {
    match Value::try_from(Config::default()) {
        Ok(Value::Table(table)) => table,
        _ => Table::new(),
    }
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn unknown(place: &str, what: &str, known: &Table) -> Error {
    let near =
        known.keys().max_by(|a, b| strsim::jaro_winkler(a, what).total_cmp(&strsim::jaro_winkler(b, what)));
    let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    Error::user(format!("{place}: unknown key `{what}`{hint}"))
}

fn known_keys(given: &Table, place: &str) -> Result<()> {
    let known = defaults();
    for (section, value) in given {
        let Some(Value::Table(keys)) = known.get(section) else {
            return Err(unknown(place, section, &known));
        };
        let Value::Table(value) = value else {
            return Err(Error::user(format!("{place}: `{section}` is a section, not a value")));
        };
        if let Some(key) = value.keys().find(|key| !keys.contains_key(*key)) {
            return Err(unknown(&format!("{place}, section {section}"), key, keys));
        }
    }
    Ok(())
}

/// Sets a key from text, which takes the type of the key's default.
fn set(table: &mut Table, section: &str, key: &str, text: &str, place: &str) -> Result<()> {
    let known = defaults();
    let Some(Value::Table(keys)) = known.get(section) else { return Err(unknown(place, section, &known)) };
    let Some(default) = keys.get(key) else { return Err(unknown(place, key, keys)) };
    let wrong = |what: &str| Error::user(format!("{place}: `{text}` is not {what}"));
    let value = match default {
        Value::Integer(_) => Value::Integer(text.parse().map_err(|_| wrong("an integer"))?),
        Value::Float(_) => Value::Float(text.parse().map_err(|_| wrong("a number"))?),
        Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| wrong("true or false"))?),
        Value::String(_) => Value::String(text.to_owned()),
        _ => return Err(Error::user(format!("{place}: `{section}.{key}` can only be set in a file"))),
    };
    let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(entry) = entry {
        entry.insert(key.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::PeriodKind;

    use super::Config;

    fn load(file: &str, sets: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chengmai.toml");
        std::fs::write(&path, file).unwrap();
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::load(Some(&path), &sets).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let config =
            load("[engine]\nworkers = 2\ntick_ms = 100\n", &["engine.tick_ms=500", "log.kind=kafka"])
                .unwrap();
        assert_eq!((config.engine.workers, config.engine.tick_ms), (2, 500));
        assert_eq!(config.log.kind, super::LogKind::Kafka);
        assert_eq!(config.clickhouse, Config::default().clickhouse);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_suggests_a_known_one() {
        let error = load("[engine]\nworker = 2\n", &[]).unwrap_err();
        assert!(error.contains("section engine: unknown key `worker`, did you mean `workers`?"), "{error}");
        let error = load("[engin]\n", &[]).unwrap_err();
        assert!(error.contains("unknown key `engin`, did you mean `engine`?"), "{error}");
        let error = load("", &["api.listn=1"]).unwrap_err();
        assert!(error.contains("did you mean `listen`?"), "{error}");
    }

    #[test]
    fn statistics_are_kinds_of_periods() {
        let config = load("[statistics]\ngrid = \"month, all\"\n", &["statistics.post="]).unwrap();
        let kept = config.dataflow().statistics;
        assert_eq!((kept.grid, kept.post), (vec![PeriodKind::Month, PeriodKind::All], vec![]));
        assert_eq!(kept.city, dataflow::settings::Statistics::default().city);
        let error = load("", &["statistics.city=day,fortnight"]).unwrap_err();
        assert!(error.contains("statistics.city = day,fortnight: expected some of day, week"), "{error}");
        let error = load("", &["statistics.class=rolling"]).unwrap_err();
        assert!(error.contains("rolling (which needs day)"), "{error}");
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        assert!(load("", &["engine.workers=many"]).unwrap_err().contains("`many` is not an integer"));
        assert!(
            load("", &["engine.workers=0"]).unwrap_err().contains("engine.workers = 0: expected 1 to 256")
        );
        assert!(load("", &["clickhouse.grid_ms=300"]).unwrap_err().contains("a multiple of engine.tick_ms"));
        assert!(load("[log]\nkind = \"pulsar\"\n", &[]).unwrap_err().contains("pulsar"));
    }
}
