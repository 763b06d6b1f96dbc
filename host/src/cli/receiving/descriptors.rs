//! How many files may be open: each transfer has a few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::output::remark;

/// Descriptors that a transfer may have open at once: its directory, the file that is written, and the one that is looked at.
const OF_A_TRANSFER: u64 = 8;
/// Those of the process itself.
const OF_THE_PROCESS: u64 = 128;

/// Lets this process have as many open files as so many transfers need, as far as the system allows; says so where it does not.
/// The soft limit of 1024 is there for programs that use select(2), which nothing here does.
pub(super) fn make_room(transfers: usize) {
    let wanted = OF_THE_PROCESS + OF_A_TRANSFER * transfers as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is as many as one likes.
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    // Where even that is refused, the old limit stays.
    let limit = Rlimit { current: Some(raised), maximum };
    if setrlimit(Resource::Nofile, limit).is_err() || raised < wanted {
        remark(&format!(
            "{transfers} transfers at once may need {wanted} open files, and {} are allowed: raise the limit (ulimit -n, LimitNOFILE=) or lower max_transfers",
            getrlimit(Resource::Nofile).current.unwrap_or(wanted)
        ));
    }
}
