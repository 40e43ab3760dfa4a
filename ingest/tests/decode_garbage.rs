//! Bad records: each is refused for the right reason, and takes no neighbour with it.

use std::sync::Arc;

use ingest::streams::{Checker, Decoded, Decoder, Limits, RecordMeta};
use model::rows::PAYLOAD_LIMIT;
use model::{LogPos, Names, Refused, Row, StreamId};
use proptest::prelude::*;

const TICK: u64 = 1_700_000_000_000;
use StreamId::{Actions, Cases, Positions, Reference, Telemetry};

fn decode(stream: StreamId, key: Option<&[u8]>, value: Option<&[u8]>) -> (Row, Decoded) {
    let mut decoder = Decoder::new(Arc::new(Names::new()), Limits::default());
    let meta = RecordMeta { pos: LogPos { stream, partition: 3, offset: 9 }, tick: TICK, append_known: true };
    let mut rows = Vec::new();
    let decoded = decoder.decode(stream, key, value, meta, &mut rows);
    assert_eq!(rows.len(), 1, "one row for each record");
    (rows.remove(0), decoded)
}

fn refused(stream: StreamId, value: &[u8]) -> Refused {
    match decode(stream, None, Some(value)) {
        (Row::Rejected(refused), decoded) => {
            assert!(decoded.rejected);
            assert_eq!(decoded.ts, refused.ts);
            assert_eq!(refused.pos, LogPos { stream, partition: 3, offset: 9 });
            *refused
        }
        (other, _) => panic!("{} is taken as {other:?}", String::from_utf8_lossy(value)),
    }
}

/// A record, the code of its reason, and what the reason must speak of.
const BAD: &[(StreamId, &str, &str, &[&str])] = &[
    (Telemetry, "$GPRMC,071342.00,A,3635.12,N", "not_json", &[]),
    (Telemetry, "", "not_json", &[]),
    (Telemetry, "null", "not_json", &["object"]),
    (Telemetry, "[1,2]", "not_json", &["an array"]),
    (Telemetry, r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":1} x"#, "not_json", &[]),
    (Telemetry, r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","val"#, "not_json", &[]),
    (Telemetry, r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":NaN}"#, "not_json", &[]),
    (Telemetry, r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":Infinity}"#, "not_json", &[]),
    (Telemetry, r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":1e999}"#, "out_of_range", &[]),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":-2e15}"#,
        "out_of_range",
        &["`value`"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":"12"}"#,
        "wrong_type",
        &["`value`", "\"12\"", "a number"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":null}"#,
        "wrong_type",
        &["`value`", "null"],
    ),
    (Telemetry, r#"{"sensor_id":"a","ts":1700000000000,"metric":"m"}"#, "missing_field", &["`value`"]),
    (Telemetry, r#"{"ts":1700000000000,"metric":"m","value":1}"#, "missing_field", &["`sensor_id`"]),
    (
        Telemetry,
        r#"{"sensor_id":"","ts":1700000000000,"metric":"m","value":1}"#,
        "out_of_range",
        &["`sensor_id`"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":1.5,"ts":1700000000000,"metric":"m","value":1}"#,
        "wrong_type",
        &["`sensor_id`"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":1700000000000,"metric":7.5,"value":1}"#,
        "wrong_type",
        &["`metric`"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":1,"quality":"fine"}"#,
        "out_of_range",
        &["`quality`", "fine"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","sensor_id":"b","ts":1700000000000,"metric":"m","value":1}"#,
        "duplicate_field",
        &["`sensor_id`"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":253370764800000,"metric":"m","value":1}"#,
        "out_of_range",
        &["`ts`", "253370764800000"],
    ),
    (Telemetry, r#"{"sensor_id":"a","ts":946684799999,"metric":"m","value":1}"#, "out_of_range", &["`ts`"]),
    (Telemetry, r#"{"sensor_id":"a","ts":4102444800000,"metric":"m","value":1}"#, "out_of_range", &["`ts`"]),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":99999999999999999999999,"metric":"m","value":1}"#,
        "wrong_type",
        &["`ts`"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":"9999-01-01T00:00:00Z","metric":"m","value":1}"#,
        "out_of_range",
        &["`ts`"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":"2023-11-14T22:13:20","metric":"m","value":1}"#,
        "wrong_type",
        &["`ts`", "offset"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":"yesterday","metric":"m","value":1}"#,
        "wrong_type",
        &["`ts`", "yesterday"],
    ),
    (Telemetry, r#"{"sensor_id":"a","ts":1700000000.5,"metric":"m","value":1}"#, "wrong_type", &["`ts`"]),
    (Telemetry, r#"{"sensor_id":"a","ts":null,"metric":"m","value":1}"#, "wrong_type", &["`ts`"]),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":1700000300001,"metric":"m","value":1}"#,
        "implausible_future",
        &["300001", "1700000000000"],
    ),
    (
        Telemetry,
        r#"{"sensor_id":"a","ts":1700000000000,"appended_at":5,"metric":"m","value":1}"#,
        "out_of_range",
        &["`appended_at`"],
    ),
    (
        Positions,
        r#"{"vehicle_id":"v","ts":1700000000000,"lon":109.5,"lat":91}"#,
        "out_of_range",
        &["`lat`", "91"],
    ),
    (Positions, r#"{"vehicle_id":"v","ts":1700000000000,"lon":-180.5,"lat":36}"#, "out_of_range", &["`lon`"]),
    (Positions, r#"{"vehicle_id":"v","ts":1700000000000,"lon":"109.5","lat":36}"#, "wrong_type", &["`lon`"]),
    (Positions, r#"{"vehicle_id":"v","ts":1700000000000,"lat":36}"#, "missing_field", &["`lon`"]),
    (Positions, r#"{"vehicle_id":"v","ts":1700000000000,"lon":0,"lat":-0.0}"#, "implausible_zero", &[]),
    (
        Positions,
        r#"{"vehicle_id":"v","ts":1700000000000,"lon":109.5,"lat":36,"crs":"epsg:4326"}"#,
        "unknown_crs",
        &["epsg:4326", "gcj02"],
    ),
    (
        Positions,
        r#"{"vehicle_id":"v","ts":1700000000000,"lon":109.5,"lat":36,"speed":-1}"#,
        "out_of_range",
        &["`speed`"],
    ),
    (
        Positions,
        r#"{"vehicle_id":"v","ts":1700000000000,"lon":109.5,"lat":36,"speed":1000.5}"#,
        "out_of_range",
        &["`speed`"],
    ),
    (
        Positions,
        r#"{"vehicle_id":"v","ts":1700000000000,"lon":109.5,"lat":36,"working":1}"#,
        "wrong_type",
        &["`working`"],
    ),
    (
        Positions,
        r#"{"vehicle_id":"v","ts":1700000000000,"lon":109.5,"lat":36,"mileage":-3}"#,
        "out_of_range",
        &["`mileage`"],
    ),
    (Cases, r#"{"case_id":"c","ts":1700000000000,"event":"lost"}"#, "unknown_event", &["lost", "reported"]),
    (Cases, r#"{"case_id":"c","ts":1700000000000,"event":3}"#, "wrong_type", &["`event`"]),
    (Cases, r#"{"case_id":"c","ts":1700000000000,"event":"reported"}"#, "missing_field", &["`source`"]),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"reported","source":"rumour"}"#,
        "out_of_range",
        &["`source`", "patrol"],
    ),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"reported","source":"patrol","lon":109}"#,
        "missing_field",
        &["`lat`"],
    ),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"reported","source":"patrol","lon":109,"lat":-91}"#,
        "out_of_range",
        &["`lat`"],
    ),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"dispatched","limit":{"amount":0,"unit":"working_day"}}"#,
        "out_of_range",
        &["`limit.amount`"],
    ),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"dispatched","limit":{"amount":2,"unit":"week"}}"#,
        "out_of_range",
        &["`limit.unit`", "week"],
    ),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"dispatched","limit":{"unit":"working_day"}}"#,
        "missing_field",
        &["`limit.amount`"],
    ),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"dispatched","limit":3}"#,
        "wrong_type",
        &["`limit`"],
    ),
    (Cases, r#"{"case_id":"c","ts":1700000000000,"event":"verified"}"#, "missing_field", &["`passed`"]),
    (Cases, r#"{"case_id":"c","ts":1700000000000,"event":"merged"}"#, "missing_field", &["`into`"]),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"rated","satisfaction":6}"#,
        "out_of_range",
        &["`satisfaction`"],
    ),
    (
        Cases,
        r#"{"case_id":"c","ts":1700000000000,"event":"rated","satisfaction":2.5}"#,
        "out_of_range",
        &["`satisfaction`"],
    ),
    (
        Actions,
        r#"{"action_id":"x","ts":1700000000000,"user":"u","action":"delete","target":"t"}"#,
        "unknown_action",
        &["delete", "unshelve"],
    ),
    (
        Actions,
        r#"{"action_id":"x","ts":1700000000000,"user":"u","action":"ack"}"#,
        "missing_field",
        &["`target`"],
    ),
    (Reference, r#"{"kind":"planet","id":"mars"}"#, "unknown_kind", &["planet", "district"]),
    (Reference, r#"{"kind":"sensor"}"#, "missing_field", &["`id`"]),
    (Reference, r#"{"id":"x"}"#, "missing_field", &["`kind`"]),
    (Reference, r#"{"kind":"sensor","id":"x","heartbeat_s":0}"#, "out_of_range", &["`heartbeat_s`"]),
    (Reference, r#"{"kind":"sensor","id":"x","lat":91}"#, "out_of_range", &["`lat`"]),
    (Reference, r#"{"kind":"sensor","id":"x","district":true}"#, "wrong_type", &["`district`"]),
    (Reference, r#"{"kind":"sensor","id":"x","id":"y"}"#, "duplicate_field", &["`id`"]),
    (Reference, r#"{"kind":"sensor","id":"x","deleted":"yes"}"#, "wrong_type", &["`deleted`"]),
    (
        Reference,
        r#"{"kind":"grid","id":"x","geometry":{"type":"Circle","coordinates":[1,2]}}"#,
        "invalid_geometry",
        &["Circle"],
    ),
    (
        Reference,
        r#"{"kind":"grid","id":"x","geometry":{"type":"Point","coordinates":[181,2]}}"#,
        "out_of_range",
        &["`lon`"],
    ),
    (Reference, r#"{"kind":"grid","id":"x","geometry":{"type":"Point"}}"#, "invalid_geometry", &[]),
    (
        Reference,
        r#"{"kind":"grid","id":"x","geometry":{"type":"Polygon","coordinates":[[[[[1,2]]]]]}}"#,
        "invalid_geometry",
        &[],
    ),
    (Reference, r#"{"kind":"park","id":"x","entrances":[[1]]}"#, "invalid_geometry", &[]),
    (
        Reference,
        r#"{"kind":"calendar","id":"x","date":"2024-02-30","working":true}"#,
        "out_of_range",
        &["`date`"],
    ),
    (Reference, r#"{"kind":"calendar","id":"x","date":"2024-02-01"}"#, "missing_field", &["`working`"]),
    (
        Reference,
        r#"{"kind":"calendar","id":"x","date":"2024-02-01","working":true,"hours":[["14:00","12:00"]]}"#,
        "wrong_type",
        &["`hours`"],
    ),
    (
        Reference,
        r#"{"kind":"calendar","id":"x","date":"2024-02-01","working":true,"hours":[["14:00","24:01"]]}"#,
        "wrong_type",
        &["`hours`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice"}"#,
        "invalid_rule",
        &["exactly one"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","above":1,"below":0}"#,
        "invalid_rule",
        &["exactly one"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","above":1,"clear":2}"#,
        "invalid_rule",
        &["`clear`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","below":1,"clear":0}"#,
        "invalid_rule",
        &["`clear`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","severity":"notice","offline":{"heartbeats":3},"clear":1}"#,
        "invalid_rule",
        &["`clear`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","severity":"notice","occasion":"too_late"}"#,
        "invalid_rule",
        &["`occasion`", "`too_late`", "case_overdue"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","severity":"notice","occasion":"case_overdue","hold_s":60}"#,
        "invalid_rule",
        &["`hold_s`", "`occasion`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","severity":"notice","offline":{}}"#,
        "missing_field",
        &["`offline.heartbeats`"],
    ),
    (Reference, r#"{"kind":"rule","id":"r","severity":"notice","above":1}"#, "missing_field", &["`metric`"]),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"red","above":1}"#,
        "invalid_rule",
        &["`severity`", "red"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","above":1,"hold_s":-1}"#,
        "invalid_rule",
        &["`hold_s`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","above":"1"}"#,
        "wrong_type",
        &["`above`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","condition":"value > 1 && speed > 2"}"#,
        "invalid_rule",
        &["`condition`", "line 1, column 14", "there is no `speed`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","condition":"value > 'a'"}"#,
        "invalid_rule",
        &["line 1, column 9", "this is a text, expected a number"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","condition":"value > 1","clear_when":"value <"}"#,
        "invalid_rule",
        &["`clear_when`", "line 1", "not CEL"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","condition":"value > 1","above":1}"#,
        "invalid_rule",
        &["`above`", "`condition`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","levels":[{"severity":"severe","above":1},{"severity":"notice","above":2}]}"#,
        "invalid_rule",
        &["ascend in severity"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","levels":[{"severity":"notice","above":2},{"severity":"severe","above":1}]}"#,
        "invalid_rule",
        &["at least as far"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","above":1,"signal":{"trend":{}}}"#,
        "invalid_rule",
        &["`signal`", "deviation"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","above":1,"schedule":{"days":[8]}}"#,
        "invalid_rule",
        &["`schedule`"],
    ),
    (
        Reference,
        r#"{"kind":"rule","id":"r","metric":"m","severity":"notice","above":1,"case":{}}"#,
        "missing_field",
        &["`case.class`"],
    ),
    (
        Reference,
        r#"{"kind":"maintenance","id":"m","from":1700000000000,"to":1700000000001}"#,
        "missing_field",
        &["`gateway`"],
    ),
    (
        Reference,
        r#"{"kind":"maintenance","id":"m","site":"s","from":1700000000000,"to":1700000000000}"#,
        "out_of_range",
        &["`to`"],
    ),
    (
        Reference,
        r#"{"kind":"case_class","id":"c","limits":[{"amount":2,"unit":"working_hour"}]}"#,
        "wrong_type",
        &["`limits`", "by source"],
    ),
    (
        Reference,
        r#"{"kind":"case_class","id":"c","limits":{"hotline":{"amount":2,"unit":"working_hour"}}}"#,
        "out_of_range",
        &["`hotline`", "hotline_12345"],
    ),
    (
        Reference,
        r#"{"kind":"case_class","id":"c","limits":{"default":{"amount":2,"unit":"hour"}}}"#,
        "wrong_type",
        &["`limits.default`", "working_hour"],
    ),
    (
        Reference,
        r#"{"kind":"case_class","id":"c","limits":{"patrol":{"amount":0,"unit":"working_hour"}}}"#,
        "out_of_range",
        &["`limits.patrol.amount`"],
    ),
];

#[test]
fn each_bad_record_is_refused_for_its_own_reason() {
    for (stream, record, code, words) in BAD {
        let refused = refused(*stream, record.as_bytes());
        let reason = &*refused.reason;
        assert!(reason.starts_with(&format!("{code}: ")), "{record}\n  {reason}, expected {code}");
        for word in *words {
            assert!(reason.contains(word), "{record}\n  {reason} does not speak of {word}");
        }
        assert_eq!(&*refused.payload, *record);
        if !code.starts_with("implausible_future") {
            assert_eq!(
                Checker::default().check(*stream, record.as_bytes()),
                Err(reason.to_owned()),
                "{record}"
            );
        }
    }
}

#[test]
fn a_valid_time_of_a_bad_record_is_kept() {
    let ts = |record: &str| refused(Positions, record.as_bytes()).ts;
    assert_eq!(ts(r#"{"vehicle_id":"v","ts":1700000000123,"lon":0,"lat":0}"#), Some(1_700_000_000_123));
    assert_eq!(ts(r#"{"vehicle_id":"v","ts":"2023-11-14T22:13:20.5Z","lon":9}"#), Some(1_700_000_000_500));
    assert_eq!(ts(r#"{"vehicle_id":"v","ts":253370764800000,"lon":9,"lat":9}"#), None);
    assert_eq!(ts("garbage"), None);
}

#[test]
fn invalid_utf8_is_refused_wherever_it_is() {
    let good = r#"{"sensor_id":"a","ts":1700000000000,"metric":"m","value":1,"note":"xx"}"#;
    assert!(!decode(Telemetry, None, Some(good.as_bytes())).1.rejected);
    let mut bad = good.as_bytes().to_vec();
    let at = good.find("xx").unwrap();
    bad[at] = 0xff;
    let refused = refused(Telemetry, &bad);
    assert_eq!(&*refused.reason, format!("not_utf8: invalid UTF-8 at byte {at}"));
    assert!(refused.payload.contains('\u{fffd}'));
}

#[test]
fn a_long_record_is_cut_at_a_character() {
    let limit = Limits::default().max_record_bytes;
    let long = format!("{{\"sensor_id\":\"{}\"", "城".repeat(limit / 3));
    let refused = refused(Telemetry, long.as_bytes());
    assert!(refused.reason.starts_with("too_long: "), "{}", refused.reason);
    assert!(refused.payload.len() > PAYLOAD_LIMIT - 3 && refused.payload.len() <= PAYLOAD_LIMIT);
    assert!(!refused.payload.contains('\u{fffd}'), "no character is cut");
    assert!(
        Checker::default()
            .check(Telemetry, long.as_bytes())
            .is_err_and(|reason| reason.starts_with("too_long"))
    );
    // Replacements are longer than what they replace.
    let refused = self::refused(Telemetry, &[0xff; 8192]);
    assert!(refused.payload.len() <= PAYLOAD_LIMIT);
}

/// Unknown fields are skipped by recursion; half a million brackets would end the process.
#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for stream in StreamId::ALL {
        let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
        let refused = refused(stream, deep.as_bytes());
        assert!(refused.reason.starts_with("too_deep: "), "{}", refused.reason);
        assert_eq!(refused.ts, None);
    }
    let quoted = format!(
        r#"{{"sensor_id":"a","ts":1700000000000,"metric":"m","value":1,"note":"{}\" {}"}}"#,
        "[{".repeat(2000),
        "[".repeat(100)
    );
    assert!(!decode(Telemetry, None, Some(quoted.as_bytes())).1.rejected, "brackets in a string are text");
}

#[test]
fn only_reference_data_may_have_no_value() {
    for stream in [Telemetry, Positions, Cases, Actions] {
        let (row, decoded) = decode(stream, Some(b"k"), None);
        assert!(decoded.rejected);
        let Row::Rejected(refused) = row else { panic!("{row:?}") };
        assert!(refused.reason.starts_with("missing_value: "), "{}", refused.reason);
        assert_eq!(&*refused.payload, "k");
    }
    for key in [None, Some(&b"sensor"[..]), Some(b"sensor/"), Some(b"planet/mars"), Some(b"\xff/1")] {
        assert!(decode(Reference, key, None).1.rejected, "{key:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the bytes, there is one row and no panic, and the payload is what a person can read.
    #[test]
    fn no_bytes_are_a_catastrophe(stream in 0..5usize, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let stream = StreamId::ALL[stream];
        let (row, decoded) = decode(stream, None, Some(&bytes));
        prop_assert_eq!(decoded.rejected, matches!(row, Row::Rejected(_)));
    }

    /// A good record with one byte changed is either good or refused with a reason, and nothing worse.
    #[test]
    fn one_wrong_byte_is_no_catastrophe(which in 0..4usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (stream, good) = [
            (Telemetry, r#"{"sensor_id":"a\n","ts":1700000000000,"metric":"m","value":-1.5e3,"x":[{"y":null}]}"#),
            (Positions, r#"{"vehicle_id":7,"ts":"2023-11-14T22:13:20Z","lon":109.5,"lat":36.6,"crs":"gcj02"}"#),
            (Cases, r#"{"case_id":"c","ts":1700000000000,"event":"dispatched","limit":{"amount":2,"unit":"working_day"}}"#),
            (Reference, r#"{"kind":"rule","id":"r","metric":"m","severity":"severe","above":15,"clear":12}"#),
        ][which];
        let mut bytes = good.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (row, decoded) = decode(stream, None, Some(&bytes));
        if let Row::Rejected(refused) = &row {
            prop_assert!(refused.reason.split_once(": ").is_some_and(|(code, words)| {
                code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') && !code.is_empty() && !words.is_empty()
            }), "{}", refused.reason);
        }
        prop_assert_eq!(decoded.rejected, matches!(row, Row::Rejected(_)));
    }
}
