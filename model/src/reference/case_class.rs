//! `case_class`: the limits of a class of cases.

use serde::{Deserialize, Serialize};

use crate::names::Sym;
use crate::rows::Limit;

/// `case_class`: within which limit its cases must be handled where their dispatch names none. The id `*` speaks of all
/// classes that say nothing themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CaseClassRef {
    /// By source, such as `hotline_12345`; the empty name is `default`: any source that is not named.
    pub limits: Vec<(Sym, Limit)>,
}

impl CaseClassRef {
    /// The limit of a case from `source`.
    pub fn limit(&self, source: Sym) -> Option<Limit> {
        let of =
            |wanted: Sym| self.limits.iter().find(|(named, _)| *named == wanted).map(|(_, limit)| *limit);
        of(source).or_else(|| of(Sym::EMPTY))
    }
}
