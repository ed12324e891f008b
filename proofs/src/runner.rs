//! Runs every scenario through its share of the schedules.

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use crate::{besides, fence, flights, places, reservations, runs};

/// Of all scenarios together, where `ACCELERATOR_SCHEDULES` says nothing.
const SCHEDULES: usize = 12_000;
/// Preemptions of a PCT schedule. The races of §1 need two or three.
const DEPTH: usize = 4;

static DONE: AtomicUsize = AtomicUsize::new(0);

macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        const SCENARIOS: usize = [$(stringify!($name)),*].len();
        $(#[test]
        fn $name() {
            run(stringify!($name), $module::$name);
        })*
    };
}

scenarios! {
    fence::load_against_del,
    fence::load_against_two_dels,
    fence::lookup_against_del,
    fence::fill_against_del,
    fence::load_against_set,
    fence::fill_against_set,
    fence::two_sets,
    fence::set_against_del,
    fence::set_called_before_del,
    fence::set_called_before_set,
    fence::load_against_clear,
    fence::backfill_against_clear,
    fence::fill_against_clear,
    flights::one_load_for_all,
    flights::one_joinable_flight,
    flights::newer_readers_wait_for_no_older_flight,
    flights::newer_readers_wait_for_no_flight_of_another_generation,
    flights::dropped_leader_hands_over,
    flights::dropped_heir_passes_on,
    flights::dropped_leader_without_heirs_is_forgotten,
    flights::panic_releases_everybody,
    flights::failure_releases_everybody,
    besides::two_leaders_answer_all,
    besides::two_leaders_against_del,
    besides::second_leader_against_the_end_of_the_first,
    besides::one_of_two_leaders_goes,
    besides::both_leaders_go,
    besides::a_late_leader_ends_nobody_elses_registration,
    besides::a_ticket_ends_the_work_beside_it,
    reservations::latent_one_load_for_all,
    reservations::latent_load_against_del,
    reservations::latent_load_against_clear,
    reservations::latent_newer_readers_wait_for_no_older_flight,
    reservations::latent_panic_releases_everybody,
    reservations::latent_ticket_is_filled_for_all,
    reservations::latent_ticket_hands_over,
    reservations::latent_ticket_holds_no_newer_reader,
    places::follower_moves_the_work,
    places::dropped_leader_moves_the_work,
    places::dropped_leader_alone,
    places::held_leader_holds_nobody,
    places::held_heir_holds_nobody,
    places::dropped_task_hands_over,
    places::replaced_task_takes_nothing_with_it,
    places::replaced_task_may_wake_up,
    runs::run_one_load_for_all,
    runs::run_against_del,
    runs::run_against_clear,
    runs::dropped_leader_of_a_run,
    runs::held_leader_of_a_run_holds_nobody,
    runs::run_that_is_given_up_hands_over,
    runs::run_that_begins_late_holds_nobody,
    runs::run_that_sleeps_is_replaced,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn run(name: &str, scenario: fn()) {
    let all = usize::try_from(number("ACCELERATOR_SCHEDULES", SCHEDULES as u64)).unwrap_or(SCHEDULES);
    let seed = number("ACCELERATOR_SEED", 1);
    let random = all.div_ceil(SCENARIOS).div_ceil(2);
    let mut config = Config::new();
    config.stack_size = 0x10000;
    // Each scenario joins its threads; a schedule that never ends is a livelock.
    config.max_steps = shuttle::MaxSteps::FailAfter(20_000);
    let uniform = Runner::new(RandomScheduler::new_from_seed(seed, random), config.clone()).run(scenario);
    let few = Runner::new(PctScheduler::new_from_seed(seed, DEPTH, random), config).run(scenario);
    let done = DONE.fetch_add(uniform + few, Ordering::Relaxed) + uniform + few;
    println!("{name}: {uniform} random, {few} pct; schedules={done}");
}
