//! The city as its users see it: reproducible, well formed, as dirty as configured, and plausible.

#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use model::StreamId;
use serde_json::Value;
use simulate::{City, Config, Dirt};

type Line = (StreamId, String, Vec<u8>, i64);

const MINUTE: i64 = 60_000;

fn small() -> Config {
    Config {
        seed: 7,
        vehicles: 39,
        sensors: 200,
        roads: 60,
        residences: 30,
        parks: 20,
        cases_per_hour: 60.0,
        dirt: Dirt::NONE,
        ..Config::default()
    }
}

fn run(config: Config, minutes: i64) -> Vec<Line> {
    let start = config.start_ms;
    let mut city = City::new(config).unwrap();
    let mut lines = Vec::new();
    advance(&mut city, start + minutes * MINUTE, &mut lines);
    lines
}

fn advance(city: &mut City, to: i64, lines: &mut Vec<Line>) {
    city.advance_to(to, &mut |stream, key, json, at| lines.push((stream, key.to_owned(), json.to_vec(), at)));
}

fn parse(line: &Line) -> Value {
    serde_json::from_slice(&line.2).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&line.2)))
}

fn dirty(dirt: Dirt) -> Config {
    Config { dirt, ..small() }
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_whatever_steps_time_goes() {
    let config = Config { dirt: Dirt { late: 0.05, garbage: 0.01, ..Dirt::default() }, ..small() };
    let whole = run(config.clone(), 40);
    let mut city = City::new(config.clone()).unwrap();
    let mut steps = Vec::new();
    let mut now = config.start_ms - MINUTE;
    let end = config.start_ms + 40 * MINUTE;
    while now < end {
        now = (now + 7_777).min(end);
        advance(&mut city, now, &mut steps);
        advance(&mut city, now - 1000, &mut steps);
        assert!(city.next_due_ms().unwrap() > now);
    }
    assert!(whole == steps, "{} and {} lines", whole.len(), steps.len());
    let other = run(Config { seed: 8, ..config.clone() }, 40);
    assert!(whole != other);
    let reference = |config: &Config| City::new(config.clone()).unwrap().reference().collect::<Vec<_>>();
    assert_eq!(reference(&config), reference(&config));
    assert_ne!(reference(&config), reference(&Config { seed: 8, ..config }));
}

#[test]
fn records_come_in_order_of_append_time_and_not_before_the_start() {
    let config = dirty(Dirt { late: 0.1, duplicate: 0.1, ..Dirt::NONE });
    let lines = run(config.clone(), 60);
    assert!(lines.is_sorted_by_key(|line| line.3));
    assert!(lines.first().unwrap().3 >= config.start_ms);
    assert!(lines.last().unwrap().3 <= config.start_ms + 60 * MINUTE);
}

#[test]
fn one_entity_more_changes_no_other() {
    let with = |sensors| {
        run(Config { sensors, cases_per_hour: 0.0, ..small() }, 20)
            .into_iter()
            .filter(|line| line.0 == StreamId::Positions)
            .collect::<Vec<_>>()
    };
    assert!(with(200) == with(230));
}

#[test]
fn every_clean_record_has_the_fields_of_the_contract() {
    let lines = run(small(), 60);
    let mut seen = BTreeMap::<&str, usize>::new();
    for line in &lines {
        let record = parse(line);
        let (stream, key, _, at) = line;
        *seen.entry(stream.name()).or_default() += 1;
        assert!(line.2.len() <= 250 && !line.2.contains(&b'\n'), "{record}");
        let ts = record["ts"].as_i64().unwrap();
        assert!(ts <= *at, "{record}");
        match stream {
            StreamId::Telemetry => {
                assert_eq!(record["sensor_id"], key.as_str());
                assert!(record["metric"].is_string() && record["value"].as_f64().unwrap().is_finite());
                assert!(at - ts < 1000);
            }
            StreamId::Positions => {
                assert_eq!(record["vehicle_id"], key.as_str());
                assert!((107.0..111.0).contains(&record["lon"].as_f64().unwrap()), "{record}");
                assert!((35.0..38.0).contains(&record["lat"].as_f64().unwrap()), "{record}");
                assert!((0.0..45.0).contains(&record["speed"].as_f64().unwrap()));
                assert!((0..360).contains(&record["heading"].as_i64().unwrap()));
                assert!(record["working"].is_boolean() && record["mileage"].is_number());
                assert!((4..=16).contains(&record["satellites"].as_i64().unwrap()));
                assert!(at - ts < 1000);
            }
            StreamId::Cases => {
                assert_eq!(record["case_id"], key.as_str());
                if record["event"] == "reported" {
                    assert!(record["class"].as_str().unwrap().contains(':'));
                    assert_eq!(record["grid"].as_str().unwrap().len(), 15);
                    assert!(record["title"].is_string() && record["source"].is_string());
                    assert!(record["lon"].is_number() && record["lat"].is_number());
                }
            }
            other => panic!("{other:?} is not simulated"),
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn reference_records_are_whole_and_name_what_exists() {
    let city = City::new(small()).unwrap();
    let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
    let records: Vec<(String, Value)> =
        city.reference().map(|(key, json)| (key, serde_json::from_str(&json).unwrap())).collect();
    for (key, record) in &records {
        let (kind, id) = (record["kind"].as_str().unwrap(), record["id"].as_str().unwrap());
        assert!(model::Kind::from_name(kind).is_some(), "{kind}");
        assert_eq!(*key, format!("{kind}/{id}"));
        assert!(ids.entry(kind.to_owned()).or_default().insert(id.to_owned()), "{key} twice");
    }
    let count = |kind: &str| ids[kind].len();
    assert_eq!(
        [
            count("district"),
            count("road"),
            count("vehicle"),
            count("sensor"),
            count("park"),
            count("residence")
        ],
        [13, 60, 39, 200, 20, 30]
    );
    assert_eq!([count("fleet"), count("shift"), count("fence")], [2, 2, 13]);
    for (key, record) in &records {
        for (field, kind) in [("district", "district"), ("fleet", "fleet"), ("department", "department")] {
            if let Some(id) = record.get(field) {
                assert!(ids[kind].contains(id.as_str().unwrap()), "{key} names {id}");
            }
        }
        let need: &[&str] = match record["kind"].as_str().unwrap() {
            "district" => &["name", "geometry", "population", "area_km2"],
            "sensor" => {
                &["sensor_kind", "district", "name", "lon", "lat", "heartbeat_s", "site", "gateway", "tags"]
            }
            "vehicle" => &["plate", "fleet", "district", "vehicle_kind", "swath_m", "working_speed"],
            "road" => {
                &["name", "district", "grade", "geometry", "width_m", "lanes", "oneway", "plan", "schematic"]
            }
            "park" => {
                &["name", "district", "class", "status", "area_m2", "geometry", "entrances", "historic"]
            }
            "residence" => &["district", "population", "geometry", "area_m2"],
            "shift" => &["start", "end", "fleets"],
            "grid" | "fence" | "walkway" => &["geometry"],
            _ => &["name"],
        };
        for field in need {
            assert!(!record[*field].is_null(), "{key} lacks {field}");
        }
    }
    // What the events name exists too.
    for line in run(small(), 30) {
        let record = parse(&line);
        match line.0 {
            StreamId::Telemetry => assert!(ids["sensor"].contains(&line.1)),
            StreamId::Positions => assert!(ids["vehicle"].contains(&line.1)),
            _ => {
                for (field, kind) in [
                    ("class", "case_class"),
                    ("grid", "grid"),
                    ("district", "district"),
                    ("department", "department"),
                ] {
                    if let Some(id) = record[field].as_str() {
                        assert!(ids[kind].contains(id), "{record}");
                    }
                }
            }
        }
    }
}

#[test]
fn rates_are_as_configured() {
    let config = Config { cases_per_hour: 600.0, case_history_h: 0.0, ..small() };
    let lines = run(config.clone(), 120);
    let positions = lines.iter().filter(|line| line.0 == StreamId::Positions).count();
    assert!(positions.abs_diff(39 * 6 * 120) <= 39, "{positions}");
    let reported =
        lines.iter().filter(|line| String::from_utf8_lossy(&line.2).contains("\"reported\"")).count();
    // Poisson with mean 1200: five standard deviations.
    assert!(reported.abs_diff(1200) < 175, "{reported}");
    let mut expected = 0.0;
    for (key, json) in City::new(config).unwrap().reference() {
        if key.starts_with("sensor/") {
            let sensor: Value = serde_json::from_str(&json).unwrap();
            expected += 7200.0 / sensor["heartbeat_s"].as_f64().unwrap();
        }
    }
    let readings = lines.iter().filter(|line| line.0 == StreamId::Telemetry).count();
    assert!((readings as f64 - expected).abs() <= 200.0, "{readings}, not {expected}");
    let twice = run(Config { rate: 2.0, cases_per_hour: 0.0, case_history_h: 0.0, ..small() }, 30);
    let positions = twice.iter().filter(|line| line.0 == StreamId::Positions).count();
    assert!(positions.abs_diff(39 * 12 * 30) <= 39, "{positions}");
}

#[test]
fn dirt_comes_in_its_shares() {
    let dirt =
        Dirt { late: 0.04, duplicate: 0.03, jump: 0.02, offline: 0.0, wrong_unit: 0.05, garbage: 0.02 };
    let lines = run(Config { cases_per_hour: 0.0, case_history_h: 0.0, vehicles: 200, ..dirty(dirt) }, 120);
    let all = lines.len() as f64;
    let broken = |line: &Line| {
        let Ok(record) = serde_json::from_slice::<Value>(&line.2) else { return true };
        record["ts"].as_i64().is_none_or(|ts| ts > line.3 + 1_000)
            || record["lat"].as_f64().is_some_and(|lat| lat > 90.0)
            || record["metric"].is_number()
    };
    let near = |what: &str, count: usize, of: f64, share: f64| {
        let sigma = (of * share * (1.0 - share)).sqrt();
        // Late records are still withheld when the run ends: a little fewer are allowed.
        let low = of * share * 0.94 - 5.0 * sigma;
        assert!((low..of * share + 5.0 * sigma).contains(&(count as f64)), "{what}: {count} of {of}");
    };
    near("garbage", lines.iter().filter(|line| broken(line)).count(), all, 0.02);
    let good: Vec<(&Line, Value)> = lines.iter().filter(|l| !broken(l)).map(|l| (l, parse(l))).collect();
    let late = good.iter().filter(|(line, r)| line.3 - r["ts"].as_i64().unwrap() > 10_000).count();
    near("late", late, all, 0.04);
    let mut seen = BTreeSet::new();
    let twice = good.iter().filter(|(line, _)| !seen.insert((line.0, &line.2))).count();
    near("duplicate", twice, all, 0.03);
    let fixes = good.iter().filter(|(line, _)| line.0 == StreamId::Positions).count() as f64;
    let zero = good.iter().filter(|(_, r)| r["lon"].as_f64() == Some(0.0)).count();
    near("jump to zero", zero, fixes, 0.02 * 0.25);
    // A tilt in radians has more decimals than a tilt in degrees.
    let readings = good.iter().filter(|(line, _)| line.0 == StreamId::Telemetry).count() as f64;
    let decimals = |line: &Line| {
        let text = String::from_utf8_lossy(&line.2).into_owned();
        text.split('.').nth(1).map_or(0, |rest| rest.trim_end_matches('}').len())
    };
    let wrong = good.iter().filter(|(line, _)| line.0 == StreamId::Telemetry && decimals(line) >= 4).count();
    near("wrong unit", wrong, readings, 0.05);
}

#[test]
fn silence_takes_its_share_of_the_records() {
    let clean = run(Config { cases_per_hour: 0.0, case_history_h: 0.0, ..small() }, 240).len() as f64;
    let dirt = Dirt { offline: 0.2, ..Dirt::NONE };
    let dirty = run(Config { cases_per_hour: 0.0, case_history_h: 0.0, ..dirty(dirt) }, 240).len() as f64;
    assert!((0.12..0.28).contains(&(1.0 - dirty / clean)), "{}", 1.0 - dirty / clean);
}

/// What may follow an event.
fn may_follow(state: &str) -> &'static [&'static str] {
    match state {
        "" => &["reported"],
        "reported" => &["rejected", "filed"],
        "filed" => &["dispatched", "voided", "merged"],
        "dispatched" => &["returned", "extended", "suspended", "handled"],
        "returned" => &["dispatched"],
        "extended" => &["suspended", "handled"],
        "suspended" => &["resumed"],
        "resumed" => &["handled"],
        "handled" => &["verified:true", "verified:false"],
        "verified:false" => &["handled"],
        "verified:true" => &["closed"],
        "closed" => &["reopened", "rated", "appeal_granted"],
        "reopened" => &["handled"],
        "rated" => &["appeal_granted"],
        _ => &[],
    }
}

#[test]
fn a_clean_case_goes_through_its_life_in_a_legal_order() {
    let config = Config {
        cases_per_hour: 5_000.0,
        case_pace: 600.0,
        case_history_h: 0.0,
        vehicles: 0,
        sensors: 0,
        ..small()
    };
    let mut cases = BTreeMap::<String, (String, i64)>::new();
    let mut events = BTreeMap::<String, usize>::new();
    let mut count = 0.0;
    for line in run(config, 8 * 60) {
        let record = parse(&line);
        let event = match &record["passed"] {
            Value::Bool(passed) => format!("verified:{passed}"),
            _ => record["event"].as_str().unwrap().to_owned(),
        };
        let ts = record["ts"].as_i64().unwrap();
        let (state, last) = cases.entry(line.1.clone()).or_default();
        assert!(may_follow(state).contains(&event.as_str()), "{event} after {state:?} in {}", line.1);
        assert!(ts > *last, "{record}");
        if event == "merged" {
            assert_ne!(record["into"], line.1.as_str());
        }
        (*state, *last) = (event.clone(), ts);
        *events.entry(event).or_default() += 1;
        count += 1.0;
    }
    let every = [
        "reported",
        "rejected",
        "filed",
        "dispatched",
        "returned",
        "extended",
        "suspended",
        "resumed",
        "handled",
        "verified:true",
        "verified:false",
        "closed",
        "reopened",
        "voided",
        "appeal_granted",
        "merged",
        "rated",
    ];
    assert!(every.iter().all(|event| events.contains_key(*event)), "{events:?}");
    let mean = count / cases.len() as f64;
    // The constant is the mean of whole lives; the youngest cases of the run are unfinished.
    assert!((simulate::cases::MEAN_EVENTS - mean).abs() < 0.1, "{mean} events a case");
}

#[test]
fn vehicles_keep_to_the_roads_at_plausible_speed_and_some_always_work() {
    let config = Config { start_ms: Config::default().start_ms + 4 * 60 * MINUTE, ..small() };
    let city = City::new(config.clone()).unwrap();
    let mut segments: Vec<[[f64; 2]; 2]> = Vec::new();
    for (key, json) in city.reference() {
        if key.starts_with("road/") {
            let road: Value = serde_json::from_str(&json).unwrap();
            let line: Vec<[f64; 2]> =
                serde_json::from_value(road["geometry"]["coordinates"].clone()).unwrap();
            segments.extend(line.windows(2).map(|pair| [metres(pair[0]), metres(pair[1])]));
        }
    }
    let mut last = BTreeMap::<String, (i64, [f64; 2])>::new();
    let mut working = BTreeMap::<i64, usize>::new();
    let (mut far, mut all, mut moved) = (0, 0, 0.0);
    for line in run(config.clone(), 90).iter().filter(|line| line.0 == StreamId::Positions) {
        let record = parse(line);
        let at = metres([record["lon"].as_f64().unwrap(), record["lat"].as_f64().unwrap()]);
        let ts = record["ts"].as_i64().unwrap();
        if let Some((before, from)) = last.insert(line.1.clone(), (ts, at)) {
            let distance = (at[0] - from[0]).hypot(at[1] - from[1]);
            let speed = distance / (ts - before) as f64 * 3600.0;
            assert!(speed < 90.0, "{} drove {speed} km/h", line.1);
            moved += distance;
        }
        if all % 7 == 0 {
            let nearest = segments.iter().map(|s| from_segment(at, s)).fold(f64::MAX, f64::min);
            far += i32::from(nearest > 25.0);
            assert!(nearest < 60.0, "{record} is {nearest} m from every road");
        }
        all += 1;
        *working.entry((ts - config.start_ms) / (10 * MINUTE)).or_default() +=
            usize::from(record["working"] == true);
    }
    // One side of a normal error of 8 m lies beyond 25 m once in 600 times.
    assert!(f64::from(far) < 0.02 * f64::from(all / 7), "{far} of {}", all / 7);
    assert!(moved > 100_000.0, "{moved} m");
    // 10:00 to 11:30 is outside both shifts.
    assert_eq!(working.len(), 9);
    assert!(working.values().all(|&fixes| fixes > 100), "{working:?}");
}

/// Metres around the middle of the prefecture, each degree of longitude scaled at the point itself.
fn metres([lon, lat]: [f64; 2]) -> [f64; 2] {
    [(lon - 109.3) * 111_195.08 * 36.6f64.to_radians().cos(), (lat - 36.6) * 111_195.08]
}

fn from_segment(p: [f64; 2], [a, b]: &[[f64; 2]; 2]) -> f64 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let t = (((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
    (p[0] - a[0] - t * dx).hypot(p[1] - a[1] - t * dy)
}

#[test]
fn sensors_cross_the_usual_thresholds_and_come_back() {
    let mut most = BTreeMap::<String, (f64, f64, f64)>::new();
    for line in run(Config { cases_per_hour: 0.0, case_history_h: 0.0, ..small() }, 240) {
        if line.0 == StreamId::Telemetry {
            let record = parse(&line);
            let value = record["value"].as_f64().unwrap();
            let entry = most.entry(record["metric"].as_str().unwrap().to_owned()).or_insert((
                f64::MAX,
                f64::MIN,
                value,
            ));
            *entry = (entry.0.min(value), entry.1.max(value), value);
        }
    }
    let beyond = |metric: &str, level: f64| {
        let (least, greatest, _) = most[metric];
        assert!(least < level && greatest > level, "{metric}: {least} to {greatest}, level {level}");
    };
    beyond("water_depth", 15.0);
    beyond("tilt", 15.0);
    beyond("combustible_gas", 25.0);
    beyond("water_pressure", 0.14);
    beyond("bin_fullness", 95.0);
    beyond("leakage", 100.0);
    beyond("pump_level", 2.5);
    assert!(most.values().all(|(least, _, _)| *least >= 0.0), "{most:?}");
    assert_eq!(most.len(), 15);
}

#[test]
fn settings_out_of_bounds_are_named() {
    let check = |config: Config, part: &str| {
        let Err(error) = City::new(config) else { panic!("{part} was accepted") };
        assert_eq!(error.fault, model::Fault::User);
        assert!(error.to_string().contains(part), "{error}");
    };
    check(Config { roads: 12, ..small() }, "simulate.roads is 12");
    check(Config { rate: 0.0, ..small() }, "simulate.rate is 0");
    check(Config { cases_per_hour: f64::NAN, ..small() }, "cases_per_hour");
    check(dirty(Dirt { late: 1.5, ..Dirt::NONE }), "simulate.dirt.late is 1.5");
    check(Config { districts_geojson: "{}".into(), ..small() }, "districts_geojson");
    check(Config { position_interval_ms: 0, ..small() }, "position_interval_ms");
    assert!(serde_json::from_str::<Config>(r#"{"vehicels": 3}"#).is_err());
    assert_eq!(serde_json::from_str::<Config>(r#"{"vehicles": 3}"#).unwrap().vehicles, 3);
}

#[test]
fn a_city_without_anything_is_quiet() {
    let config = Config { vehicles: 0, sensors: 0, cases_per_hour: 0.0, ..small() };
    assert!(run(config.clone(), 60).is_empty());
    assert_eq!(City::new(config).unwrap().next_due_ms(), None);
}
