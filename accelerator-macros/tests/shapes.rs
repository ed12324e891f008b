//! Every shape of function, over a `LevelCache` and over `dyn Cache`: it compiles without a warning under strict lints,
//! runs its body when it must, and its future is `Send`.
#![forbid(unsafe_code)]
#![deny(warnings, clippy::pedantic, clippy::all, rust_2018_idioms, unused_qualifications)]
#![allow(unreachable_pub)]

mod shapes {
    pub mod arguments;
    pub mod batch;
    pub mod boxed;
    pub mod expressions;
    pub mod methods;
    pub mod returns;
    pub mod support;
    pub mod writes;
}
