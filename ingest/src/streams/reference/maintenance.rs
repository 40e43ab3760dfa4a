//! `maintenance`: `from` and `to` (times), and at least one of `sensor`, `site`, `gateway`, `street` and `district`, all of
//! which must match.

use model::Sym;
use model::reference::MaintenanceRef;
use serde::Deserialize;

use super::name;
use crate::streams::fields::{Object, Time, short};
use crate::streams::{Interner, Reason};

pub(super) fn parse(interner: &mut Interner, object: &Object) -> Result<MaintenanceRef, Reason> {
    let time = |field: &str| match object.get(field) {
        None => Err(format!("missing_field: `{field}` is missing")),
        Some(value) => Time::deserialize(value)
            .map(|time| time.0)
            .map_err(|_| format!("wrong_type: `{field}` is {}, expected a time", short(value))),
    };
    let (from, to) = (time("from")?, time("to")?);
    if to <= from {
        return Err("out_of_range: `to` must be later than `from`".into());
    }
    let mut place = |field: &str| name(interner, object, field);
    let record = MaintenanceRef {
        sensor: place("sensor")?,
        site: place("site")?,
        gateway: place("gateway")?,
        street: place("street")?,
        district: place("district")?,
        from,
        to,
    };
    let places = [record.sensor, record.site, record.gateway, record.street, record.district];
    if places.iter().all(|place| *place == Sym::EMPTY) {
        return Err(
            "missing_field: expected one of `sensor`, `site`, `gateway`, `street` and `district`".into()
        );
    }
    Ok(record)
}
