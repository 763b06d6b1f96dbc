//! How many files may be open: each transfer has a few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a transfer may have open at once: its directory, the file that is written, and the one that is looked at.
const OF_A_TRANSFER: u64 = 8;
/// Those of the process itself.
const OF_THE_PROCESS: u64 = 128;

/// Where the number of transfers comes from, which is what somebody may change who cannot have more open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// Nobody has chosen it.
    ByDefault,
    /// The configuration of a server.
    InConfiguration,
}

/// Lets this process have as many open files as so many transfers need, as far as the system allows; returns what to say where it
/// does not. The soft limit of 1024 is there for programs that use select(2), which nothing here does.
pub(super) fn make_room(transfers: usize, chosen: Chosen) -> Option<String> {
    let wanted = OF_THE_PROCESS + OF_A_TRANSFER * transfers as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is as many as one likes.
    if current.is_some_and(|current| current < wanted) {
        let raised = maximum.map_or(wanted, |maximum| wanted.min(maximum));
        // Where even that is refused, the old limit stays, and is what counts.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    (allowed < wanted).then(|| shortage(allowed, transfers, chosen))
}

/// What to say where this many files may be open.
fn shortage(allowed: u64, transfers: usize, chosen: Chosen) -> String {
    let enough_for = match allowed.saturating_sub(OF_THE_PROCESS) / OF_A_TRANSFER {
        0 => "hardly enough for one transfer".to_owned(),
        1 => "enough for one transfer at once".to_owned(),
        many => format!("enough for {many} transfers at once"),
    };
    let remedy = match chosen {
        Chosen::ByDefault => "raise the limit (ulimit -n)",
        Chosen::InConfiguration => "raise the limit (ulimit -n, LimitNOFILE= of systemd) or lower max_transfers",
    };
    format!("{allowed} open files are allowed, {enough_for} and not for {transfers}: {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_counted_in_transfers() {
        for (allowed, words) in [
            (
                64,
                "64 open files are allowed, hardly enough for one transfer and not for 1024: raise the limit (ulimit -n)",
            ),
            (
                143,
                "143 open files are allowed, enough for one transfer at once and not for 1024: raise the limit (ulimit -n)",
            ),
            (
                4096,
                "4096 open files are allowed, enough for 496 transfers at once and not for 1024: raise the limit (ulimit -n)",
            ),
        ] {
            assert_eq!(shortage(allowed, 1024, Chosen::ByDefault), words);
        }
        let of_server = shortage(4096, 500, Chosen::InConfiguration);
        assert!(of_server.ends_with("LimitNOFILE= of systemd) or lower max_transfers"), "{of_server}");
    }
}
