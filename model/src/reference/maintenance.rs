//! `maintenance`: a time in which alerts of a place are expected.

use serde::{Deserialize, Serialize};

use crate::names::Sym;

/// `maintenance`: alerts raised in it, by what it names, are nobody's incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRef {
    /// Only this sensor; empty = any.
    pub sensor: Sym,
    /// Only this site; empty = any.
    pub site: Sym,
    /// Only this gateway; empty = any.
    pub gateway: Sym,
    /// Only this street; empty = any.
    pub street: Sym,
    /// Only this district; empty = any.
    pub district: Sym,
    /// When it begins, Unix ms.
    pub from: i64,
    /// When it ends, Unix ms.
    pub to: i64,
}
