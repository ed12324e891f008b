//! Looks at all states of the protocol between nodes.

use std::process::ExitCode;
use std::time::Instant;

use accelerator_proofs::bus_model::{Plan, Size, Weakness, explore, plans};

const USAGE: &str = "usage: bus_model --all | --small | --plan NAME | --weak\n\
    --all    every plan, all states; --plan: one of them\n\
    --small  as in the tests\n\
    --weak   every weakening, with the steps that refute it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--all"] => all(plans(Size::Full)),
        ["--small"] => all(plans(Size::Small)),
        ["--plan", name] if plans(Size::Full).iter().any(|plan| plan.name == name) => {
            all(plans(Size::Full).into_iter().filter(|plan| plan.name == name).collect())
        }
        ["--weak"] => weak(),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn all(plans: Vec<Plan>) -> ExitCode {
    let (mut states, mut status) = (0, ExitCode::SUCCESS);
    for plan in plans {
        let began = Instant::now();
        let seen = explore(&plan, None);
        states += seen.states;
        let (name, seconds) = (plan.name, began.elapsed().as_secs_f64());
        println!("{name:<24} {:>9} states, up to {} steps, {seconds:.1} s", seen.states, seen.depth);
        if let Some(by) = seen.refuted {
            println!("{}\nbroken: {}", by.trace.join("\n"), by.promise);
            status = ExitCode::from(1);
        } else if !seen.comes_to_rest {
            println!("it never comes to rest");
            status = ExitCode::from(1);
        }
    }
    println!("states={states}");
    status
}

fn weak() -> ExitCode {
    let mut refuted = 0;
    for weakness in Weakness::ALL {
        let plan = plans(Size::Small).into_iter().find(|plan| plan.name == weakness.plan());
        match plan.and_then(|plan| explore(&plan.without(weakness), None).refuted) {
            None => println!("{weakness:?} SURVIVES\n"),
            Some(by) => {
                refuted += 1;
                println!("{weakness:?}, {}:\n{}\nbroken: {}\n", weakness.plan(), by.trace.join("\n"), by.promise);
            }
        }
    }
    println!("refuted {refuted}/{}", Weakness::ALL.len());
    ExitCode::from(u8::from(refuted < Weakness::ALL.len()))
}
