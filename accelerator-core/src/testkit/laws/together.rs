//! Laws that wait, waiting together.

use std::any::Any;
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use super::super::lock;

/// Runs some laws at once, each on a thread of its own, when the first of their tests runs. A test runner has as many
/// threads as there are processors: one after another, laws that wait for the seconds of a server would take a minute.
#[doc(hidden)]
pub struct Together {
    laws: &'static [(&'static str, fn())],
    running: Mutex<Option<HashMap<&'static str, JoinHandle<()>>>>,
}

impl Together {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(laws: &'static [(&'static str, fn())]) -> Self {
        Self { laws, running: Mutex::new(None) }
    }

    /// The outcome of one of the laws, which fails as it did.
    #[doc(hidden)]
    pub fn judge(&self, law: &str) {
        let running = lock(&self.running).get_or_insert_with(|| self.start()).remove(law);
        let running = running.unwrap_or_else(|| self.start_one(law));
        if let Err(panic) = running.join() {
            say(law, &*panic);
            resume_unwind(panic);
        }
    }

    fn start(&self) -> HashMap<&'static str, JoinHandle<()>> {
        self.laws.iter().map(|&(name, law)| (name, thread::spawn(law))).collect()
    }

    /// A test that runs twice, as some runners do, asks for its law anew.
    fn start_one(&self, law: &str) -> JoinHandle<()> {
        let law = self.laws.iter().find(|(name, _)| *name == law).expect("a law of this group");
        thread::spawn(law.1)
    }
}

/// What the law said went to the test that was the first: it belongs to this one.
fn say(law: &str, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    eprintln!("{law}: {}", text.unwrap_or("panicked"));
}
