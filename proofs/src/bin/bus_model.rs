//! Looks at all states of the protocol between nodes.

use std::process::ExitCode;
use std::time::Instant;

use accelerator_proofs::bus_model::{Plan, Size, Weakness, explore, plans};

const USAGE: &str = "usage: bus_model --all | --small | --weak [NAME]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--all"] => all(plans(Size::Full)),
        ["--small"] => all(plans(Size::Small)),
        ["--plan", size, name] => {
            let size = if size == "full" { Size::Full } else { Size::Small };
            all(plans(size).into_iter().filter(|plan| plan.name == name).collect())
        }
        ["--weak"] => weak(&Weakness::ALL),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn all(plans: Vec<Plan>) -> ExitCode {
    let mut states = 0;
    for plan in plans {
        let began = Instant::now();
        let seen = explore(&plan);
        states += seen.states;
        println!("{:<28} {:>10} states, depth {}, {:.1} s, rest {}", plan.name, seen.states, seen.depth, began.elapsed().as_secs_f64(), seen.comes_to_rest);
        if let Some(refuted) = seen.refuted {
            println!("BROKEN: {}\n{}", refuted.promise, refuted.trace.join("\n"));
            return ExitCode::from(1);
        }
    }
    println!("{states} states");
    ExitCode::SUCCESS
}

/// Refutes each in its plan.
fn weak(all: &[Weakness]) -> ExitCode {
    let mut survivors = 0;
    for weakness in all {
        let plan = plans(Size::Small).into_iter().find(|plan| plan.name == weakness.plan());
        let seen = plan.map(|plan| explore(&plan.without(*weakness)));
        match seen.and_then(|seen| seen.refuted) {
            None => {
                survivors += 1;
                println!("{weakness:?} SURVIVES");
            }
            Some(by) => println!("{:<26} {:<24} {} in {} steps", format!("{weakness:?}"), weakness.plan(), by.promise, by.trace.len()),
        }
    }
    println!("refuted {}/{}", all.len() - survivors, all.len());
    ExitCode::from(u8::from(survivors > 0))
}
