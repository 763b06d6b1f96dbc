//! A device's buffers are conserved: each is free, in hand, or with the device until it is completed.

use super::Violation;
use crate::{faults::device::Slots, run::Run};

/// Every transmit buffer of every host is somewhere.
///
/// # Errors
/// [`Violation::Slots`] for the first host of which buffers are missing.
pub fn slots(run: &mut Run<'_>) -> Result<(), Violation> {
    for id in run.host_ids() {
        let host = run.host(id);
        let address = host.address();
        conserved(host.endpoint().slots()).map_err(|books| Violation::Slots(format!("{address}: {books}")))?;
    }
    Ok(())
}

fn conserved(slots: &Slots) -> Result<(), String> {
    let (total, [free, in_hand, in_flight]) = slots.counts();
    if free + in_hand + in_flight == total {
        return Ok(());
    }
    Err(format!("of {total} buffers {free} are free, {in_hand} in hand and {in_flight} with the device"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirehaul_core::time::Instant;

    #[test]
    fn a_lost_buffer_is_noticed() {
        let late = Instant::from_nanos(9);
        for loses_one in [false, true] {
            let mut slots = Slots::default();
            if loses_one {
                slots.lose_one();
            }
            for _ in 0..3 {
                assert!(slots.take(Instant::ZERO));
                slots.submit(late);
            }
            assert_eq!(conserved(&slots), Ok(()));
            slots.reclaim(late);
            assert_eq!(conserved(&slots).is_err(), loses_one);
        }
    }
}
