//! Giving up what a daemon does not need any more (SEC-7): capabilities(7), as far as this process has any.
//!
//! Capabilities belong to a thread, and new threads inherit them: this is for a process that has one thread yet.

use std::ffi::CString;

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{User, geteuid, getgrouplist, setgroups, setresgid, setresuid};
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
        FOR_FILES.iter().copied().chain(self.kept_by_user()).collect()
    }

    /// A user that somebody chose has the rights to files that this user has, and no others.
    fn kept_by_user(self) -> CapsHashSet {
        let xdp = if self == Self::FilesAndXdp { &FOR_XDP[..] } else { &[] };
        xdp.iter().copied().collect()
    }
}

/// Why this process did not become another user.
#[derive(Debug, Error)]
pub enum StillThisUser {
    /// There is none of this name.
    #[error("there is no user {0} on this machine")]
    NoSuchUser(String),
    /// The system refuses; only root may.
    #[error("cannot become the user {user} ({step}): {source}; only root may")]
    Refused {
        /// Which user.
        user: String,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: Errno,
    },
    /// It is that user now, and has more privileges than it should.
    #[error(transparent)]
    Privileges(#[from] StillPrivileged),
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

/// Becomes the user of this name for good, with its groups, and keeps no capabilities but those that `need` names beside files.
/// Returns how many it had and has no more.
///
/// # Errors
/// [`StillThisUser`]. What was given up by then stays so: the process is best ended.
pub fn become_user(name: &str, need: Need) -> Result<usize, StillThisUser> {
    let refused = |step| move |source| StillThisUser::Refused { user: name.to_owned(), step, source };
    let user = User::from_name(name).map_err(refused("look-up"))?;
    let user = user.ok_or_else(|| StillThisUser::NoSuchUser(name.to_owned()))?;
    let kept = if user.uid.is_root() { need.kept() } else { need.kept_by_user() };
    if user.uid == geteuid() {
        return Ok(limit_to(&kept)?);
    }
    let had = permitted()?;
    limit_bounding(&had, &kept)?;
    // A change of the user takes all capabilities, unless this says otherwise; and those of root are needed until then.
    prctl::set_keepcaps(true).map_err(refused("capabilities"))?;
    let c_name = CString::new(name).map_err(|_| StillThisUser::NoSuchUser(name.to_owned()))?;
    let groups = getgrouplist(&c_name, user.gid).map_err(refused("groups"))?;
    setgroups(&groups).map_err(refused("groups"))?;
    setresgid(user.gid, user.gid, user.gid).map_err(refused("group"))?;
    setresuid(user.uid, user.uid, user.uid).map_err(refused("user"))?;
    prctl::set_keepcaps(false).map_err(refused("capabilities"))?;
    limit_to(&kept)?;
    Ok(had.len() - had.intersection(&kept).count())
}

/// Gives up every capability that is not needed, for this thread and those that it starts, and for programs that they start.
/// Returns how many it had and has no more.
///
/// # Errors
/// [`StillPrivileged`]; what was given up by then stays so.
pub fn give_up(need: Need) -> Result<usize, StillPrivileged> {
    limit_to(&need.kept())
}

/// As [`give_up`], of all but these.
fn limit_to(wanted: &CapsHashSet) -> Result<usize, StillPrivileged> {
    let failed = |set| move |source| StillPrivileged { set, source };
    let had = permitted()?;
    let kept: CapsHashSet = had.intersection(wanted).copied().collect();
    limit_bounding(&had, &kept)?;
    // Linux 4.3 and newer; where it is missing nothing is in it.
    let _ = caps::clear(None, CapSet::Ambient);
    caps::clear(None, CapSet::Inheritable).map_err(failed("inheritable"))?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed("effective"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed("permitted"))?;
    // A set-user-id program gives nothing back.
    let _ = prctl::set_no_new_privs();
    Ok(had.len() - kept.len())
}

fn permitted() -> Result<CapsHashSet, StillPrivileged> {
    caps::read(None, CapSet::Permitted).map_err(|source| StillPrivileged { set: "read", source })
}

/// What is not in the bounding set cannot come back by starting a program. Changing it takes a privilege itself.
fn limit_bounding(had: &CapsHashSet, kept: &CapsHashSet) -> Result<(), StillPrivileged> {
    if !had.contains(&Capability::CAP_SETPCAP) {
        return Ok(());
    }
    let failed = |source| StillPrivileged { set: "bounding", source };
    let bounding = caps::read(None, CapSet::Bounding).map_err(failed)?;
    for capability in bounding.difference(kept) {
        caps::drop(None, CapSet::Bounding, *capability).map_err(failed)?;
    }
    Ok(())
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

    /// What a change of the user does is seen from outside, by the test of `serve` with `user`: it changes the whole process.
    #[test]
    fn a_user_that_is_not_there_is_nobody_to_become() {
        let refused = std::thread::spawn(|| become_user("no such user", Need::Files).unwrap_err().to_string());
        assert_eq!(refused.join().unwrap(), "there is no user no such user on this machine");
    }

    #[test]
    fn files_are_a_need_of_root_alone() {
        assert_eq!(Need::Files.kept_by_user(), CapsHashSet::new());
        assert_eq!(Need::FilesAndXdp.kept_by_user(), FOR_XDP.into_iter().collect());
    }

    /// Whoever is that user already changes nothing but capabilities.
    #[test]
    fn this_user_can_be_become() {
        let Some(own) = User::from_uid(geteuid()).unwrap() else { return };
        let after = std::thread::spawn(move || {
            become_user(&own.name, Need::Files).unwrap();
            caps::read(None, CapSet::Permitted).unwrap()
        });
        assert!(after.join().unwrap().is_subset(&Need::Files.kept()));
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
