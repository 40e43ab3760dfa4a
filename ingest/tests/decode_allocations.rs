//! The hot path allocates nothing: a known name costs a look-up, and a reading or fix is read where it lies.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use ingest::streams::{Decoder, Limits, RecordMeta};
use model::{LogPos, Names, StreamId};

/// Counts the allocations of the calling thread.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn readings_and_fixes_cost_no_allocation() {
    let records = [
        (
            StreamId::Telemetry,
            r#"{"sensor_id":"wd-1","ts":1700000000000,"metric":"water_depth","value":12.5}"#,
        ),
        (
            StreamId::Telemetry,
            r#"{"sensor_id":77,"ts":"2023-11-14T22:13:20Z","metric":"m","value":1,"quality":"bad"}"#,
        ),
        (
            StreamId::Positions,
            r#"{"vehicle_id":"v","ts":1700000000000,"lon":109.5,"lat":36.6,"speed":30,"heading":90,"working":true,"crs":"gcj02","mileage":5,"satellites":9,"x":[{}]}"#,
        ),
    ];
    let mut decoder = Decoder::new(Arc::new(Names::new()), Limits::default());
    let mut rows = Vec::with_capacity(10_000);
    let mut count = |times: usize| {
        let before = COUNT.get();
        for offset in 0..times as u64 {
            for (stream, record) in records {
                let pos = LogPos { stream, partition: 0, offset };
                let meta = RecordMeta { pos, tick: 1_700_000_000_000, append_known: true };
                assert!(!decoder.decode(stream, None, Some(record.as_bytes()), meta, &mut rows).rejected);
            }
        }
        COUNT.get() - before
    };
    assert!(count(1) > 0, "new names do cost one: the counter works");
    assert_eq!(count(1000), 0);
}
