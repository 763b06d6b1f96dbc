//! `wirehaul cdn update`.

use super::OutputArgs;
use crate::cli::args::CdnUpdateArgs;
use crate::cli::exit::Exit;

pub fn run(_: &CdnUpdateArgs, _: OutputArgs) -> Exit {
    Exit::Failed
}
