//! Which set-up of a ring to try next, from the best that any kernel has to the plainest, and why there is none.

use bitflags::bitflags;

use super::errno::{EACCES, EINVAL, EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM};

bitflags! {
    /// What a ring is asked to do beyond the plain one; the kernel that first knew each in brackets (io_uring_setup(2)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Setup: u32 {
        /// Poll the device instead of waiting for its interrupts [5.1]. A wish of the caller: no step takes it away.
        const IOPOLL = 1 << 0;
        /// A completion queue of its own size [5.5].
        const CQSIZE = 1 << 3;
        /// Go on with a batch behind an entry that fails [5.18].
        const SUBMIT_ALL = 1 << 7;
        /// Completions wait until the thread enters the kernel anyway, instead of interrupting it [5.19].
        const COOP_TASKRUN = 1 << 8;
        /// The ring says in its memory whether completions wait for that [5.19].
        const TASKRUN_FLAG = 1 << 9;
        /// One thread alone submits [6.0].
        const SINGLE_ISSUER = 1 << 12;
        /// Completions wait until the thread asks for them [6.1].
        const DEFER_TASKRUN = 1 << 13;
    }
}

/// From best to plainest. Each kernel knows all flags of some step and of those below it.
const STEPS: [Setup; 5] = [
    Setup::SINGLE_ISSUER
        .union(Setup::DEFER_TASKRUN)
        .union(Setup::TASKRUN_FLAG)
        .union(Setup::SUBMIT_ALL)
        .union(Setup::CQSIZE),
    Setup::COOP_TASKRUN.union(Setup::TASKRUN_FLAG).union(Setup::SUBMIT_ALL).union(Setup::CQSIZE),
    Setup::SUBMIT_ALL.union(Setup::CQSIZE),
    Setup::CQSIZE,
    Setup::empty(),
];

/// Why the kernel gives no ring at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It has no io_uring (ENOSYS): before 5.1, or built without.
    Absent,
    /// It is switched off for everybody: kernel.io_uring_disabled is 2.
    Disabled,
    /// It is switched off for processes without CAP_SYS_ADMIN that are not of a certain group: kernel.io_uring_disabled is 1.
    DisabledForUsers,
    /// Something above the kernel forbids it (EPERM, EACCES): a container's filter of system calls, or a security module.
    Forbidden,
    /// There is no memory for it, or it may not be locked (ENOMEM).
    Memory,
    /// The process or the system has too many open files (EMFILE, ENFILE).
    Files,
    /// The kernel refuses even the plainest ring (EINVAL): that many entries, or polling where it has none.
    Invalid,
    /// Anything else, by its number.
    Other(i32),
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Try this.
    Try(Setup),
    /// There is no ring to be had.
    Refused(Refusal),
}

/// The way down. It ends after five attempts at most.
#[derive(Clone, Copy, Debug)]
pub struct Ladder {
    wish: Setup,
    next: usize,
}

impl Ladder {
    /// A ladder that keeps `wish` on every step.
    #[must_use]
    pub const fn new(wish: Setup) -> Self {
        Self { wish, next: 0 }
    }

    /// The first attempt.
    #[must_use]
    pub fn first(&self) -> Setup {
        STEPS[0] | self.wish
    }

    /// What to do after an attempt that failed with `errno`, where kernel.io_uring_disabled is `disabled` (0 where the
    /// kernel has no such setting).
    pub fn failed(&mut self, errno: i32, disabled: u8) -> Step {
        if errno == EINVAL {
            self.next = self.next.saturating_add(1);
            return match STEPS.get(self.next) {
                Some(step) => Step::Try(*step | self.wish),
                None => Step::Refused(Refusal::Invalid),
            };
        }
        Step::Refused(match (errno, disabled) {
            (ENOSYS, _) => Refusal::Absent,
            // io_uring_allowed() of io_uring/io_uring.c.
            (EPERM, 2) => Refusal::Disabled,
            (EPERM, 1) => Refusal::DisabledForUsers,
            (EPERM | EACCES, _) => Refusal::Forbidden,
            (ENOMEM, _) => Refusal::Memory,
            (EMFILE | ENFILE, _) => Refusal::Files,
            (other, _) => Refusal::Other(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks down before a kernel that knows `known`; returns what it gives and after how many attempts.
    fn walk(known: Setup, wish: Setup) -> (Option<Setup>, usize) {
        let mut ladder = Ladder::new(wish);
        let mut setup = ladder.first();
        for attempt in 1.. {
            if known.contains(setup) {
                return (Some(setup), attempt);
            }
            match ladder.failed(EINVAL, 0) {
                Step::Try(next) => setup = next,
                Step::Refused(refusal) => {
                    assert_eq!(refusal, Refusal::Invalid);
                    return (None, attempt);
                }
            }
        }
        unreachable!()
    }

    /// URING-2: every kernel gets the best that it knows.
    #[test]
    fn each_kernel_gets_its_best() {
        let v6_1 = Setup::all() - Setup::IOPOLL;
        let v6_0 = v6_1 - Setup::DEFER_TASKRUN;
        let v5_19 = v6_0 - Setup::SINGLE_ISSUER;
        let v5_18 = v5_19 - Setup::COOP_TASKRUN - Setup::TASKRUN_FLAG;
        let v5_15 = v5_18 - Setup::SUBMIT_ALL;
        assert_eq!(walk(v6_1, Setup::empty()), (Some(STEPS[0]), 1));
        assert_eq!(walk(v6_0, Setup::empty()), (Some(STEPS[1]), 2));
        assert_eq!(walk(v5_19, Setup::empty()), (Some(STEPS[1]), 2));
        assert_eq!(walk(v5_18, Setup::empty()), (Some(STEPS[2]), 3));
        assert_eq!(walk(v5_15, Setup::empty()), (Some(STEPS[3]), 4));
        assert_eq!(walk(Setup::empty(), Setup::empty()), (Some(Setup::empty()), 5));
    }

    #[test]
    fn a_wish_stays_on_every_step() {
        assert_eq!(walk(Setup::all(), Setup::IOPOLL).0, Some(STEPS[0] | Setup::IOPOLL));
        assert_eq!(walk(Setup::IOPOLL, Setup::IOPOLL), (Some(Setup::IOPOLL), 5));
        assert_eq!(walk(Setup::all() - Setup::IOPOLL, Setup::IOPOLL), (None, 5));
    }

    /// URING-2: a refusal has a reason.
    #[test]
    fn refusals_have_their_reasons() {
        let refused = |errno, disabled| Ladder::new(Setup::empty()).failed(errno, disabled);
        let table = [
            (ENOSYS, 0, Refusal::Absent),
            (EPERM, 2, Refusal::Disabled),
            (EPERM, 1, Refusal::DisabledForUsers),
            (EPERM, 0, Refusal::Forbidden),
            (EACCES, 0, Refusal::Forbidden),
            (ENOMEM, 0, Refusal::Memory),
            (EMFILE, 0, Refusal::Files),
            (ENFILE, 1, Refusal::Files),
            (5, 0, Refusal::Other(5)),
        ];
        for (errno, disabled, refusal) in table {
            assert_eq!(refused(errno, disabled), Step::Refused(refusal));
        }
    }
}
