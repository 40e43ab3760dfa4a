//! Limits of classes: within which a case must be handled whose dispatch names no limit.
//!
//! **Meaning.** A dispatch freezes the limit that the record of its class names for its source at the time of the
//! dispatch; where the class says nothing, the record `*` does. A record holds from its `ts` (else from its tick) until
//! one that holds later takes its place; a dispatch before all of them takes the first. So a changed limit counts for
//! what is dispatched from then on, and a backdated one for what was dispatched since its `ts`. Source: 运城 (a change of
//! a limit applies only to cases dispatched later).
//!
//! **Mechanism.** The records of a class that were ever in force, by the time from which they hold.
//!
//! **State.** One entry per such record.

use std::collections::BTreeMap;

use foldhash::HashMap;
use model::reference::CaseClassRef;
use model::rows::Limit;
use model::{Names, Sym};

/// The records of all classes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `*`.
    any: Sym,
    /// By class, and the time from which it holds, Unix ms; `None` where the record was deleted.
    classes: HashMap<Sym, BTreeMap<i64, Option<CaseClassRef>>>,
}

impl Limits {
    /// No records.
    pub fn new(names: &Names) -> Self {
        Self { any: names.intern("*"), classes: HashMap::default() }
    }

    /// The record of `class` is this from `from` on.
    pub fn set(&mut self, class: Sym, from: i64, record: Option<CaseClassRef>) {
        let records = self.classes.entry(class).or_default();
        records.split_off(&from);
        records.insert(from, record);
    }

    /// The limit of a case of `class` from `source` that is dispatched at `ts`.
    pub fn of(&self, class: Sym, source: Sym, ts: i64) -> Option<Limit> {
        let named = |class: &Sym| {
            let records = self.classes.get(class)?;
            let (_, record) = records.range(..=ts).next_back().or_else(|| records.first_key_value())?;
            record.as_ref()?.limit(source)
        };
        [class, self.any].iter().find_map(named)
    }
}
