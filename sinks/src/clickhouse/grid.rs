//! Cuts frames into cells of a fixed grid of ticks, and takes whole cells out in groups.
//!
//! **Meaning.** The grid has its lines at the multiples of its width; the cell that ends at line E holds the ticks in
//! (E − width, E] and its `upper` is E + 1, exclusive like every `upper`. A cell is whole once a frame has come whose
//! `upper` is at least the cell's: then no change can join it any more, whatever frames its changes came in.
//! A group is a run of whole cells that are written together; where it may end is said by [`Cuts`](super::cuts::Cuts).
//!
//! **State.** The changes of the cells that are not taken out yet: the open cell, and the frames that were pushed.

use std::collections::BTreeMap;

use model::{Changes, Error, Frame, Result, Tick, ViewSpec};

/// A run of whole cells.
#[derive(Debug)]
pub struct Group {
    /// First tick after the group.
    pub upper: Tick,
    /// Place of the view in the list of views, and its changes in order of tick; never empty.
    pub views: BTreeMap<usize, Changes>,
}

/// The part of the sink that knows the grid.
#[derive(Debug)]
pub struct Grid {
    width: u64,
    arities: Vec<usize>,
    /// What is already written, for each view: its changes before this tick are skipped.
    written: Vec<Tick>,
    open: BTreeMap<Tick, BTreeMap<usize, Changes>>,
    complete: Tick,
    rows: usize,
}

impl Grid {
    /// A grid of `width_ms` (positive) for the views `specs`, of which everything before `written` is written already.
    pub fn new(width_ms: u64, specs: &[ViewSpec], written: Vec<Tick>) -> Self {
        assert!(width_ms > 0 && written.len() == specs.len());
        let arities = specs.iter().map(|spec| spec.columns.len()).collect();
        Self { width: width_ms, arities, written, open: BTreeMap::new(), complete: 0, rows: 0 }
    }

    /// The `upper` of the cell that holds `tick`.
    fn upper_of(&self, tick: Tick) -> Tick {
        tick.div_ceil(self.width) * self.width + 1
    }

    /// Takes in the changes of one frame that are neither written nor taken in yet.
    ///
    /// # Errors
    /// Internal when ticks are missing between what is there and the frame: going on would lose their changes.
    pub fn push(&mut self, frame: &Frame) -> Result<()> {
        let known = self.written.iter().copied().min().unwrap_or(0).max(self.complete);
        if frame.lower > known {
            return Err(Error::internal(format!(
                "the frames of the ticks {known} to {} are missing",
                frame.lower - 1
            )));
        }
        for step in &frame.steps {
            let view = usize::from(step.view.0);
            if view >= self.written.len() {
                return Err(Error::internal(format!(
                    "a step of view {view}, of {} views",
                    self.written.len()
                )));
            }
            for change in step.changes.iter() {
                if change.tick >= self.written[view].max(self.complete) {
                    self.rows += 1;
                    let (upper, arity) = (self.upper_of(change.tick), self.arities[view]);
                    let cell = self.open.entry(upper).or_default();
                    cell.entry(view).or_insert_with(|| Changes::new(arity)).push(
                        change.tick,
                        change.op,
                        change.row,
                    );
                }
            }
        }
        self.complete = self.complete.max(frame.upper);
        Ok(())
    }

    /// The `upper` of the last whole cell; 0 when there is none.
    pub fn whole_upper(&self) -> Tick {
        // The last line E with E + 1 ≤ complete; the cell of tick 0 ends at line 0.
        self.complete.checked_sub(1).map_or(0, |last| last / self.width * self.width + 1)
    }

    /// Number of changes that are not taken out yet.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes out the next whole cells: up to the end at `most`, and no more than the one that brings the group to
    /// `rows` changes. Cells before must have been taken out; `most` must be a whole cell's `upper`.
    pub fn take(&mut self, most: Tick, rows: usize) -> Group {
        assert!(most <= self.whole_upper());
        let mut group = Group { upper: most, views: BTreeMap::new() };
        let mut taken = 0;
        while let Some(cell) = self.open.first_entry().filter(|cell| *cell.key() <= most) {
            let (upper, views) = cell.remove_entry();
            for (view, mut changes) in views {
                taken += changes.len();
                self.rows -= changes.len();
                match group.views.get_mut(&view) {
                    Some(before) => before.append(&mut changes),
                    None => {
                        group.views.insert(view, changes);
                    }
                }
            }
            if taken >= rows {
                group.upper = upper;
                break;
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use model::{Column, Op, Step, Type, Value, ViewId};

    use super::*;

    const SPEC: ViewSpec = ViewSpec {
        name: "v",
        zh: "",
        doc: "",
        key: 1,
        columns: &[Column::new("k", Type::Int, "", "")],
        bounded_by: "",
    };

    fn frame(lower: Tick, upper: Tick, ticks: &[Tick]) -> Frame {
        let mut changes = Changes::new(1);
        for &tick in ticks {
            changes.push(tick, Op::Upsert, &[Value::Int(tick as i64)]);
        }
        Frame { lower, upper, tick: upper - 1, steps: vec![Step { view: ViewId(0), lower, upper, changes }] }
    }

    /// Takes out every whole cell on its own.
    fn taken(grid: &mut Grid) -> (Vec<(Tick, Vec<Tick>)>, Tick) {
        let whole = grid.whole_upper();
        let mut cells = Vec::new();
        loop {
            let group = grid.take(whole, 1);
            let Some(changes) = group.views.get(&0) else {
                return (cells, whole);
            };
            cells.push((group.upper, changes.iter().map(|change| change.tick).collect()));
        }
    }

    #[test]
    fn a_cell_ends_on_its_line_and_is_whole_once_a_frame_goes_past_it() {
        let mut grid = Grid::new(1000, &[SPEC], vec![0]);
        assert_eq!(taken(&mut grid), (vec![], 0));
        grid.push(&frame(0, 1, &[0])).unwrap();
        assert_eq!(taken(&mut grid), (vec![(1, vec![0])], 1));
        grid.push(&frame(1, 801, &[200, 800])).unwrap();
        assert_eq!(taken(&mut grid), (vec![], 1));
        grid.push(&frame(801, 1001, &[1000])).unwrap();
        assert_eq!(taken(&mut grid), (vec![(1001, vec![200, 800, 1000])], 1001));
        grid.push(&frame(1001, 1200, &[])).unwrap();
        assert_eq!(taken(&mut grid), (vec![], 1001));
    }

    #[test]
    fn frames_of_any_span_give_the_same_cells() {
        let ticks: Vec<Tick> = (0..50).map(|i| i * 170 + 10).collect();
        let mut at_once = Grid::new(1000, &[SPEC], vec![0]);
        at_once.push(&frame(0, 8001, &ticks)).unwrap();
        let expected = taken(&mut at_once).0;
        for span in [1, 7, 200, 999, 2500] {
            let mut grid = Grid::new(1000, &[SPEC], vec![0]);
            let mut cells = Vec::new();
            for lower in (0..8001).step_by(span) {
                let upper = (lower + span as u64).min(8001);
                let inside: Vec<Tick> =
                    ticks.iter().copied().filter(|t| (lower..upper).contains(t)).collect();
                grid.push(&frame(lower, upper, &inside)).unwrap();
                cells.extend(taken(&mut grid).0);
            }
            assert_eq!(cells, expected, "frames of {span} ms");
        }
    }

    #[test]
    fn what_is_written_is_skipped() {
        let mut grid = Grid::new(1000, &[SPEC], vec![1001]);
        grid.push(&frame(0, 2001, &[500, 1000, 1001, 2000])).unwrap();
        assert_eq!(taken(&mut grid), (vec![(2001, vec![1001, 2000])], 2001));
    }

    #[test]
    fn repeats_are_skipped_and_gaps_are_errors() {
        let mut grid = Grid::new(1000, &[SPEC], vec![0]);
        grid.push(&frame(0, 801, &[200, 800])).unwrap();
        grid.push(&frame(0, 1001, &[200, 800, 900])).unwrap();
        assert_eq!(taken(&mut grid).0, [(1001, vec![200, 800, 900])]);
        let error = grid.push(&frame(1201, 1401, &[])).unwrap_err();
        assert_eq!(error.to_string(), "the frames of the ticks 1001 to 1200 are missing");
    }

    #[test]
    fn a_group_ends_with_the_cell_that_fills_it() {
        let mut grid = Grid::new(1000, &[SPEC], vec![0]);
        grid.push(&frame(0, 9001, &[200, 1200, 1400, 3000, 8000])).unwrap();
        let mut take = |most, rows| {
            let group = grid.take(most, rows);
            (group.upper, group.views.values().map(Changes::len).sum::<usize>())
        };
        assert_eq!(take(9001, 2), (2001, 3));
        assert_eq!(take(7001, 2), (7001, 1));
        assert_eq!(take(9001, 2), (9001, 1));
        assert_eq!(grid.rows(), 0);
    }
}
