//! What may happen next, and what it does.

mod bus;
mod listen;
mod load;
mod publish;
mod write;

use super::plan::Plan;
use super::state::State;

/// A step; `usize` is the node that makes it, or that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A reader misses in L1: it reads L2, or the source.
    Load(usize),
    /// The load with this place fills L2, if it may, and then L1, if it may.
    Store(usize, usize),
    /// The source changes, and the next write of the plan is called.
    Call(usize),
    /// The write with this place has its turn in L2, which confirms it or not.
    Turn(usize, usize, bool),
    /// L2 confirms a delete that was sent again.
    Recover(usize),
    /// The next message is handed to the bus.
    Publish(usize, Fate),
    /// The bus answers.
    Answer(usize),
    Hello(usize),
    /// The task that listens has the next event.
    Hear(usize),
    /// It goes on with a gap, or with `Listening`.
    HearOn(usize),
    HearTwice(usize),
    /// The bus has listened for half a minute.
    Settle(usize),
    Swap(usize),
    Lose(usize),
    Damage(usize),
    Cut(usize),
    /// The queue was full: all is dropped, and the bus listens on.
    Overflow(usize),
    /// The node asks the bus to listen again, where that is a step of its own.
    Ask(usize),
    /// The bus listens again.
    Subscribe(usize),
    /// `suspect_ttl` is over.
    Tick,
}

/// What becomes of a message that is handed to the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    Refused,
    /// It is on its way, and the node is told that it is not.
    Doubtful,
}

/// All that may happen in this state.
pub(crate) fn steps(plan: &Plan, state: &State, out: &mut Vec<Step>) {
    if state.broken.is_some() {
        return;
    }
    for n in 0..2 {
        load::steps(plan, state, n, out);
        write::steps(plan, state, n, out);
        publish::steps(plan, state, n, out);
        listen::steps(state, n, out);
        bus::steps(plan, state, n, out);
    }
    if bus::may_tick(state) {
        out.push(Step::Tick);
    }
}

/// The state after it.
pub(crate) fn take(plan: &Plan, state: &mut State, step: Step) {
    match step {
        Step::Load(n) => load::load(plan, state, n),
        Step::Store(n, at) => load::store(plan, state, n, at),
        Step::Call(n) => write::call(plan, state, n),
        Step::Turn(n, at, confirms) => write::turn(plan, state, n, at, confirms),
        Step::Recover(n) => write::recover(plan, state, n),
        Step::Publish(n, fate) => publish::publish(plan, state, n, fate),
        Step::Answer(n) => publish::answer(plan, state, n),
        Step::Hello(n) => publish::hello(plan, state, n),
        Step::Hear(n) => listen::hear(plan, state, n, true),
        Step::HearTwice(n) => listen::hear(plan, state, n, false),
        Step::Settle(n) => listen::settle(plan, state, n),
        Step::HearOn(n) => listen::hear_on(plan, state, n),
        Step::Swap(n) => bus::swap(state, n),
        Step::Lose(n) => bus::lose(state, n),
        Step::Damage(n) => bus::damage(state, n),
        Step::Cut(n) => bus::cut(state, n),
        Step::Overflow(n) => bus::overflow(state, n),
        Step::Ask(n) => bus::ask(state, n),
        Step::Subscribe(n) => bus::subscribe(state, n),
        Step::Tick => bus::tick(state),
    }
}
