//! What people read when they make a mistake. After a change: `TRYBUILD=overwrite cargo test -p accelerator-macros --test
//! ui`, and read the difference.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
