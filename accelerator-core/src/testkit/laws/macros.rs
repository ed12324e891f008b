//! One test per law.

/// Proves an [`L1Store`](crate::L1Store): a module of that name with one test per [law](crate::testkit::laws::l1),
/// each run on the store itself (`plain`) and through `Arc<dyn L1Store<..>>` (`erased`).
///
/// The expression makes a new, empty store for `u64` and `String` each time, with room for at least 1000 entries.
///
/// ```
/// use accelerator_core::testkit::MemoryL1;
/// accelerator_core::l1_laws!(memory, MemoryL1::with_capacity(1000));
/// ```
#[macro_export]
macro_rules! l1_laws {
    ($name:ident, $store:expr $(,)?) => {
        $crate::__l1_law_list! { __l1_law_tests, $name, $store }
    };
}

/// Proves an [`L2Store`](crate::L2Store): a module of that name with one test per [law](crate::testkit::laws::l2),
/// each run on the store itself (`plain`), through `Arc<dyn L2Store>` (`erased`), and within a
/// [`Faulty`](crate::testkit::Faulty) without faults (`faulty`), as tests of a cache have it.
///
/// The expression makes a store each time; it may `.await`, and it may `return`, which skips the law: for a server that
/// isn't there. The keys are random, so that one server may serve all tests at once. The laws about leases ask nothing of
/// a store whose [`Limits`](crate::Limits) say that it has none.
///
/// Laws about TTLs wait in real time (together, for a few grains of the store's TTLs), unless the store's clock can be
/// moved: then `advance` is a function of the store and a duration.
///
/// What a store must keep over a restart of its server is a law to call by hand:
/// [`a_restart_ends_leases`](crate::testkit::laws::restart::a_restart_ends_leases).
///
/// ```
/// use accelerator_core::testkit::{ManualClock, MemoryL2};
/// accelerator_core::l2_laws!(in_real_time, MemoryL2::new());
///
/// struct Mine { store: MemoryL2, clock: ManualClock }
/// # #[accelerator_core::async_trait]
/// # impl accelerator_core::L2Store for Mine {
/// #     async fn get(&self, key: &str) -> accelerator_core::StoreResult<Option<bytes::Bytes>> {
/// #         self.store.get(key).await
/// #     }
/// #     async fn set(&self, k: &str, v: bytes::Bytes, t: std::time::Duration) -> accelerator_core::StoreResult<()> {
/// #         self.store.set(k, v, t).await
/// #     }
/// #     async fn del(&self, key: &str) -> accelerator_core::StoreResult<()> {
/// #         self.store.del(key).await
/// #     }
/// # }
/// fn mine() -> Mine {
///     let clock = ManualClock::new();
///     Mine { store: MemoryL2::with_clock(clock.clone()), clock }
/// }
/// accelerator_core::l2_laws!(in_moved_time, mine(), advance = |mine, by| mine.clock.tick(by));
/// ```
#[macro_export]
macro_rules! l2_laws {
    ($name:ident, $store:expr $(,)?) => {
        $crate::__l2_law_list! { __l2_law_tests, $name, $store, (real) }
    };
    ($name:ident, $store:expr, advance = $advance:expr $(,)?) => {
        $crate::__l2_law_list! { __l2_law_tests, $name, $store, (moved $advance) }
    };
}

/// Proves an [`InvalidationBus`](crate::InvalidationBus): a module of that name with one test per
/// [law](crate::testkit::laws::bus), each run on the bus itself (`plain`), through `Arc<dyn InvalidationBus>` (`erased`),
/// and within a [`Faulty`](crate::testkit::Faulty) without faults (`faulty`).
///
/// The expression makes a handle each time; it may `.await`, and it may `return`, which skips the law. The topics are
/// random, so that one server may serve all tests at once. Laws about outages ask something only where there is a way to
/// make one: then `interrupt` is a function of the bus that cuts its listeners off, for a moment.
///
/// ```
/// use accelerator_core::GapCause;
/// use accelerator_core::testkit::MemoryBus;
/// accelerator_core::bus_laws!(memory, MemoryBus::new(), interrupt = |bus| bus.interrupt(GapCause::Disconnected));
/// ```
#[macro_export]
macro_rules! bus_laws {
    ($name:ident, $bus:expr $(,)?) => {
        $crate::__bus_law_list! { __bus_law_tests, $name, $bus, (none) }
    };
    ($name:ident, $bus:expr, interrupt = $interrupt:expr $(,)?) => {
        $crate::__bus_law_list! { __bus_law_tests, $name, $bus, (by $interrupt) }
    };
}

/// Proves a [`Codec`](crate::Codec) for one type: a module of that name with one test per
/// [law](crate::testkit::laws::codec).
///
/// ```
/// # #[cfg(feature = "postcard")]
/// accelerator_core::codec_laws!(numbers, Vec<u32>, accelerator_core::Postcard, [vec![], vec![1, 2, u32::MAX]]);
/// ```
#[macro_export]
macro_rules! codec_laws {
    ($name:ident, $value:ty, $codec:expr, $samples:expr $(,)?) => {
        $crate::__codec_law_list! { __sample_tests, codec, $name, $value, &$codec, $samples }
    };
}

/// Proves a [`Layer`](crate::Layer): a module of that name with one test per [law](crate::testkit::laws::layer).
///
/// The samples are bytes as a codec writes them; the laws try the empty one, too. Give some that the layer has a use for:
/// long ones, where short ones are left alone.
///
/// ```
/// # use accelerator_core::{Layer, LayerContext, LayerError, LoadError};
/// # struct Inverted;
/// # impl Layer for Inverted {
/// #     fn id(&self) -> u8 { 200 }
/// #     fn apply(&self, bytes: &[u8], _: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
/// #         Ok(Some(bytes.iter().map(|byte| !byte).collect()))
/// #     }
/// #     fn undo(&self, bytes: &[u8], _: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
/// #         Ok(bytes.iter().map(|byte| !byte).collect())
/// #     }
/// # }
/// accelerator_core::layer_laws!(inverted, Inverted, [b"text".to_vec(), vec![7; 5_000]]);
/// ```
///
/// A layer that authenticates (encryption) says so, and must then notice each changed byte, and another context:
///
/// ```
/// # #[cfg(feature = "encrypt")]
/// # mod sealed {
/// # use accelerator_core::EncryptionKeys;
/// # fn key() -> [u8; 32] { std::array::from_fn(|n| n as u8) }
/// accelerator_core::layer_laws!(encrypted, EncryptionKeys::new(1, &key()), authentic [b"text".to_vec()]);
/// # }
/// ```
#[macro_export]
macro_rules! layer_laws {
    ($name:ident, $layer:expr, authentic $samples:expr $(,)?) => {
        $crate::__layer_law_list! { __layer_tests, $name, $crate::testkit::laws::layer::Seal::Authentic, $layer, $samples }
    };
    ($name:ident, $layer:expr, $samples:expr $(,)?) => {
        $crate::__layer_law_list! { __layer_tests, $name, $crate::testkit::laws::layer::Seal::Open, $layer, $samples }
    };
}

/// Proves a [`CacheKey`](crate::CacheKey): a module of that name with one test per
/// [law](crate::testkit::laws::key). The samples are different keys.
///
/// ```
/// accelerator_core::key_laws!(numbers, u64, [0, 7, u64::MAX]);
/// ```
///
/// A type that by intention can't be turned back (`decode` always answers `None`) says so:
///
/// ```
/// # use accelerator_core::CacheKey;
/// # #[derive(Debug, PartialEq)]
/// # struct Digest(u64);
/// # impl CacheKey for Digest {
/// #     fn encode(&self, out: &mut String) { out.push_str(&self.0.to_string()) }
/// #     fn decode(_: &str) -> Option<Self> { None }
/// # }
/// accelerator_core::key_laws!(digests, Digest, one_way [Digest(1), Digest(2)]);
/// ```
#[macro_export]
macro_rules! key_laws {
    ($name:ident, $key:ty, one_way $samples:expr $(,)?) => {
        $crate::__key_law_list! { __sample_tests, key, $name, $key, $crate::testkit::laws::key::Way::One, $samples }
    };
    ($name:ident, $key:ty, $samples:expr $(,)?) => {
        $crate::__key_law_list! { __sample_tests, key, $name, $key, $crate::testkit::laws::key::Way::Both, $samples }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __l1_law_tests {
    ([$($law:ident),* $(,)?] $name:ident, $store:expr) => {
        mod $name {
            mod plain {
                #[allow(unused_imports)]
                use super::super::*;
                $(#[test] fn $law() {
                    $crate::testkit::block_on(async { $crate::testkit::laws::l1::$law(&$store) });
                })*
            }
            mod erased {
                #[allow(unused_imports)]
                use super::super::*;
                $(#[test] fn $law() {
                    $crate::testkit::block_on(async {
                        $crate::testkit::laws::l1::$law(&$crate::testkit::laws::l1::erase($store));
                    });
                })*
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __l2_law_tests {
    ($at_once:tt $in_time:tt $name:ident, $store:expr, $time:tt) => {
        mod $name {
            mod plain {
                $crate::__l2_law_group! { $at_once $in_time $store, $time, plain }
            }
            mod erased {
                $crate::__l2_law_group! { $at_once $in_time $store, $time, erased }
            }
            mod faulty {
                $crate::__l2_law_group! { $at_once $in_time $store, $time, faulty }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __l2_law_group {
    ([$($law:ident),* $(,)?] [$($waits:ident),* $(,)?] $store:expr, $time:tt, $way:ident) => {
        #[allow(unused_imports)]
        use super::super::*;
        $(#[test] fn $law() {
            $crate::__l2_judge!($law, $store, $time, $way);
        })*
        #[cfg(test)]
        static WAITING: $crate::testkit::laws::Together = $crate::testkit::laws::Together::new(&[
            $((::std::stringify!($waits), || $crate::__l2_judge!($waits, $store, $time, $way))),*
        ]);
        $(#[test] fn $waits() {
            WAITING.judge(::std::stringify!($waits));
        })*
    };
}

// One law, on the store itself, through a trait object, or below faults that never come.
#[doc(hidden)]
#[macro_export]
macro_rules! __l2_judge {
    ($law:ident, $store:expr, $time:tt, plain) => {
        $crate::testkit::laws::judge(async {
            let store = $store;
            let time = $crate::__l2_time!(&store, $time);
            $crate::testkit::laws::l2::$law(&store, &time).await;
        })
    };
    ($law:ident, $store:expr, $time:tt, erased) => {
        $crate::testkit::laws::judge(async {
            let store = ::std::sync::Arc::new($store);
            let time = $crate::__l2_time!(&*store, $time);
            let erased: ::std::sync::Arc<dyn $crate::L2Store> = ::std::sync::Arc::clone(&store) as _;
            $crate::testkit::laws::l2::$law(&erased, &time).await;
        })
    };
    ($law:ident, $store:expr, $time:tt, faulty) => {
        $crate::testkit::laws::judge(async {
            let store = $crate::testkit::Faulty::new($store);
            let time = $crate::__l2_time!(store.inner(), $time);
            $crate::testkit::laws::l2::$law(&store, &time).await;
        })
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __l2_time {
    ($store:expr, (real)) => {
        $crate::testkit::laws::Time::real()
    };
    ($store:expr, (moved $advance:expr)) => {
        $crate::testkit::laws::Time::moved_by($store, $advance)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bus_law_tests {
    ($laws:tt $name:ident, $bus:expr, $outage:tt) => {
        mod $name {
            mod plain {
                $crate::__bus_law_group! { $laws $bus, $outage, plain }
            }
            mod erased {
                $crate::__bus_law_group! { $laws $bus, $outage, erased }
            }
            mod faulty {
                $crate::__bus_law_group! { $laws $bus, $outage, faulty }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bus_law_group {
    ([$($law:ident),* $(,)?] $bus:expr, $outage:tt, $way:ident) => {
        #[allow(unused_imports)]
        use super::super::*;
        $(#[test] fn $law() {
            $crate::__bus_judge!($law, $bus, $outage, $way);
        })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bus_judge {
    ($law:ident, $bus:expr, $outage:tt, plain) => {
        $crate::testkit::laws::judge(async {
            let bus = $bus;
            let outage = $crate::__bus_outage!(&bus, $outage);
            $crate::testkit::laws::bus::$law(&bus, &outage).await;
        })
    };
    ($law:ident, $bus:expr, $outage:tt, erased) => {
        $crate::testkit::laws::judge(async {
            let bus = ::std::sync::Arc::new($bus);
            let outage = $crate::__bus_outage!(&*bus, $outage);
            let erased: ::std::sync::Arc<dyn $crate::InvalidationBus> = ::std::sync::Arc::clone(&bus) as _;
            $crate::testkit::laws::bus::$law(&erased, &outage).await;
        })
    };
    ($law:ident, $bus:expr, $outage:tt, faulty) => {
        $crate::testkit::laws::judge(async {
            let bus = $crate::testkit::Faulty::new($bus);
            let outage = $crate::__bus_outage!(bus.inner(), $outage);
            $crate::testkit::laws::bus::$law(&bus, &outage).await;
        })
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bus_outage {
    ($bus:expr, (none)) => {
        $crate::testkit::laws::Outage::none()
    };
    ($bus:expr, (by $interrupt:expr)) => {
        $crate::testkit::laws::Outage::of($bus, $interrupt)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __sample_tests {
    ([$($law:ident),* $(,)?] $laws:ident, $name:ident, $of:ty, $subject:expr, $samples:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $(#[test] fn $law() {
                let samples: ::std::vec::Vec<$of> = ::std::vec::Vec::from($samples);
                $crate::testkit::laws::$laws::$law($subject, &samples);
            })*
        }
    };
}

// For `failures`: the laws with their names.
#[doc(hidden)]
#[macro_export]
macro_rules! __law_calls {
    ([$($law:ident),* $(,)?] $arguments:tt) => {
        [$((stringify!($law), ::std::boxed::Box::new(|| $law $arguments) as ::std::boxed::Box<dyn FnOnce()>)),*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __async_law_calls {
    ([$($law:ident),* $(,)?] [$($waits:ident),* $(,)?] $make:expr) => {
        $crate::__async_law_calls! { [$($law,)* $($waits),*] $make }
    };
    ([$($law:ident),* $(,)?] $make:expr) => {
        [$((stringify!($law), ::std::boxed::Box::new(|| $crate::testkit::laws::judge(async {
            let (store, time) = $make();
            $law(&store, &time).await;
        })) as ::std::boxed::Box<dyn FnOnce()>)),*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bus_law_calls {
    ([$($law:ident),* $(,)?] $make:expr) => {
        [$((stringify!($law), ::std::boxed::Box::new(|| $crate::testkit::laws::judge_in_paused_time(async {
            let (bus, outage) = $make();
            $law(&bus, &outage).await;
        })) as ::std::boxed::Box<dyn FnOnce()>)),*]
    };
}
