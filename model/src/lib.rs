//! The shared vocabulary of Chengmai: ticks, names, rows, feeds, steps, view specifications and errors.
//!
//! Everything depends on this crate and it depends on nothing of ours. It knows plain types and serde; it knows
//! neither timely, tokio, Kafka nor HTTP, so that every boundary of the system can be written down here once.

pub mod crs;
pub mod error;
pub mod feed;
pub mod names;
pub mod period;
pub mod reference;
pub mod rows;
pub mod tick;
pub mod view;

pub use error::{Error, Fault, Result, Retry};
pub use feed::{Change, Changes, Feed, Frame, Op, PastChange, Step};
pub use names::{Names, Sym};
pub use period::{Period, PeriodKind};
pub use reference::{Kind, RefBody, RefRecord, Typed};
pub use rows::{
    Action, ActionKind, Bound, CaseEvent, CaseEventKind, Fix, LogPos, Quality, Reading, Refused, Row,
    StreamId,
};
pub use tick::{Tick, TickLength};
pub use view::{Column, Type, Value, ViewId, ViewSpec};
