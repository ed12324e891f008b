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
        // A test that runs again in the same process asks for its law anew.
        let running = running.or_else(|| self.start().remove(law)).expect("a law of this group");
        if let Err(panic) = running.join() {
            say(law, &*panic);
            resume_unwind(panic);
        }
    }

    fn start(&self) -> HashMap<&'static str, JoinHandle<()>> {
        let start = |&(name, law): &(&'static str, fn())| {
            let thread = thread::Builder::new().name(name.to_owned()).spawn(law);
            (name, thread.expect("a thread for a law"))
        };
        self.laws.iter().map(start).collect()
    }
}

/// What the law said went to the test that was the first: it belongs to this one.
fn say(law: &str, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    eprintln!("{law}: {}", text.unwrap_or("panicked"));
}
