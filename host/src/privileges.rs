//! Giving up what a daemon does not need any more (SEC-7): capabilities(7), as far as this process has any.
//!
//! Capabilities belong to a thread, and new threads inherit them: this is for a process that has one thread yet.

use caps::{CapSet, Capability, CapsHashSet};
use thiserror::Error;

/// To read and write files of any owner, and to set their modes and times: what root may, and a receiver is told to do.
const FOR_FILES: [Capability; 3] =
    [Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH, Capability::CAP_FOWNER];
/// To open AF_XDP sockets anew, register their memory, have neighbours confirmed, and change the filter's addresses.
const FOR_XDP: [Capability; 4] =
    [Capability::CAP_NET_RAW, Capability::CAP_NET_ADMIN, Capability::CAP_BPF, Capability::CAP_IPC_LOCK];

/// What stays in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Files, and sockets that are open.
    Files,
    /// Files, and AF_XDP.
    FilesAndXdp,
}

impl Need {
    fn kept(self) -> CapsHashSet {
        let xdp = if self == Self::FilesAndXdp { &FOR_XDP[..] } else { &[] };
        FOR_FILES.iter().chain(xdp).copied().collect()
    }
}

/// Why privileges were not given up.
#[derive(Debug, Error)]
#[error("privileges cannot be given up ({set}): {source}")]
pub struct StillPrivileged {
    /// Which of the sets.
    set: &'static str,
    /// What the system said.
    source: caps::errors::CapsError,
}

/// Gives up every capability that is not needed, for this thread and those that it starts, and for programs that they start.
/// Returns how many it had and has no more.
///
/// # Errors
/// [`StillPrivileged`]; what was given up by then stays so.
pub fn give_up(need: Need) -> Result<usize, StillPrivileged> {
    let failed = |set| move |source| StillPrivileged { set, source };
    let had = caps::read(None, CapSet::Permitted).map_err(failed("read"))?;
    let kept: CapsHashSet = had.intersection(&need.kept()).copied().collect();
    // What is not in the bounding set cannot come back by starting a program. Changing it takes a privilege itself.
    if had.contains(&Capability::CAP_SETPCAP) {
        let bounding = caps::read(None, CapSet::Bounding).map_err(failed("bounding"))?;
        for capability in bounding.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(failed("bounding"))?;
        }
    }
    // Linux 4.3 and newer; where it is missing nothing is in it.
    let _ = caps::clear(None, CapSet::Ambient);
    caps::clear(None, CapSet::Inheritable).map_err(failed("inheritable"))?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed("effective"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed("permitted"))?;
    // A set-user-id program gives nothing back.
    let _ = nix::sys::prctl::set_no_new_privs();
    Ok(had.len() - kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_thread(need: Need) -> (CapsHashSet, CapsHashSet, usize) {
        let thread = std::thread::spawn(move || {
            let before = caps::read(None, CapSet::Permitted).unwrap();
            let given_up = give_up(need).unwrap();
            assert_eq!(caps::read(None, CapSet::Effective).unwrap(), caps::read(None, CapSet::Permitted).unwrap());
            assert!(caps::read(None, CapSet::Inheritable).unwrap().is_empty());
            (before, caps::read(None, CapSet::Permitted).unwrap(), given_up)
        });
        thread.join().unwrap()
    }

    /// SEC-7: also without any privilege this is no failure.
    #[test]
    fn what_is_not_needed_is_gone_and_what_is_needed_stays() {
        for need in [Need::Files, Need::FilesAndXdp] {
            let (before, after, given_up) = in_thread(need);
            assert_eq!(after, before.intersection(&need.kept()).copied().collect());
            assert_eq!(given_up, before.len() - after.len());
            assert!(!after.contains(&Capability::CAP_SYS_ADMIN) && !after.contains(&Capability::CAP_SETUID));
        }
    }

    #[test]
    fn nothing_is_left_to_give_up_the_second_time() {
        let second = std::thread::spawn(|| {
            give_up(Need::Files).unwrap();
            give_up(Need::Files).unwrap()
        });
        assert_eq!(second.join().unwrap(), 0);
    }
}
