//! Fences: what the documented examples become, and what is refused with which words.

use std::sync::Arc;

use ingest::streams::{Decoder, Limits, RecordMeta};
use model::reference::fence::{FencePlan, FenceRef, FenceShape};
use model::{LogPos, Names, Row, StreamId, Typed};
use serde_json::{Value as Json, json};

fn decode(names: &Arc<Names>, value: &str) -> Result<FenceRef, String> {
    let mut decoder = Decoder::new(Arc::clone(names), Limits::default());
    let pos = LogPos { stream: StreamId::Reference, partition: 0, offset: 0 };
    let meta = RecordMeta { pos, tick: 1_700_000_000_000, append_known: true };
    let mut rows = Vec::new();
    decoder.decode(StreamId::Reference, None, Some(value.as_bytes()), meta, &mut rows);
    match rows.remove(0) {
        Row::Reference(record) => match &record.body.as_ref().expect("not deleted").typed {
            Typed::Fence(fence) => Ok((**fence).clone()),
            other => panic!("{other:?}"),
        },
        Row::Rejected(refused) => Err(refused.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_documented_fences_are_fences() {
    let page = include_str!("../../docs/fences.md");
    let block = page.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    // One record may take several lines.
    let records = serde_json::Deserializer::from_str(block).into_iter::<Json>();
    let names = Arc::new(Names::new());
    let fences: Vec<FenceRef> =
        records.map(|record| decode(&names, &record.unwrap().to_string()).unwrap()).collect();
    let [depot, school, route] = fences.as_slice() else { panic!("{} examples", fences.len()) };
    assert!(depot.place && !depot.service_area);
    assert_eq!(depot.max_dwell_ms, Some(43_200_000));
    let vehicle = names.get("sweeper-001").unwrap();
    assert_eq!(depot.plan, [FencePlan { vehicle, from: 17 * 3600, to: 18 * 3600 + 1800 }]);
    assert!(matches!(&depot.shape, FenceShape::Area(rings) if rings[0][0] == (1_094_800_000, 365_800_000)));
    assert_eq!(school.shape, FenceShape::Circle((1_094_910_000, 365_910_000), 150.0));
    assert_eq!(school.speed_limit_kmh, Some(30.0));
    assert!(matches!(&route.shape, FenceShape::Route(lines, 40.0) if lines[0].len() == 3));
}

#[test]
fn a_fence_of_a_map_vendor_is_converted() {
    // rules.md 6.3: the same place in both systems.
    let record = json!({"kind": "fence", "id": "f", "crs": "gcj02", "radius_m": 50,
        "geometry": {"type": "Point", "coordinates": [109.495403, 36.585096]}});
    let fence = decode(&Arc::new(Names::new()), &record.to_string()).unwrap();
    let FenceShape::Circle((lon, lat), _) = fence.shape else { panic!("{fence:?}") };
    assert!((lon - 1_094_900_000).abs() < 100 && (lat - 365_850_000).abs() < 100, "{lon} {lat}");
}

#[test]
fn a_bad_fence_is_refused_with_the_reason() {
    let square = json!({"type": "Polygon", "coordinates": [[[109, 36], [110, 36], [110, 37], [109, 36]]]});
    let window = |from: &str, to: &str| json!({"vehicle": "v", "from": from, "to": to});
    for (fields, says) in [
        (json!({}), "missing_field: `geometry`"),
        (json!({"geometry": {"type": "Point", "coordinates": [109, 36]}}), "missing_field: `radius_m`"),
        (
            json!({"geometry": {"type": "LineString", "coordinates": [[109, 36], [110, 36]]}}),
            "missing_field: `width_m`",
        ),
        (json!({"geometry": {"type": "MultiPoint", "coordinates": [[109, 36]]}}), "can't be a `MultiPoint`"),
        (
            json!({"geometry": {"type": "Polygon", "coordinates": [[[109, 36], [110, 36], [109, 36]]]}}),
            "2 distinct positions",
        ),
        (json!({"geometry": {"type": "Polygon", "coordinates": [[109, 36], [110, 36]]}}), "invalid_geometry"),
        (json!({"geometry": square, "speed_limit": 0}), "out_of_range: `speed_limit`"),
        (json!({"geometry": square, "place": 1}), "wrong_type: `place`"),
        (json!({"geometry": square, "vehicles": "v"}), "wrong_type: `vehicles`"),
        (json!({"geometry": square, "plan": [window("6:00", "07:00")]}), "wrong_type: `plan`"),
        (
            json!({"geometry": square, "plan": [window("06:00", "08:00"), window("07:00", "09:00")]}),
            "invalid_plan",
        ),
        (
            json!({"geometry": square, "plan": [window("22:00", "06:00"), window("05:00", "07:00")]}),
            "invalid_plan",
        ),
    ] {
        let mut record = json!({"kind": "fence", "id": "f"});
        record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let refused = decode(&Arc::new(Names::new()), &record.to_string()).unwrap_err();
        assert!(refused.contains(says), "{record}: {refused}");
    }
    let good = json!({"kind": "fence", "id": "f", "geometry": square,
        "plan": [window("22:00", "06:00"), window("06:00", "07:00")]});
    assert_eq!(decode(&Arc::new(Names::new()), &good.to_string()).unwrap().plan[1].to, 30 * 3600);
}
