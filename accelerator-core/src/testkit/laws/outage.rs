//! How a law interrupts a bus.

use std::fmt;

/// How the listeners of the bus under test are cut off, if there is a way.
pub struct Outage<'a>(Option<Box<dyn Fn() + 'a>>);

impl<'a> Outage<'a> {
    /// There is no way: laws about outages ask nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// `interrupt` cuts off the listeners of `bus`, for a moment: they can come back.
    pub fn of<B>(bus: &'a B, interrupt: impl Fn(&B) + 'a) -> Self {
        Self(Some(Box::new(move || interrupt(bus))))
    }

    /// `interrupt` cuts off the listeners.
    pub fn by(interrupt: impl Fn() + 'a) -> Self {
        Self(Some(Box::new(interrupt)))
    }

    /// Cuts them off. False, if there is no way.
    pub(super) fn happens(&self) -> bool {
        self.0.as_ref().map(|interrupt| interrupt()).is_some()
    }
}

impl fmt::Debug for Outage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Outage::by(..)" } else { "Outage::none()" })
    }
}
