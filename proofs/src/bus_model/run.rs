//! All states of a plan.

use std::fmt;
use std::hash::{Hash, Hasher};

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::plan::Plan;
use super::promises;
use super::state::State;
use super::steps::{self, Step};

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {} L2 {:?}", self.source, self.l2)?;
        for node in &self.nodes {
            write!(f, " | L1 {:?} loads {} {:?} floor {}", node.l1, node.loads.len(), node.ear, node.floor)?;
        }
        Ok(())
    }
}

// Compared by what the checker goes by.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let hash = |state: &Self| {
            let mut hasher = std::hash::DefaultHasher::new();
            state.hash(&mut hasher);
            hasher.finish()
        };
        hash(self) == hash(other)
    }
}

const AT_REST: &str = "all is written and at rest";

/// The plan, as the checker asks for its states.
struct Running(Plan);

impl Model for Running {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.0)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        steps::steps(&self.0, state, actions);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        steps::take(&self.0, &mut state, step);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nobody answers older", |_, state| promises::nobody_answers_older(state)),
            Property::always("nothing is stored over a purge", |_, state| {
                promises::nothing_is_stored_over_a_purge(state)
            }),
            Property::always("at rest nothing is old", |Self(plan), state| {
                promises::at_rest_nothing_is_old(plan, state)
            }),
            Property::always("an answer says what was told", |Self(plan), state| {
                promises::an_answer_says_what_was_told(plan, state)
            }),
            Property::always("no confirmed set is lost", |_, state| promises::no_confirmed_set_is_lost(state)),
            // The model is not so narrow that nothing happens.
            Property::sometimes(AT_REST, |Self(plan), state: &State| {
                let all = |n: usize| usize::from(state.nodes[n].called) == plan.writes[n].len();
                all(0)
                    && all(1)
                    && promises::is_at_rest(plan, state)
                    && state.nodes.iter().all(|node| node.l1.is_some())
            }),
        ]
    }
}

/// What was seen of a plan.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// The most steps to one of them.
    pub depth: usize,
    /// The first promise that was broken, and how.
    pub refuted: Option<Refuted>,
    /// All writes ended, and both nodes have the newest in L1.
    pub comes_to_rest: bool,
}

/// A promise, and the steps that break it.
#[derive(Clone, Debug)]
pub struct Refuted {
    /// Its name.
    pub promise: &'static str,
    /// States, each with the step that leads on.
    pub trace: Vec<String>,
}

/// Looks at all states of the plan, at those up to the first broken promise, or at so many.
#[must_use]
pub fn explore(plan: &Plan, most: Option<usize>) -> Explored {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut checker = Running(plan.clone()).checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    if let Some(most) = most {
        checker = checker.target_state_count(most);
    }
    let seen = checker.spawn_bfs().join();
    let mut explored =
        Explored { states: seen.unique_state_count(), depth: seen.max_depth(), refuted: None, comes_to_rest: false };
    for (promise, path) in seen.discoveries() {
        if promise == AT_REST {
            explored.comes_to_rest = true;
            continue;
        }
        let mut trace = Vec::new();
        for (state, step) in path.into_vec() {
            trace.push(step.map_or_else(|| format!("{state:?}"), |step| format!("{state:?}\n    {step:?}")));
        }
        explored.refuted = Some(Refuted { promise, trace });
    }
    explored
}
