//! What a directory may hold, and who has been promised a part of it: pure arithmetic.
//!
//! What lies in the directory is measured now and then. Every transfer under way holds what it has still to bring, so that two at
//! once do not fill the same room. A file that replaces another one counts with the difference, and one that shrinks with nothing:
//! whatever becomes of the others, and in whatever order, the directory never grows past its quota.

use wirehaul_core::time::{Duration, Instant};

/// How long a measurement is relied on, with what transfers have brought since. Others may write into the directory, too.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// What a directory may hold, and when this was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// In bytes of files.
    pub bytes: u64,
    /// By the clock of the process.
    pub asked_at: Instant,
}

/// There is not enough room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What the directory may hold.
    pub quota_bytes: u64,
    /// What it holds, and what transfers under way have still to bring.
    pub used_bytes: u64,
    /// What was to come.
    pub to_come_bytes: u64,
}

/// Names a holder of a [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HolderId(u64);

/// A directory's books. `T` is how the owner finds a transfer again.
#[derive(Debug)]
pub struct Ledger<T> {
    measured: Option<Measured>,
    holders: Vec<Holder<T>>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    at: Instant,
    bytes: u64,
}

#[derive(Debug)]
struct Holder<T> {
    id: HolderId,
    transfer: T,
    /// By how much the directory can still grow by it, in bytes; `None` where nobody has looked.
    to_come: Option<u64>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { measured: None, holders: Vec::new(), next: 0 }
    }
}

impl<T: Clone> Ledger<T> {
    /// Lets a transfer in that nobody has to count: its owner has no quota.
    pub fn let_in(&mut self, transfer: T) -> HolderId {
        self.insert(transfer, None)
    }

    /// Promises `transfer` room for what is to come, if there is any; by what is known, if that is good enough.
    ///
    /// # Errors
    /// [`Shortage`] where there is no room, `None` where nobody knows. After [`Ledger::measure`] somebody does.
    pub fn promise(&mut self, transfer: T, quota: Quota, to_come: u64) -> Result<HolderId, Option<Shortage>> {
        let measured = self.measured.filter(|measured| quota.asked_at.saturating_since(measured.at) < GOOD_FOR);
        let measured = measured.ok_or(None)?;
        let mut used = measured.bytes;
        for holder in &self.holders {
            used = used.saturating_add(holder.to_come.ok_or(None)?);
        }
        // Who brings nothing is welcome, however full it is.
        if to_come > 0 && used.saturating_add(to_come) > quota.bytes {
            return Err(Some(Shortage { quota_bytes: quota.bytes, used_bytes: used, to_come_bytes: to_come }));
        }
        Ok(self.insert(transfer, Some(to_come)))
    }

    /// Those that are to be asked what they have still to bring, before the directory is measured.
    pub fn holders(&self) -> Vec<(HolderId, T)> {
        self.holders.iter().map(|holder| (holder.id, holder.transfer.clone())).collect()
    }

    /// The directory holds so many bytes, and before it was looked at, those who were in it had so much still to bring.
    ///
    /// Who has left meanwhile may have brought it after the look: that is counted, and so at most once too often.
    pub fn measure(&mut self, at: Instant, walked_bytes: u64, to_come: &[(HolderId, u64)]) {
        let mut used = walked_bytes;
        for &(id, to_come) in to_come {
            match self.holders.iter_mut().find(|holder| holder.id == id) {
                Some(holder) => holder.to_come = Some(to_come),
                None => used = used.saturating_add(to_come),
            }
        }
        self.measured = Some(Measured { at, bytes: used });
    }

    /// A transfer is over. Where it has brought all that it was to bring, its room is in use now; else somebody has to look.
    pub fn release(&mut self, id: HolderId, is_complete: bool) {
        let Some(at) = self.holders.iter().position(|holder| holder.id == id) else { return };
        let brought = self.holders.swap_remove(at).to_come.filter(|_| is_complete);
        self.measured = self
            .measured
            .zip(brought)
            .map(|(measured, brought)| Measured { bytes: measured.bytes.saturating_add(brought), ..measured });
    }

    fn insert(&mut self, transfer: T, to_come: Option<u64>) -> HolderId {
        let id = HolderId(self.next);
        self.next += 1;
        self.holders.push(Holder { id, transfer, to_come });
        id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUOTA: u64 = 1000;

    /// A file that a transfer brings: its size, and that of the one that it replaces.
    type File = (u64, u64);

    #[derive(Clone, Debug)]
    enum Step {
        /// A transfer wants to bring these.
        Ask(Vec<File>),
        /// One of those under way stores some of its files, in any order.
        Store(usize, usize),
        /// One of them ends, with all its files or without.
        End(usize, bool),
        /// Somebody removes so many bytes.
        Remove(u64),
        /// Time passes, in seconds.
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let file = (0_u64..300, prop_oneof![3 => Just(0_u64), 1 => 0_u64..300]);
        let step = prop_oneof![
            3 => prop::collection::vec(file, 0..5).prop_map(Step::Ask),
            3 => (any::<usize>(), any::<usize>()).prop_map(|(who, which)| Step::Store(who, which)),
            2 => (any::<usize>(), any::<bool>()).prop_map(|(who, is_complete)| Step::End(who, is_complete)),
            1 => (0_u64..500).prop_map(Step::Remove),
            1 => (0_u64..20).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// The directory as it is, and the transfers with what they have still to store.
    #[derive(Default)]
    struct Model {
        held: u64,
        now: u64,
        under_way: Vec<(HolderId, Vec<File>)>,
    }

    fn to_come(files: &[File]) -> u64 {
        files.iter().map(|(size, replaced)| size.saturating_sub(*replaced)).sum()
    }

    impl Model {
        fn promised(&self) -> u64 {
            self.under_way.iter().map(|(_, files)| to_come(files)).sum()
        }

        /// What lies there and is not to be replaced.
        fn free(&self) -> u64 {
            let replaced = self.under_way.iter().flat_map(|(_, files)| files).map(|(_, replaced)| replaced);
            self.held.saturating_sub(replaced.sum())
        }

        fn ask(&mut self, ledger: &mut Ledger<()>, mut files: Vec<File>) -> Result<(), TestCaseError> {
            let mut free = self.free();
            for (_, replaced) in &mut files {
                *replaced = (*replaced).min(free);
                free -= *replaced;
            }
            let quota = Quota { bytes: QUOTA, asked_at: Instant::ZERO + Duration::from_secs(self.now) };
            let answer = ledger.promise((), quota, to_come(&files)).or_else(|_| {
                let promised: Vec<_> = self.under_way.iter().map(|(id, files)| (*id, to_come(files))).collect();
                ledger.measure(quota.asked_at, self.held, &promised);
                ledger.promise((), quota, to_come(&files))
            });
            let used = self.held + self.promised();
            let shortage = Shortage { quota_bytes: QUOTA, used_bytes: used, to_come_bytes: to_come(&files) };
            match answer {
                Ok(id) => self.under_way.push((id, files)),
                // After a look it is refused only where there is no room indeed.
                Err(refused) => {
                    prop_assert!(refused == Some(shortage) && used + to_come(&files) > QUOTA, "{refused:?}")
                }
            }
            Ok(())
        }

        fn store(&mut self, who: usize, which: usize) {
            let Some((_, files)) = self.under_way.get_mut(who) else { return };
            if !files.is_empty() {
                let (size, replaced) = files.swap_remove(which % files.len());
                self.held = self.held + size - replaced;
            }
        }
    }

    proptest! {
        /// Whatever happens, transfers never make the directory grow past its quota, all that may still come counted.
        #[test]
        fn no_two_transfers_fill_the_same_room(steps in steps()) {
            let (mut ledger, mut model) = (Ledger::default(), Model::default());
            for step in steps {
                match step {
                    Step::Ask(files) => model.ask(&mut ledger, files)?,
                    Step::Store(who, which) => model.store(who % model.under_way.len().max(1), which),
                    Step::End(who, is_complete) if !model.under_way.is_empty() => {
                        let who = who % model.under_way.len();
                        while is_complete && !model.under_way[who].1.is_empty() {
                            model.store(who, 0);
                        }
                        ledger.release(model.under_way.swap_remove(who).0, is_complete);
                    }
                    Step::End(..) => {}
                    Step::Remove(bytes) => model.held -= bytes.min(model.free()),
                    Step::Wait(secs) => model.now += secs,
                }
                prop_assert!(model.held + model.promised() <= QUOTA, "{} of {QUOTA}", model.held);
            }
        }
    }

    #[test]
    fn who_has_left_while_it_was_measured_is_counted() {
        let mut ledger = Ledger::default();
        let quota = Quota { bytes: 100, asked_at: Instant::ZERO };
        ledger.measure(quota.asked_at, 0, &[]);
        let first = ledger.promise((), quota, 60).unwrap();
        let asked: Vec<_> = ledger.holders().iter().map(|(id, ())| (*id, 60)).collect();
        ledger.release(first, true);
        ledger.measure(quota.asked_at, 0, &asked);
        let shortage = Shortage { quota_bytes: 100, used_bytes: 60, to_come_bytes: 50 };
        assert_eq!(ledger.promise((), quota, 50), Err(Some(shortage)));
    }

    #[test]
    fn what_nobody_has_looked_at_has_to_be_looked_at() {
        let mut ledger = Ledger::default();
        let quota = Quota { bytes: 100, asked_at: Instant::ZERO };
        assert_eq!(ledger.promise((), quota, 1), Err(None));
        ledger.measure(quota.asked_at, 0, &[]);
        let uncounted = ledger.let_in(());
        assert_eq!(ledger.promise((), quota, 1), Err(None));
        ledger.release(uncounted, true);
        assert_eq!(ledger.promise((), quota, 1), Err(None));
        ledger.measure(quota.asked_at, 0, &[]);
        assert!(ledger.promise((), quota, 1).is_ok());
        let later = Quota { asked_at: Instant::ZERO + GOOD_FOR, ..quota };
        assert_eq!(ledger.promise((), later, 1), Err(None));
    }
}
