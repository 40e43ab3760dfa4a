//! Where a group of cells may end, so that a group written again after a crash is the same group.
//!
//! **Meaning.** Each group is written from the tick `lower` where the last one ended (the lowest `upper` of any view in
//! `sink_progress`) to its own `upper`. Live, a group is one cell. When the sink has fallen behind, one insert for each
//! cell would keep it there, so it writes many cells as one group, and says so first: `(lower, upper)` goes into
//! `sink_groups` before the first insert. When the program dies before the group's progress is noted, the next start
//! finds `lower` in the progress and so knows what had been tried from there: the noted group, or else one cell.
//! It ends its own groups at the same places, and the same group has the same rows and the same tokens.
//!
//! **State.** Two ends for each distinct progress: at most twice the number of views.

use std::collections::{BTreeMap, BTreeSet};

use model::Tick;

/// The places where groups must end, and those groups that must reach one.
#[derive(Debug)]
pub struct Cuts {
    width: u64,
    ends: BTreeSet<Tick>,
    /// Groups that were tried: `lower` and `upper`.
    tried: BTreeMap<Tick, Tick>,
}

/// Where the next group may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At this tick at the latest.
    AtMost(Tick),
    /// At this tick.
    Exactly(Tick),
    /// Anywhere.
    Free,
}

impl Cuts {
    /// The cuts after a start that found `written` for the views and `groups` (`lower`, `upper`) noted.
    pub fn new(width_ms: u64, written: &[Tick], groups: impl IntoIterator<Item = (Tick, Tick)>) -> Self {
        // A group is unfinished when a view is still at its beginning. Others are done.
        let tried: BTreeMap<Tick, Tick> =
            groups.into_iter().filter(|(lower, _)| written.contains(lower)).collect();
        let mut this = Self { width: width_ms, ends: BTreeSet::new(), tried };
        for &lower in written {
            let upper = this.tried.get(&lower).copied().unwrap_or_else(|| this.next_cell(lower));
            this.ends.extend([lower, upper]);
        }
        this
    }

    /// The end of the cell that begins at `lower`.
    fn next_cell(&self, lower: Tick) -> Tick {
        if lower == 0 { 1 } else { lower + self.width }
    }

    /// Where the group that begins at `lower` may end.
    pub fn end(&self, lower: Tick) -> End {
        if let Some(&upper) = self.tried.get(&lower) {
            return End::Exactly(upper);
        }
        match self.ends.range(lower + 1..).next() {
            Some(&upper) => End::AtMost(upper),
            None => End::Free,
        }
    }

    /// Whether the group must be noted before it is written: the next start would not cut it like this by itself.
    pub fn must_note(&self, lower: Tick, upper: Tick) -> bool {
        upper != self.next_cell(lower) && !self.tried.contains_key(&lower)
    }

    /// Whether no group that was tried is unfinished.
    pub fn nothing_tried(&self) -> bool {
        self.tried.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_was_tried_is_cut_again_as_it_was() {
        let cuts = Cuts::new(1000, &[5001, 5001], [(1, 5001), (5001, 9001)]);
        assert_eq!(cuts.end(5001), End::Exactly(9001));
        assert_eq!(cuts.end(9001), End::Free);
        assert!(!cuts.must_note(5001, 9001));
        assert!(cuts.must_note(9001, 12_001));
    }

    #[test]
    fn without_a_note_one_cell_was_tried() {
        let cuts = Cuts::new(1000, &[5001], [(1, 5001)]);
        assert!(cuts.nothing_tried());
        assert_eq!(cuts.end(5001), End::AtMost(6001));
        assert!(!cuts.must_note(5001, 6001));
        assert_eq!(Cuts::new(1000, &[0], []).end(0), End::AtMost(1));
    }

    #[test]
    fn a_new_view_is_filled_without_crossing_what_was_tried_for_the_others() {
        let cuts = Cuts::new(1000, &[5001, 0], [(5001, 9001)]);
        assert_eq!(cuts.end(0), End::AtMost(1));
        assert_eq!(cuts.end(1), End::AtMost(5001));
        assert_eq!(cuts.end(3001), End::AtMost(5001));
        assert_eq!(cuts.end(5001), End::Exactly(9001));
    }
}
