//! Breadth first through every state; backwards from those without waiting work, to find states that never get there.

use std::collections::HashMap;

use super::rules::Rules;
use super::state::{KEYS, Life, Row, State};
use super::steps::{Kind, Steps, Wrong};

/// What a whole search has seen.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    pub(crate) depth: usize,
}

/// What is wrong, and the steps that lead there.
#[derive(Debug)]
#[allow(dead_code, reason = "printed when a search fails")]
pub(crate) struct Counterexample {
    pub(crate) wrong: Wrong,
    pub(crate) way: Vec<&'static str>,
    pub(crate) state: State,
}

struct Search {
    places: HashMap<State, usize>,
    states: Vec<State>,
    /// From where, by which step, at which depth.
    came: Vec<(usize, &'static str, usize)>,
    /// Good steps, backwards.
    back: Vec<(usize, usize)>,
}

pub(crate) fn explore(rules: &Rules) -> Result<Explored, Counterexample> {
    let first = State::first().normal();
    let mut search = Search {
        places: HashMap::from([(first, 0)]),
        states: vec![first],
        came: vec![(0, "", 0)],
        back: Vec::new(),
    };
    let mut explored = Explored::default();
    while explored.states < search.states.len() {
        let here = explored.states;
        explored.states += 1;
        for (kind, says, to) in Steps::of(rules, search.states[here]) {
            explored.steps += 1;
            let to = to.map_err(|wrong| search.tell(wrong, here, Some(says)))?;
            let there = search.place(to.normal(), here, says);
            if kind == Kind::Good && there != here {
                search.back.push((there, here));
            }
            check(&to).map_err(|wrong| search.tell(wrong, there, None))?;
        }
        explored.depth = search.came[here].2;
    }
    match search.stranded() {
        Some(place) => Err(search.tell(Wrong::Stranded, place, None)),
        None => Ok(explored),
    }
}

/// Whoever acts as the owner and is in time is the owner by the row, and no fence is had twice.
fn check(state: &State) -> Result<(), Wrong> {
    for key in KEYS {
        let row = state.keys[key];
        let owns = |epoch| row.row == Row::Held && row.epoch == epoch;
        let in_time = state.tenures(key).filter(|it| it.life == Life::Timely);
        let present = state.tenures(key).filter(|it| it.epoch == row.epoch).count();
        if !in_time.into_iter().all(|it| owns(it.epoch)) || present > 1 {
            return Err(Wrong::TwoLiveOwners);
        }
    }
    Ok(())
}

impl Search {
    fn place(&mut self, state: State, from: usize, says: &'static str) -> usize {
        *self.places.entry(state).or_insert_with(|| {
            self.states.push(state);
            self.came.push((from, says, self.came[from].2 + 1));
            self.states.len() - 1
        })
    }

    /// A state with waiting work from which good steps never lead to one without.
    fn stranded(&mut self) -> Option<usize> {
        self.back.sort_unstable();
        let waits = |state: &State| state.keys.iter().any(|key| key.message.is_waiting_work());
        let mut rescued: Vec<bool> = self.states.iter().map(|state| !waits(state)).collect();
        let mut next: Vec<usize> = (0..rescued.len()).filter(|place| rescued[*place]).collect();
        while let Some(there) = next.pop() {
            let first = self.back.partition_point(|(to, _)| *to < there);
            for (_, from) in self.back[first..].iter().take_while(|(to, _)| *to == there) {
                if !rescued[*from] {
                    rescued[*from] = true;
                    next.push(*from);
                }
            }
        }
        rescued.iter().position(|rescued| !rescued)
    }

    fn tell(&self, wrong: Wrong, mut place: usize, last: Option<&'static str>) -> Counterexample {
        let state = self.states[place];
        let mut way: Vec<_> = last.into_iter().collect();
        while place != 0 {
            way.push(self.came[place].1);
            place = self.came[place].0;
        }
        way.reverse();
        Counterexample { wrong, way, state }
    }
}
