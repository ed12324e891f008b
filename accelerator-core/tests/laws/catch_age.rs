//! L2 stores that tell ages, with one defect each, and the law that names it.

use std::time::Duration;

use accelerator_core::testkit::laws::{Time, l2::failures};
use accelerator_core::testkit::{ManualClock, MemoryL2};
use accelerator_core::{Bytes, L2Store, Limits, Outcomes, StoreResult, async_trait};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    Sound,
    TellsNoAge,
    TellsNoAgeInABatch,
    CountsWholeTicksOnly,
    TellsTheAgeOfTheFirst,
}
use Defect::*;

struct Broken {
    defect: Defect,
    memory: MemoryL2,
}

impl Broken {
    fn age(&self, age: Option<Duration>) -> Option<Duration> {
        match self.defect {
            TellsNoAge => None,
            CountsWholeTicksOnly => age.map(|age| age.saturating_sub(Duration::from_secs(1))),
            _ => age,
        }
    }
}

#[async_trait]
impl L2Store for Broken {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.memory.get(key).await
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.memory.set(key, value, ttl).await
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        self.memory.del(key).await
    }

    async fn get_aged(&self, key: &str) -> StoreResult<(Option<Bytes>, Option<Duration>)> {
        let (value, age) = self.memory.get_aged(key).await?;
        Ok((value, self.age(age)))
    }

    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        for (at, key) in keys.iter().enumerate() {
            let (answer, age) = match self.get_aged(key).await {
                Ok((value, age)) => (Ok(value), age),
                Err(why) => (Err(why), None),
            };
            match self.defect {
                TellsNoAgeInABatch => out.put(at, answer),
                TellsTheAgeOfTheFirst if at > 0 => out.put_aged(at, answer, None),
                _ => out.put_aged(at, answer, age),
            }
        }
    }

    fn limits(&self) -> Limits {
        self.memory.limits()
    }
}

fn caught(defect: Defect) -> Vec<&'static str> {
    failures(|| {
        let clock = ManualClock::new();
        let memory = MemoryL2::with_clock(clock.clone()).counting_seconds();
        (Broken { defect, memory }, Time::moved(move |by| clock.tick(by)))
    })
}

#[test]
fn each_defect_is_named_by_the_law_it_breaks() {
    assert_eq!(caught(Sound), [""; 0]);
    for defect in [TellsNoAge, TellsNoAgeInABatch, CountsWholeTicksOnly, TellsTheAgeOfTheFirst] {
        assert_eq!(caught(defect), ["an_age_is_no_less_than_it_is"], "{defect:?}");
    }
}
