//! Interned names: string keys become `u32` at the edge and strings again when a row is published.
//!
//! A [`Sym`] means the same string for the life of the process and nothing beyond it: its number depends on the order
//! of arrival, so it must never be stored, sorted by, or compared across processes. [`Names`] only grows; its size is
//! bounded by the number of distinct identifiers (sensors, vehicles, cases, districts …) the log has named.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

/// An interned string; the empty one by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sym(pub u32);

impl Sym {
    /// The empty string, interned first in every [`Names`].
    pub const EMPTY: Sym = Sym(0);
}

/// The table of interned strings: one per process, shared by the edge that interns and the readers that resolve.
///
/// Resolving takes no lock, so a worker may do it; interning takes one only for a string that is new.
pub struct Names {
    by_text: RwLock<HashMap<Arc<str>, Sym>>,
    by_sym: boxcar::Vec<Arc<str>>,
}

impl Names {
    /// A table that holds only the empty string.
    pub fn new() -> Self {
        let names = Self { by_text: RwLock::default(), by_sym: boxcar::Vec::new() };
        assert_eq!(names.intern(""), Sym::EMPTY, "the empty string is interned first");
        names
    }

    /// The symbol of `text`, new or known.
    pub fn intern(&self, text: &str) -> Sym {
        if let Some(sym) = self.by_text.read().get(text) {
            return *sym;
        }
        let mut by_text = self.by_text.write();
        if let Some(sym) = by_text.get(text) {
            return *sym;
        }
        let shared: Arc<str> = text.into();
        let index = self.by_sym.push(Arc::clone(&shared));
        let sym = Sym(u32::try_from(index).expect("fewer than 2^32 distinct names"));
        by_text.insert(shared, sym);
        sym
    }

    /// The symbol of `text` if it has one.
    pub fn get(&self, text: &str) -> Option<Sym> {
        self.by_text.read().get(text).copied()
    }

    /// The string of `sym`, which must come from this table.
    pub fn resolve(&self, sym: Sym) -> &str {
        &self.by_sym[sym.0 as usize]
    }

    /// Number of distinct strings.
    pub fn len(&self) -> usize {
        self.by_sym.count()
    }

    /// Never true: the empty string is always there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Names({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Sym};

    #[test]
    fn a_name_is_interned_once() {
        let names = Names::new();
        let (a, b) = (names.intern("宝塔区"), names.intern("安塞区"));
        assert_ne!(a, b);
        assert_eq!(names.intern("宝塔区"), a);
        assert_eq!(names.resolve(b), "安塞区");
        assert_eq!(names.resolve(Sym::EMPTY), "");
        assert_eq!(names.get("富县"), None);
        assert_eq!(names.len(), 3);
    }
}
