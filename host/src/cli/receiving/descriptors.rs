//! How many files may be open: each transfer has a few.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::cli::output::remark;

/// Descriptors that a transfer may have open at once: its directory, the file that is written, and the one that is looked at.
const OF_A_TRANSFER: u64 = 8;
/// Those of the process itself.
const OF_THE_PROCESS: u64 = 128;

/// Lets this process have as many open files as so many transfers need, as far as the system allows; says so where it does not.
/// The soft limit of 1024 is there for programs that use select(2), which nothing here does.
pub(super) fn make_room(transfers: usize) {
    let wanted = OF_THE_PROCESS + OF_A_TRANSFER * transfers as u64;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft >= wanted {
        return;
    }
    let raised = wanted.min(hard);
    // Where even that is refused, the old limit stays.
    if setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_err() || raised < wanted {
        remark(&format!(
            "{transfers} transfers at once may need {wanted} open files, and {} are allowed: raise the limit (ulimit -n, LimitNOFILE=) or lower max_transfers",
            raised.min(hard)
        ));
    }
}
