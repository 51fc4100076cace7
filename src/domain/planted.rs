//! Faults that the simulator's own test plants, to see that each is found. Without the feature `simulation` none is.

/// A fault of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedFault {
    /// The chain takes an entry whose predecessor is missing.
    ChainTakesAnySuccessor,
    /// The chain does not say that a hole could not be filled.
    ChainHidesGap,
    /// The chain does not say that the history is another one.
    ChainHidesReset,
    /// The chain shows an entry that the history showed already.
    ChainShowsTwice,
    /// A new connection is taken to hold the subscriptions of the last one.
    InterestKeepsGrants,
    /// A grant on an earlier connection counts.
    InterestTrustsOldGrant,
    /// An unsubscription without an answer is taken for one that did not run.
    InterestTrustsFailedUnsubscribe,
    /// A stream that was watched again while its subscription ended is not subscribed to again.
    InterestForgetsReturn,
    /// A read that failed is not made again.
    KeeperForgetsFailedReads,
    /// A stream that is granted again is not compared with its history.
    KeeperTrustsResubscription,
    /// A viewer's place is known by its number alone.
    TapeIgnoresIds,
    /// A trimmed place is taken for one of this history, whichever timeline it is on.
    HistoryIgnoresTimelines,
}

#[cfg(feature = "simulation")]
mod switch {
    use std::cell::Cell;

    use super::PlantedFault;

    thread_local! {
        static PLANTED: Cell<Option<PlantedFault>> = const { Cell::new(None) };
    }

    impl PlantedFault {
        /// Every fault.
        pub const ALL: [Self; 12] = [
            Self::TapeIgnoresIds,
            Self::ChainTakesAnySuccessor,
            Self::ChainHidesGap,
            Self::ChainHidesReset,
            Self::ChainShowsTwice,
            Self::InterestKeepsGrants,
            Self::InterestTrustsOldGrant,
            Self::InterestTrustsFailedUnsubscribe,
            Self::InterestForgetsReturn,
            Self::KeeperForgetsFailedReads,
            Self::KeeperTrustsResubscription,
            Self::HistoryIgnoresTimelines,
        ];

        /// Plants a fault on this thread; none takes it away.
        pub fn plant(fault: Option<Self>) {
            PLANTED.set(fault);
        }

        pub(crate) fn is_planted(self) -> bool {
            PLANTED.get() == Some(self)
        }
    }
}

#[cfg(not(feature = "simulation"))]
impl PlantedFault {
    pub(crate) const fn is_planted(self) -> bool {
        false
    }
}
