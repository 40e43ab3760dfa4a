//! Interned names: string keys become `u32` at the edge and strings again when a row is published.
//!
//! A [`Sym`] means the same string for the life of the process and nothing beyond it: its number depends on the order
//! of arrival, so it must never be stored, sorted by, or compared across processes. [`Names`] only grows; its size is
//! bounded by the number of distinct identifiers (sensors, vehicles, cases, districts …) the log has named.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
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
///
/// Each string is kept once: the table by text holds symbols and reads the strings where they are.
pub struct Names {
    by_text: RwLock<HashTable<Sym>>,
    by_sym: boxcar::Vec<Box<str>>,
    hasher: RandomState,
}

impl Names {
    /// A table that holds only the empty string.
    pub fn new() -> Self {
        let names =
            Self { by_text: RwLock::default(), by_sym: boxcar::Vec::new(), hasher: RandomState::default() };
        assert_eq!(names.intern(""), Sym::EMPTY, "the empty string is interned first");
        names
    }

    /// The symbol of `text`, new or known.
    pub fn intern(&self, text: &str) -> Sym {
        if let Some(sym) = self.get(text) {
            return sym;
        }
        let hash = self.hasher.hash_one(text);
        let mut by_text = self.by_text.write();
        // Somebody else may have been here in between.
        if let Some(sym) = by_text.find(hash, |sym| self.resolve(*sym) == text) {
            return *sym;
        }
        let index = self.by_sym.push(text.into());
        let sym = Sym(u32::try_from(index).expect("fewer than 2^32 distinct names"));
        by_text.insert_unique(hash, sym, |sym| self.hasher.hash_one(self.resolve(*sym)));
        sym
    }

    /// The symbol of `text` if it has one.
    pub fn get(&self, text: &str) -> Option<Sym> {
        let hash = self.hasher.hash_one(text);
        self.by_text.read().find(hash, |sym| self.resolve(*sym) == text).copied()
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
        // Whatever the size that the table grew to.
        let many: Vec<Sym> = (0..10_000).map(|n| names.intern(&format!("c-{n}"))).collect();
        assert_eq!(names.len(), 10_003);
        for (n, sym) in many.into_iter().enumerate() {
            let text = format!("c-{n}");
            assert_eq!((names.get(&text), names.intern(&text), names.resolve(sym)), (Some(sym), sym, &*text));
        }
    }
}
