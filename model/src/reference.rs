//! Reference data: districts, sensors, vehicles, roads, rules … as records that may change at any tick.
//!
//! A later record of the same kind and id replaces the earlier one; a record without a body deletes it; `ts` says when
//! it takes effect (default: its tick). The kinds the dataflow computes with are typed here; every kind keeps its JSON,
//! which is what the `reference` view publishes.

pub mod care;
pub mod case_class;
pub mod fence;
pub mod fields;
pub mod green_space;
pub mod maintenance;
pub mod park;
pub mod radius_scheme;
pub mod road;
pub mod rule;
pub mod score;
pub mod shape;
pub mod shift;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use case_class::CaseClassRef;
pub use maintenance::MaintenanceRef;
pub use rule::{FormulaRef, Level, Limit, RuleRef, Selector, Severity, Signal};
pub use score::{IndicatorRef, MeasureRef, SchemeRef};

use crate::names::Sym;
use crate::rows::LogPos;
pub use park::{ParkRef, ParkStatus, ResidenceRef, WalkwayRef};
pub use radius_scheme::{RadiusSchemeRef, RadiusStep};
pub use shape::{Geometry, LonLat};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The kinds of reference records of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// All kinds, in the order of the contract.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            /// The name of the kind in a record.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }

            /// The kind called `name`.
            pub fn from_name(name: &str) -> Option<Kind> {
                match name { $($name => Some(Kind::$variant),)* _ => None }
            }
        }
    };
}

kinds! {
    /// 区县, or a unit without an adcode of its own.
    District = "district",
    /// 单元网格.
    Grid = "grid",
    /// A sensor and its heartbeat.
    Sensor = "sensor",
    /// A vehicle and its working parameters.
    Vehicle = "vehicle",
    /// A fleet.
    Fleet = "fleet",
    /// 专业部门.
    Department = "department",
    /// A contractor.
    Company = "company",
    /// A road and its sweeping plan.
    Road = "road",
    /// 班次.
    Shift = "shift",
    /// 电子围栏.
    Fence = "fence",
    /// 公园.
    Park = "park",
    /// 居住用地.
    Residence = "residence",
    /// 绿地.
    GreenSpace = "green_space",
    /// 古树名木.
    Tree = "tree",
    /// 养护责任区.
    CareArea = "care_area",
    /// A walkable edge.
    Walkway = "walkway",
    /// Levels of 三绿指标, by one edition of a standard.
    GreenEdition = "green_edition",
    /// How far parks reach, by one edition of a standard.
    RadiusScheme = "radius_scheme",
    /// A day of the working calendar.
    Calendar = "calendar",
    /// A case class with its limits.
    CaseClass = "case_class",
    /// An alert rule.
    Rule = "rule",
    /// A time in which alerts of a place are expected.
    Maintenance = "maintenance",
    /// An indicator.
    Indicator = "indicator",
    /// A score scheme.
    ScoreScheme = "score_scheme",
    /// A number that no stream brings.
    Measure = "measure",
}

/// One reference record as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefRecord {
    /// Where the record stands in the log.
    pub pos: LogPos,
    /// Its kind.
    pub kind: Kind,
    /// Its id, unique within the kind.
    pub id: Sym,
    /// When it takes effect, Unix ms; `None` = at its tick.
    pub ts: Option<i64>,
    /// The content; `None` deletes.
    pub body: Option<Arc<RefBody>>,
}

/// The content of a reference record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefBody {
    /// The record as one line of JSON, as it came.
    pub json: Arc<str>,
    /// What the dataflow computes with.
    pub typed: Typed,
}

/// The typed content of the kinds that the dataflow computes with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Typed {
    /// `sensor`.
    Sensor(SensorRef),
    /// `vehicle`.
    Vehicle(VehicleRef),
    /// `rule`.
    Rule(Box<RuleRef>),
    /// `maintenance`.
    Maintenance(MaintenanceRef),
    /// `calendar`.
    Calendar(CalendarRef),
    /// `case_class`.
    CaseClass(CaseClassRef),
    /// `indicator`.
    Indicator(Box<IndicatorRef>),
    /// `score_scheme`.
    ScoreScheme(Box<SchemeRef>),
    /// `measure`.
    Measure(Box<MeasureRef>),
    /// `road`.
    Road(Arc<road::RoadRef>),
    /// `shift`.
    Shift(shift::ShiftRef),
    /// `fence`.
    Fence(Box<fence::FenceRef>),
    /// `park`.
    Park(ParkRef),
    /// `residence`.
    Residence(ResidenceRef),
    /// `walkway`.
    Walkway(WalkwayRef),
    /// `green_space`.
    GreenSpace(green_space::GreenSpaceRef),
    /// `tree`.
    Tree(care::TreeRef),
    /// `care_area`.
    CareArea(care::CareAreaRef),
    /// `green_edition`.
    GreenEdition(green_space::GreenEditionRef),
    /// `district`: what greening needs of it.
    District(green_space::GreenDistrict),
    /// `radius_scheme`.
    RadiusScheme(RadiusSchemeRef),
    /// A kind that no view computes with yet: published as JSON only.
    Other,
}

/// `sensor`: what it measures, where, and how often it must be heard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SensorRef {
    /// `sensor_kind`; empty when not said.
    pub kind: Sym,
    /// `district`; empty when not said.
    pub district: Sym,
    /// `heartbeat_s`: it reports at least this often, seconds; `None` = never judged offline.
    pub heartbeat_s: Option<f64>,
    /// `site`: the place it shares with other sensors; empty when not said.
    pub site: Sym,
    /// `gateway`: through which it reports; empty when not said.
    pub gateway: Sym,
    /// `street`: the street that it is on; empty when not said.
    pub street: Sym,
    /// `tags`, ascending by symbol.
    pub tags: Vec<Sym>,
}

/// `vehicle`: whose it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VehicleRef {
    /// `fleet`; empty when not said.
    pub fleet: Sym,
    /// `district`; empty when not said.
    pub district: Sym,
    /// `vehicle_kind`; empty when not said.
    pub vehicle_kind: Sym,
    /// `working_speed`: least and greatest speed at which its work counts, km/h.
    pub working_speed: Option<[f64; 2]>,
    /// `speed_limit`: its own, km/h.
    pub speed_limit_kmh: Option<f64>,
}

/// `calendar`: one day. Days without a record are working days from Monday to Friday.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalendarRef {
    /// Days since 1970-01-01 of the city's own date.
    pub day: i32,
    /// Whether it is a working day (a 调休 Saturday is one; a holiday Monday is not).
    pub working: bool,
    /// Working hours as minutes of the day `[from, to)`, ascending; empty = the default hours.
    pub hours: Vec<(u16, u16)>,
}
