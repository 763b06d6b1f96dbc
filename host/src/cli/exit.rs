//! Exit codes: what a script learns from a run (OPS-4).

use std::io::{self, Write};
use std::process::{ExitCode, Termination};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All was done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line was wrong; nothing was tried.
    Usage = 2,
    /// A rule forbids it: a key that others can read, an unknown peer, a file that would be overwritten.
    Refused = 3,
    /// A privilege or a device is missing.
    Device = 4,
    /// It was interrupted, and the same command again goes on where it stopped.
    Interrupted = 5,
    /// It was done, with more loss than the threshold allows.
    Lossy = 6,
}

/// The table of exit codes, for the end of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  refused by policy
  4  a privilege or a device is missing
  5  interrupted; the same command again goes on where it stopped
  6  done, with loss above the threshold";

impl Exit {
    /// How a command ends that would end so once all that it had to say is printed; `what` that was, in words.
    #[must_use]
    pub fn once_printed(self, printed: io::Result<()>, what: &str, remarks: &mut impl Write) -> Self {
        match printed {
            Ok(()) => self,
            // Whoever reads our output left; that is theirs to do.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self,
            Err(error) => {
                // There is nowhere left to say it if this fails too.
                let _ = writeln!(remarks, "wirehaul: cannot write {what}: {error}");
                Self::Failed
            }
        }
    }

    /// The exit code with this number; anything that is none counts as failed.
    #[must_use]
    pub const fn of_code(code: u8) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::Usage,
            3 => Self::Refused,
            4 => Self::Device,
            5 => Self::Interrupted,
            6 => Self::Lossy,
            _ => Self::Failed,
        }
    }

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_help_names_every_code_once() {
        let all = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Refused, Exit::Device, Exit::Interrupted, Exit::Lossy];
        let listed: Vec<_> = EXIT_CODES.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        let codes: Vec<_> = all.iter().map(|exit| exit.code().to_string()).collect();
        assert_eq!(listed, codes);
    }
}
