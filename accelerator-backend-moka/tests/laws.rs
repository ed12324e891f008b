//! The stores keep the laws, with each way of bounding them.

#[cfg(feature = "mini-moka")]
mod mini_moka {
    use accelerator_backend_moka::MiniMokaL1;

    accelerator_core::l1_laws!(by_entries, MiniMokaL1::new(1000));
    accelerator_core::l1_laws!(by_weight, MiniMokaL1::builder().weigher(1000, |_, _| 1).build().expect("a bound"));
}

#[cfg(feature = "moka")]
mod moka {
    use accelerator_backend_moka::MokaL1;

    accelerator_core::l1_laws!(by_entries, MokaL1::new(1000));
    accelerator_core::l1_laws!(by_weight, MokaL1::builder().weigher(1000, |_, _| 1).build().expect("a bound"));
    accelerator_core::l1_laws!(
        one_age_for_all,
        MokaL1::builder().capacity(1000).longest_life(std::time::Duration::from_secs(3600)).build().expect("a bound")
    );
}
