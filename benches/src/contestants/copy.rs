//! The disk without a network: a durable copy on the same machine.

use super::{Contestant, ContestantError, Job, Lab, Measurement};
use crate::netns::Side;
use crate::process::Program;

/// From the page cache to the disk, past the page cache.
#[derive(Debug, Default)]
pub struct DurableCopy;

impl Contestant for DurableCopy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn settings(&self) -> String {
        "the ceiling: a local copy, 4 threads, O_DIRECT, fdatasync; no network, no encryption, no hashes".to_owned()
    }

    fn prepare(&mut self, _: &Lab) -> Result<(), ContestantError> {
        Ok(())
    }

    fn run(&mut self, lab: &Lab, job: &Job) -> Result<Measurement, ContestantError> {
        let Job::Files { source, bytes, into } = job else {
            return Err(ContestantError::NotItsJob { contestant: self.name().to_owned() });
        };
        let target = into.join(source.file_name().unwrap_or_default());
        let mut run = lab.begin();
        run.start_clock()?;
        let program = Program::new(lab.own_program("durable_copy")).arg(source).arg(target);
        let mut copier = run.start(Side::Destination, &program)?;
        run.finish(&mut copier)?;
        let seconds = run.seconds();
        run.end(*bytes, seconds, Vec::new())
    }
}
