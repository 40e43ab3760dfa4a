//! Good records: what each stream makes of them, how lateness is judged, and that nothing is lost on the way.

use std::sync::Arc;

use ingest::streams::{Checker, Decoded, Decoder, Limits, RecordMeta, parse_time, shipped};
use model::reference::rule::{Against, Flap, Occasion, Schedule, Side, Usual};
use model::reference::{Level, Limit, RuleRef, Severity, Signal};
use model::rows::LimitUnit;
use model::{
    Action, ActionKind, CaseEvent, CaseEventKind, Fix, Kind, LogPos, Names, Quality, Reading, RefRecord, Row,
    StreamId, Sym, Typed,
};
use proptest::prelude::*;
use serde_json::json;

const TICK: u64 = 1_700_000_000_000;
const TS: i64 = TICK as i64;

struct Edge {
    names: Arc<Names>,
    decoder: Decoder,
    append_known: bool,
}

impl Edge {
    fn new(limits: Limits) -> Self {
        let names = Arc::new(Names::new());
        Self { decoder: Decoder::new(Arc::clone(&names), limits), names, append_known: true }
    }

    fn decode(&mut self, stream: StreamId, key: Option<&[u8]>, value: Option<&[u8]>) -> (Row, Decoded) {
        let pos = LogPos { stream, partition: 1, offset: 2 };
        let meta = RecordMeta { pos, tick: TICK, append_known: self.append_known };
        let mut rows = Vec::new();
        let decoded = self.decoder.decode(stream, key, value, meta, &mut rows);
        assert_eq!(rows.len(), 1);
        (rows.remove(0), decoded)
    }

    fn row(&mut self, stream: StreamId, value: &str) -> Row {
        let (row, decoded) = self.decode(stream, None, Some(value.as_bytes()));
        assert!(!decoded.rejected, "{value}: {row:?}");
        row
    }

    fn reading(&mut self, value: &str) -> Reading {
        let Row::Reading(reading) = self.row(StreamId::Telemetry, value) else { panic!("{value}") };
        reading
    }

    fn fix(&mut self, value: &str) -> Fix {
        let Row::Fix(fix) = self.row(StreamId::Positions, value) else { panic!("{value}") };
        fix
    }

    fn case(&mut self, value: &str) -> CaseEvent {
        let Row::Case(event) = self.row(StreamId::Cases, value) else { panic!("{value}") };
        *event
    }

    fn reference(&mut self, value: &str) -> RefRecord {
        let Row::Reference(record) = self.row(StreamId::Reference, value) else { panic!("{value}") };
        *record
    }

    fn action(&mut self, value: &str) -> Action {
        let Row::Action(action) = self.row(StreamId::Actions, value) else { panic!("{value}") };
        *action
    }

    fn name(&self, sym: Sym) -> &str {
        self.names.resolve(sym)
    }
}

fn edge() -> Edge {
    Edge::new(Limits::default())
}

#[test]
fn a_reading_is_what_the_record_says() {
    let mut edge = edge();
    let reading = edge.reading(
        r#"{"sensor_id":"水位\u002d1","ts":1700000000000,"metric":"water_depth","value":12.5,"quality":"suspect","x":{"y":[1,{}]}}"#,
    );
    assert_eq!(edge.name(reading.sensor), "水位-1");
    assert_eq!(edge.name(reading.metric), "water_depth");
    assert_eq!((reading.ts, reading.value, reading.quality), (TS, 12.5, Quality::Suspect));
    assert_eq!(reading.pos, LogPos { stream: StreamId::Telemetry, partition: 1, offset: 2 });
    // An escaped letter is the same letter; an integer stands for its digits; null is absent.
    let same = edge
        .reading(r#"{"sensor_id":"水位-1","ts":1700000000000,"metric":"m","value":1,"quality":"b\u0061d"}"#);
    assert_eq!((same.sensor, same.quality), (reading.sensor, Quality::Bad));
    for (id, name) in [
        ("42", "42"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551615", "18446744073709551615"),
    ] {
        let reading =
            edge.reading(&format!(r#"{{"sensor_id":{id},"ts":{TS},"metric":"m","value":3,"quality":null}}"#));
        assert_eq!((edge.name(reading.sensor), reading.quality), (name, Quality::Good));
    }
    let id = "x".repeat(256);
    let reading = edge.reading(&format!(r#"{{"sensor_id":"{id}","ts":{TS},"metric":"m","value":3}}"#));
    assert_eq!(edge.name(reading.sensor), id);
}

#[test]
fn a_time_is_unix_ms_or_has_an_offset() {
    for text in ["2023-11-15T06:13:20+08:00", "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.000999Z"] {
        assert_eq!(parse_time(text), Ok(TS), "{text}");
        let reading = edge().reading(&format!(r#"{{"sensor_id":"a","ts":"{text}","metric":"m","value":3}}"#));
        assert_eq!(reading.ts, TS);
    }
    assert!(parse_time("2023-11-14T22:13:20").is_err());
    assert!(parse_time("1999-12-31T23:59:59Z").is_err());
}

#[test]
fn a_fix_is_in_wgs84_and_normalised() {
    let mut edge = edge();
    let fix = edge.fix(
        r#"{"vehicle_id":1007,"ts":1700000000000,"lon":109.49000004,"lat":36.585,"speed":12.5,"heading":-90,"working":true,"mileage":7,"satellites":9}"#,
    );
    assert_eq!(edge.name(fix.vehicle), "1007");
    assert_eq!((fix.lon, fix.lat), (1_094_900_000, 365_850_000));
    assert_eq!((fix.speed, fix.heading, fix.working), (Some(12.5), Some(270.0), Some(true)));
    let fix =
        edge.fix(r#"{"vehicle_id":"a","ts":1700000000000,"lon":109.495403,"lat":36.585096,"crs":"gcj02"}"#);
    assert!((fix.lon - 1_094_900_000).abs() < 20 && (fix.lat - 365_850_000).abs() < 20, "{fix:?}");
    assert_eq!((fix.speed, fix.heading, fix.working), (None, None, None));
    let fix =
        edge.fix(r#"{"vehicle_id":"a","ts":1700000000000,"lon":109.501996,"lat":36.590773,"crs":"bd09"}"#);
    assert!((fix.lon - 1_094_900_000).abs() < 20 && (fix.lat - 365_850_000).abs() < 20, "{fix:?}");
    let fix = edge.fix(r#"{"vehicle_id":"a","ts":1700000000000,"lon":109.5,"lat":36.5,"crs":"cgcs2000"}"#);
    assert_eq!((fix.lon, fix.lat), (1_095_000_000, 365_000_000));
    for heading in ["-1e-20", "359.99999999", "720", "-0.0"] {
        let fix = edge.fix(&format!(r#"{{"vehicle_id":"a","ts":{TS},"lon":9,"lat":9,"heading":{heading}}}"#));
        assert_eq!(fix.heading, Some(0.0), "{heading}");
    }
    // Near zero in one coordinate only is a place.
    edge.fix(r#"{"vehicle_id":"a","ts":1700000000000,"lon":0.0,"lat":51.5}"#);
}

#[test]
fn a_class_has_limits_by_source() {
    let mut edge = edge();
    let value = r#"{"kind":"case_class","id":"*","limits":{"default":{"amount":2,"unit":"working_hour"},"hotline_12345":{"amount":5,"unit":"working_day"}}}"#;
    let Row::Reference(record) = edge.row(StreamId::Reference, value) else { panic!("{value}") };
    let body = record.body.unwrap();
    let Typed::CaseClass(class) = &body.typed else { panic!("{body:?}") };
    let limit = |source: &str| {
        let limit = class.limit(edge.names.intern(source)).unwrap();
        (limit.amount, limit.unit)
    };
    assert_eq!(limit("hotline_12345"), (5.0, LimitUnit::WorkingDay));
    assert_eq!(limit("patrol"), (2.0, LimitUnit::WorkingHour));
    // A class may say nothing.
    let value = r#"{"kind":"case_class","id":"event:0112","name":"道路不洁"}"#;
    let Row::Reference(record) = edge.row(StreamId::Reference, value) else { panic!("{value}") };
    let Typed::CaseClass(class) = &record.body.unwrap().typed else { panic!("no class") };
    assert_eq!(class.limit(edge.names.intern("patrol")), None);
}

#[test]
fn case_events_carry_what_they_carry() {
    let mut edge = edge();
    let event =
        |edge: &mut Edge, fields: &str| edge.case(&format!(r#"{{"case_id":"c","ts":{TS},{fields}}}"#)).kind;
    let reported = event(
        &mut edge,
        r#""event":"reported","source":"hotline_12345","class":"event:0112","district":610602,"lon":109.495403,"lat":36.585096,"crs":"gcj02","title":"道路\"不洁\"","caller":"h-17""#,
    );
    let CaseEventKind::Reported { source, class, district, grid, caller, at } = reported else {
        panic!("{reported:?}")
    };
    assert_eq!(
        [source, class, district, grid, caller].map(|sym| edge.name(sym).to_owned()),
        ["hotline_12345", "event:0112", "610602", "", "h-17"]
    );
    let (lon, lat) = at.unwrap();
    assert!((lon - 1_094_900_000).abs() < 20 && (lat - 365_850_000).abs() < 20, "{lon} {lat}");
    let dispatched = event(
        &mut edge,
        r#""event":"dispatched","department":"d","limit":{"amount":2.5,"unit":"working_day"}"#,
    );
    let CaseEventKind::Dispatched { department, limit: Some(limit) } = dispatched else {
        panic!("{dispatched:?}")
    };
    assert_eq!((edge.name(department), limit.amount, limit.unit), ("d", 2.5, LimitUnit::WorkingDay));
    assert_eq!(
        event(&mut edge, r#""event":"dispatched""#),
        CaseEventKind::Dispatched { department: Sym::EMPTY, limit: None }
    );
    assert_eq!(
        event(&mut edge, r#""event":"verified","passed":false"#),
        CaseEventKind::Verified { passed: false }
    );
    assert_eq!(
        event(&mut edge, r#""event":"rated","satisfaction":5"#),
        CaseEventKind::Rated { satisfaction: 5 }
    );
    let into = edge.names.intern("other");
    assert_eq!(event(&mut edge, r#""event":"merged","into":"other""#), CaseEventKind::Merged { into });
    for name in [
        "rejected",
        "filed",
        "returned",
        "extended",
        "suspended",
        "resumed",
        "handled",
        "closed",
        "reopened",
        "voided",
        "appeal_granted",
    ] {
        assert_eq!(event(&mut edge, &format!(r#""event":"{name}""#)).name_and_rank().0, name);
    }
}

#[test]
fn an_action_is_what_an_operator_did() {
    let mut edge = edge();
    let action = edge.action(
        r#"{"action_id":"x1","ts":1700000000000,"user":"李","action":"shelve","target":"rule/s/m/1","reason":"检修","until":"2023-11-15T00:00:00Z"}"#,
    );
    assert_eq!(
        (edge.name(action.id), edge.name(action.user), edge.name(action.target)),
        ("x1", "李", "rule/s/m/1")
    );
    assert_eq!(
        (action.kind, &*action.reason, action.until),
        (ActionKind::Shelve, "检修", Some(1_700_006_400_000))
    );
    assert_eq!(action.assignee, Sym::EMPTY);
    for (name, kind) in [
        ("ack", ActionKind::Ack),
        ("assign", ActionKind::Assign),
        ("comment", ActionKind::Comment),
        ("unshelve", ActionKind::Unshelve),
        ("close", ActionKind::Close),
    ] {
        let action = edge
            .action(&format!(r#"{{"action_id":"x","ts":{TS},"user":"u","action":"{name}","target":"t"}}"#));
        assert_eq!(action.kind, kind);
    }
}

#[test]
fn reference_data_are_typed_where_views_compute_with_them() {
    let mut edge = edge();
    let line = r#"{"kind":"sensor","id":"s1","sensor_kind":"gas","district":"610602","heartbeat_s":60,"lon":109.5,"lat":36.6,"tags":["a"]}"#;
    let record = edge.reference(line);
    let body = record.body.unwrap();
    assert_eq!(&*body.json, line, "as it came");
    let Typed::Sensor(sensor) = &body.typed else { panic!("{body:?}") };
    assert_eq!(
        (edge.name(sensor.kind), edge.name(sensor.district), sensor.heartbeat_s),
        ("gas", "610602", Some(60.0))
    );
    assert_eq!((record.kind, edge.name(record.id), record.ts), (Kind::Sensor, "s1", None));
    let pretty = edge.reference("{\n \"kind\": \"fleet\",\n \"id\": \"f\", \"ts\": 1800000000000 }").clone();
    assert_eq!(pretty.ts, Some(1_800_000_000_000), "it may take effect later");
    let body = pretty.body.unwrap();
    assert_eq!(
        (&*body.json, &body.typed),
        (r#"{"kind":"fleet","id":"f","ts":1800000000000}"#, &Typed::Other)
    );
    let record = edge.reference(r#"{"kind":"calendar","id":"d","date":"2024-02-04","working":true,"hours":[["08:00","12:00"],["14:00","24:00"]]}"#);
    let Typed::Calendar(day) = record.body.unwrap().typed.clone() else { panic!() };
    assert_eq!((day.day, day.working, day.hours), (19_757, true, vec![(480, 720), (840, 1440)]));
    let record =
        edge.reference(r#"{"kind":"vehicle","id":"v","fleet":"f","district":"d","working_speed":[3,12]}"#);
    let Typed::Vehicle(vehicle) = record.body.unwrap().typed.clone() else { panic!() };
    assert_eq!((edge.name(vehicle.fleet), edge.name(vehicle.district)), ("f", "d"));
    // Every kind is known by its name; some say what else they need.
    for kind in Kind::ALL {
        let line = json!({"kind": kind.name(), "id": 7, "geometry": null}).to_string();
        match edge.decode(StreamId::Reference, None, Some(line.as_bytes())).0 {
            Row::Reference(record) => assert_eq!((record.kind, edge.name(record.id)), (*kind, "7")),
            Row::Rejected(refused) => assert!(!refused.reason.starts_with("unknown_kind"), "{refused:?}"),
            other => panic!("{other:?}"),
        }
    }
    edge.reference(r#"{"kind":"district","id":"d","geometry":{"type":"MultiPolygon","coordinates":[[[[109,36],[110,36],[110,37],[109,36]]]]}}"#);
}

#[test]
fn roads_shifts_and_vehicles_are_what_coverage_computes_with() {
    let mut edge = edge();
    let road = edge.reference(
        r#"{"kind":"road","id":"r","district":"610602","grade":1,"oneway":true,"width_m":16,"plan":[{"shift":"early","passes":2,"from":"05:30","by":"07:00"},{"shift":"late","passes":0},{"shift":"noon"}],
            "geometry":{"type":"LineString","coordinates":[[109.49,36.59],[109.49,36.59],[109.5,36.6]]}}"#,
    );
    let Some(Typed::Road(road)) = road.body.map(|body| body.typed.clone()) else { panic!("not a road") };
    let name = |sym: Sym| edge.names.resolve(sym).to_owned();
    assert_eq!((name(road.district), name(road.grade), road.oneway), ("610602".into(), "1".into(), true));
    assert_eq!(road.points, [(1_094_900_000, 365_900_000), (1_095_000_000, 366_000_000)]);
    let plan: Vec<_> = road.plan.iter().map(|plan| (name(plan.shift), plan.passes)).collect();
    assert_eq!(plan, [("early".to_owned(), 2), ("noon".to_owned(), 1)]);
    let windows: Vec<_> = road.plan.iter().map(|plan| (plan.from, plan.by)).collect();
    assert_eq!(windows, [(Some(330), Some(420)), (None, None)]);

    let shift =
        edge.reference(r#"{"kind":"shift","id":"night","start":"22:00","end":"06:00","fleets":["a"]}"#);
    let Some(Typed::Shift(shift)) = shift.body.map(|body| body.typed.clone()) else { panic!("not a shift") };
    assert_eq!((shift.start, shift.end, shift.fleets.len()), (22 * 60, 30 * 60, 1));
    let day = edge.reference(r#"{"kind":"shift","id":"day","start":"00:00","end":"24:00"}"#);
    let Some(Typed::Shift(day)) = day.body.map(|body| body.typed.clone()) else { panic!("not a shift") };
    assert_eq!((day.start, day.end), (0, 24 * 60));

    let vehicle = edge.reference(
        r#"{"kind":"vehicle","id":"v","fleet":"a","vehicle_kind":"road_sweeper","swath_m":3.2,"working_speed":[3,15]}"#,
    );
    let Some(Typed::Vehicle(vehicle)) = vehicle.body.map(|body| body.typed.clone()) else {
        panic!("no vehicle")
    };
    assert_eq!(vehicle.working_speed, Some([3.0, 15.0]));

    for (record, reason) in [
        (r#"{"kind":"road","id":"r","geometry":{"type":"Point","coordinates":[1,2]}}"#, "invalid_geometry"),
        (
            r#"{"kind":"road","id":"r","geometry":{"type":"LineString","coordinates":[[1,2],[1,2]]}}"#,
            "invalid_geometry",
        ),
        (r#"{"kind":"road","id":"r","plan":[{"passes":1}]}"#, "missing_field"),
        (r#"{"kind":"road","id":"r","plan":[{"shift":"a"},{"shift":"a"}]}"#, "duplicate_field"),
        (r#"{"kind":"road","id":"r","plan":[{"shift":"a","by":"7"}]}"#, "out_of_range"),
        (r#"{"kind":"road","id":"r","plan":[{"shift":"a","from":420}]}"#, "wrong_type"),
        (r#"{"kind":"vehicle","id":"v","swath_m":-1}"#, "out_of_range"),
        (r#"{"kind":"road","id":"r","oneway":"yes"}"#, "wrong_type"),
        (r#"{"kind":"shift","id":"s","start":"7","end":"08:00"}"#, "out_of_range"),
        (r#"{"kind":"shift","id":"s","end":"08:00"}"#, "missing_field"),
        (r#"{"kind":"vehicle","id":"v","working_speed":[15,3]}"#, "out_of_range"),
    ] {
        let (row, decoded) = edge.decode(StreamId::Reference, None, Some(record.as_bytes()));
        let Row::Rejected(refused) = row else { panic!("{record} is taken") };
        assert!(decoded.rejected && refused.reason.starts_with(reason), "{record}: {}", refused.reason);
    }
}

#[test]
fn reference_data_of_map_vendors_are_converted_once() {
    let mut edge = edge();
    let record = edge.reference(
        r#"{"kind":"park","id":"p","crs":"gcj02","lon":109.495403,"lat":36.585096,"entrances":[[109.495403,36.585096]],"geometry":{"type":"LineString","coordinates":[[109.495403,36.585096,5],[108.184992,36.930344]]}}"#,
    );
    let json: serde_json::Value = serde_json::from_str(&record.body.unwrap().json).unwrap();
    assert_eq!(json["crs"], "wgs84");
    let near = |value: &serde_json::Value, degrees: f64| {
        assert!((value.as_f64().unwrap() - degrees).abs() < 2e-6, "{value}, expected {degrees}");
    };
    near(&json["lon"], 109.49);
    near(&json["lat"], 36.585);
    near(&json["entrances"][0][0], 109.49);
    near(&json["geometry"]["coordinates"][0][1], 36.585);
    near(&json["geometry"]["coordinates"][1][0], 108.18);
    assert_eq!(json["geometry"]["coordinates"][0][2], 5, "heights stay");
    let again = edge.reference(&json.to_string());
    assert_eq!(&*again.body.unwrap().json, json.to_string(), "never twice");
}

#[test]
fn deletions_come_as_no_value_as_null_or_as_words() {
    let mut edge = edge();
    let id = edge.names.intern("a/b");
    for (key, value) in [
        (Some(&b"sensor/a/b"[..]), None),
        (Some(b"sensor/a/b"), Some(&b"null"[..])),
        (Some(b"sensor/a/b"), Some(b" null\n")),
        (None, Some(br#"{"kind":"sensor","id":"a/b","deleted":true}"#)),
        (Some(b"sensor/a/b"), Some(br#"{"kind":"sensor","id":"a/b","deleted":true,"heartbeat_s":"?"}"#)),
    ] {
        let (row, decoded) = edge.decode(StreamId::Reference, key, value);
        assert!(!decoded.rejected);
        let Row::Reference(record) = row else { panic!("{row:?}") };
        assert_eq!((record.kind, record.id, record.body), (Kind::Sensor, id, None));
    }
    assert!(edge.reference(r#"{"kind":"sensor","id":"a/b","deleted":false}"#).body.is_some());
}

#[test]
fn keys_are_those_of_the_contract() {
    let key = |stream, record: &str| Checker::default().check(stream, record.as_bytes()).unwrap();
    assert_eq!(key(StreamId::Telemetry, r#"{"sensor_id":5,"ts":1700000000000,"metric":"m","value":1}"#), "5");
    assert_eq!(key(StreamId::Positions, r#"{"vehicle_id":"v","ts":1700000000000,"lon":1,"lat":1}"#), "v");
    assert_eq!(key(StreamId::Cases, r#"{"case_id":"c","ts":1700000000000,"event":"filed"}"#), "c");
    assert_eq!(key(StreamId::Reference, r#"{"kind":"park","id":"p"}"#), "park/p");
    assert_eq!(key(StreamId::Reference, r#"{"kind":"park","id":"p","deleted":true}"#), "park/p");
    assert_eq!(
        key(
            StreamId::Actions,
            r#"{"action_id":"x","ts":1700000000000,"user":"u","action":"ack","target":"t"}"#
        ),
        "t"
    );
}

#[test]
fn lateness_is_judged_by_the_tick() {
    let limits = Limits { horizon_ms: Some(3_600_000), ..Limits::default() };
    let reading = |ts: i64| format!(r#"{{"sensor_id":"a","ts":{ts},"metric":"m","value":1}}"#);
    let mut edge = Edge::new(limits.clone());
    for (age, late, kept) in [
        (0, false, true),
        (60_000, false, true),
        (60_001, true, true),
        (3_600_000, true, true),
        (3_600_001, true, false),
    ] {
        let record = reading(TS - age);
        let (row, decoded) = edge.decode(StreamId::Telemetry, None, Some(record.as_bytes()));
        assert_eq!(decoded, Decoded { ts: Some(TS - age), rejected: false, late, arrived: true });
        match row {
            Row::Reading(_) => assert!(kept, "{age}"),
            Row::Late(refused) => {
                assert!(!kept, "{age}");
                assert!(refused.reason.starts_with("beyond_horizon: "), "{}", refused.reason);
                assert_eq!((refused.ts, &*refused.payload), (Some(TS - age), &*record));
            }
            other => panic!("{other:?}"),
        }
    }
    // Decisions have no horizon, and reference data are never late.
    let event = format!(r#"{{"case_id":"c","ts":{},"event":"filed"}}"#, TS - 7_200_000);
    assert!(matches!(
        edge.decode(StreamId::Cases, None, Some(event.as_bytes())),
        (Row::Case(_), Decoded { late: true, .. })
    ));
    let fleet = r#"{"kind":"fleet","id":"f","ts":1000000000000}"#;
    assert!(matches!(
        edge.decode(StreamId::Reference, None, Some(fleet.as_bytes())),
        (Row::Reference(_), Decoded { late: false, .. })
    ));
    let mut unlimited = Edge::new(Limits { horizon_ms: None, ..limits });
    unlimited.reading(&reading(1_000_000_000_000));
}

#[test]
fn the_future_is_implausible_only_where_the_append_time_is_known() {
    let reading = |ahead: i64| format!(r#"{{"sensor_id":"a","ts":{},"metric":"m","value":1}}"#, TS + ahead);
    let mut edge = edge();
    edge.reading(&reading(300_000));
    assert!(edge.decode(StreamId::Telemetry, None, Some(reading(300_001).as_bytes())).1.rejected);
    edge.append_known = false;
    edge.reading(&reading(300_001));
    edge.append_known = true;
    edge.reference(&format!(r#"{{"kind":"fleet","id":"f","ts":{}}}"#, TS + 86_400_000));
}

fn rule_of(record: RefRecord) -> RuleRef {
    let Some(Typed::Rule(rule)) = record.body.map(|body| body.typed.clone()) else { panic!("not a rule") };
    *rule
}

#[test]
fn the_documented_rules_are_rules() {
    let page = include_str!("../../docs/rules.md");
    let examples: Vec<&str> =
        page.split("```json").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() > 5);
    let mut edge = edge();
    let rule = rule_of(edge.reference(examples[0]));
    assert_eq!(edge.name(rule.selector.metric), "water_depth");
    let limit = Limit::Above { raise: 15.0, clear: 12.0 };
    assert_eq!(rule.levels, [Level { severity: Severity::Severe, limit }]);
    assert_eq!((rule.hold_ms, rule.enabled), (60_000, true));
    for example in &examples[1..] {
        edge.reference(example);
    }
}

#[test]
fn rules_have_defaults() {
    let mut edge = edge();
    let mut rule = |fields: &str| {
        rule_of(edge.reference(&format!(r#"{{"kind":"rule","id":"r","severity":"severe",{fields}}}"#)))
    };
    let plain = rule(r#""metric":"m","above":15"#);
    let level = |limit| [Level { severity: Severity::Severe, limit }];
    assert_eq!(plain.levels, level(Limit::Above { raise: 15.0, clear: 15.0 }));
    assert_eq!((plain.hold_ms, plain.enabled, plain.signal), (0, true, Signal::Value));
    let below = rule(r#""metric":"m","below":-1.5,"clear":0,"hold_s":0.25,"enabled":false,"offline":null"#);
    assert_eq!(below.levels, level(Limit::Below { raise: -1.5, clear: 0.0 }));
    assert_eq!((below.hold_ms, below.enabled), (250, false));
    let offline = rule(r#""offline":{"heartbeats":3}"#);
    assert_eq!((offline.selector.metric, offline.signal), (Sym::EMPTY, Signal::Offline { heartbeats: 3.0 }));
    let late = rule(r#""occasion":"case_overdue","district":"宝塔区""#);
    assert_eq!(late.signal, Signal::Occasion(Occasion::CaseOverdue));
    assert_eq!(late.levels, level(Limit::Above { raise: 0.0, clear: 0.0 }));
    let later = rule(r#""occasion":"fence_visit","above":600"#);
    assert_eq!(later.levels, level(Limit::Above { raise: 600.0, clear: 600.0 }));
    let usual = Usual { days: 14, min_days: 3, floor: 0.0, floor_share: 0.0, side: Side::Both };
    let deviation = rule(r#""metric":"m","signal":{"deviation":{}},"above":8"#);
    assert_eq!(deviation.signal, Signal::Deviation(usual));
    assert_eq!(deviation.levels, level(Limit::Above { raise: 8.0, clear: 4.0 }));
    let night = rule(r#""metric":"m","signal":{"night_minimum":{"against":"usual","to":"05:00"}},"above":3"#);
    let against = Against::Usual(Usual { side: Side::Up, ..usual });
    assert_eq!(night.signal, Signal::NightMinimum { from_min: 120, to_min: 300, against });
    let more = rule(
        r#""metric":"m","above":1,"flap":{},"schedule":{"hours":[["22:00","06:00"]],"days":[6,7],"season":["11-15","03-15"]}"#,
    );
    assert_eq!(more.flap, Some(Flap { count: 3, within_ms: 3_600_000 }));
    let schedule = Schedule { hours: vec![(1320, 360)], days: vec![6, 7], season: Some(((11, 15), (3, 15))) };
    assert_eq!(more.schedule, Some(schedule));
}

#[test]
fn a_ladder_of_conditions_counts_levels() {
    let mut edge = edge();
    let rule = rule_of(edge.reference(
        r#"{"kind":"rule","id":"r","metric":"m","clear_when":"value < 3","every_s":30,"levels":[
            {"severity":"notice","condition":"value > 5"},{"severity":"severe","condition":"mean('5m') > 9"}]}"#,
    ));
    let level = |severity, raise, clear| Level { severity, limit: Limit::Above { raise, clear } };
    assert_eq!(rule.levels, [level(Severity::Notice, 1.0, 0.5), level(Severity::Severe, 2.0, 2.0)]);
    let Signal::Formula(formula) = rule.signal else { panic!("no formula") };
    assert_eq!((formula.levels.len(), formula.every_ms), (2, 30_000));
}

#[test]
fn the_shipped_records_are_good_and_say_where_they_come_from() {
    let mut edge = edge();
    let (mut ids, text) = (Vec::new(), std::str::from_utf8(shipped()).unwrap());
    for line in text.lines() {
        let record = edge.reference(line);
        let body = record.body.unwrap();
        assert!(!matches!(body.typed, Typed::Other), "{line}");
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            json["source"].is_string() && json["text"]["zh"].is_string() && json["text"]["en"].is_string(),
            "{line}"
        );
        ids.push((record.kind, record.id));
    }
    let n = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), n > 10), (n, true), "each id once");
}

proptest! {
    /// What is written is what is read, whatever the text, the number and the spelling.
    #[test]
    fn readings_survive_the_way(
        sensor in "\\PC{1,60}", metric in "[a-z_]{1,20}", ts in 946_684_800_000..4_102_444_800_000i64,
        value in -1e15..1e15f64, quality in 0..4usize,
    ) {
        let mut edge = edge();
        edge.append_known = false;
        let mut record = json!({"value": value, "metric": metric, "noise": [sensor], "ts": ts, "sensor_id": sensor});
        if quality < 3 {
            record["quality"] = ["good", "suspect", "bad"][quality].into();
        }
        let limits = Limits { horizon_ms: None, ..Limits::default() };
        edge.decoder = Decoder::new(Arc::clone(&edge.names), limits);
        let reading = edge.reading(&record.to_string());
        prop_assert_eq!((edge.name(reading.sensor), edge.name(reading.metric)), (&*sensor, &*metric));
        prop_assert_eq!((reading.ts, reading.value.to_bits()), (ts, value.to_bits()));
        let expected = [Quality::Good, Quality::Suspect, Quality::Bad, Quality::Good][quality];
        prop_assert_eq!(reading.quality, expected);
    }

    #[test]
    fn fixes_survive_the_way(
        vehicle in any::<i64>(), lon in -1_800_000_000..=1_800_000_000i32, lat in -900_000_000..=900_000_000i32,
        speed in proptest::option::of(0..1000u32), heading in proptest::option::of(0..360u32),
        working in proptest::option::of(any::<bool>()),
    ) {
        prop_assume!(lon.abs() >= 10_000 || lat.abs() >= 10_000);
        let mut edge = edge();
        let record = json!({
            "vehicle_id": vehicle, "ts": TS, "lon": f64::from(lon) / 1e7, "lat": f64::from(lat) / 1e7,
            "speed": speed, "heading": heading, "working": working,
        });
        let fix = edge.fix(&record.to_string());
        prop_assert_eq!(edge.name(fix.vehicle), vehicle.to_string());
        prop_assert_eq!((fix.lon, fix.lat, fix.working), (lon, lat, working));
        prop_assert_eq!(fix.speed, speed.map(|n| n as f32));
        prop_assert_eq!(fix.heading, heading.map(|n| n as f32));
    }
}
