//! What the protocol would be without one of its rules.

/// A rule that is left out. Each is refuted by a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weakness {
    /// L1 is forgotten when the node asks to listen, and not once the bus does.
    ForgetsBeforeListening,
    /// Nothing is forgotten once the bus listens.
    ListeningForgetsNothing,
    /// A gap of the bus leaves L1 as it is.
    GapForgetsNothing,
    /// What is stored while the bus is away lives as long as ever.
    GapShortensNothing,
    /// L1 is forgotten before lives are shortened.
    ForgetsBeforeShortening,
    /// A gap overtakes writes in progress, as a `clear` does.
    GapOvertakesWrites,
    /// A number that skips one is taken as it is.
    SkipIsNoGap,
    /// A hello that names a message which was not heard is taken as it is.
    HelloIsNoGap,
    /// A cache that has said something before it is heard first is taken as it is.
    FirstHeardIsNoGap,
    /// What was lost before a cache was heard first, since the bus listens, is never looked for.
    EarlyLossIsNoGap,
    /// A message that can't be read is left out.
    UnreadableIsNoGap,
    /// No hello follows a message.
    NoHello,
    /// A message that is tried again has the number of the first try.
    NumberAgain,
    /// What the bus did not take is not told again.
    FailedIsForgotten,
    /// What finds no room is not told.
    OverflowIsForgotten,
    /// A call is acknowledged as told though the bus did not take it.
    FailureIsConfirmed,
    /// A call whose key is in the message on its way waits for that message.
    JoinsMessageOnItsWay,
    /// Other nodes are told before L2 has deleted.
    TellsBeforeL2,
    /// L1 is purged at the call, and not again after L2's answer.
    PurgesOnce,
    /// A delete that L2 confirms late is not told again.
    LateConfirmUntold,
    /// L2 is read though it has not confirmed the delete.
    ReadsUnconfirmedL2,
    /// What was loaded is written to L2 without a lease.
    FillsWithoutLease,
    /// What was read from L2 is stored though the key was purged meanwhile.
    BackfillIgnoresFence,
    /// A message takes the key out of L1, and loads in progress go on.
    MessagePurgesWithoutFence,
}

impl Weakness {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::ForgetsBeforeListening,
        Self::ListeningForgetsNothing,
        Self::GapForgetsNothing,
        Self::GapShortensNothing,
        Self::ForgetsBeforeShortening,
        Self::GapOvertakesWrites,
        Self::SkipIsNoGap,
        Self::HelloIsNoGap,
        Self::FirstHeardIsNoGap,
        Self::EarlyLossIsNoGap,
        Self::UnreadableIsNoGap,
        Self::NoHello,
        Self::NumberAgain,
        Self::FailedIsForgotten,
        Self::OverflowIsForgotten,
        Self::FailureIsConfirmed,
        Self::JoinsMessageOnItsWay,
        Self::TellsBeforeL2,
        Self::PurgesOnce,
        Self::LateConfirmUntold,
        Self::ReadsUnconfirmedL2,
        Self::FillsWithoutLease,
        Self::BackfillIgnoresFence,
        Self::MessagePurgesWithoutFence,
    ];

    /// The plan that refutes it.
    #[must_use]
    pub fn plan(self) -> &'static str {
        match self {
            Self::ForgetsBeforeListening
            | Self::ListeningForgetsNothing
            | Self::GapForgetsNothing
            | Self::GapShortensNothing
            | Self::ForgetsBeforeShortening
            | Self::GapOvertakesWrites => "cuts",
            Self::FirstHeardIsNoGap | Self::NumberAgain | Self::OverflowIsForgotten => "a new node without room",
            Self::EarlyLossIsNoGap => "lost after a cut",
            Self::FailedIsForgotten | Self::FailureIsConfirmed | Self::LateConfirmUntold | Self::ReadsUnconfirmedL2 => {
                "telling again"
            }
            Self::SkipIsNoGap
            | Self::HelloIsNoGap
            | Self::UnreadableIsNoGap
            | Self::NoHello
            | Self::JoinsMessageOnItsWay
            | Self::TellsBeforeL2
            | Self::PurgesOnce
            | Self::FillsWithoutLease
            | Self::BackfillIgnoresFence
            | Self::MessagePurgesWithoutFence => "messages",
        }
    }
}
