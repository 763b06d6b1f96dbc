//! An XDP program that is not the port filter: what plays another host in benchmarks and tests, in its kernel.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use wirehaul_core::filter::asm::Instruction;

use super::{FilterError, LICENSE, call};

/// A program without maps, loaded. It answers frames or drops them; sockets get none of them.
#[derive(Debug)]
pub struct FrameProgram {
    pub(in crate::xdp) program: OwnedFd,
}

impl FrameProgram {
    /// Loads one under a name of at most 15 bytes, which `ip link show` and `bpftool prog` tell. It sees packets that lie in one
    /// buffer only.
    ///
    /// # Errors
    /// [`FilterError::Privilege`], [`FilterError::Kernel`], or [`FilterError::Load`] where the verifier refuses it.
    pub fn load(name: &CStr, program: &[Instruction]) -> Result<Self, FilterError> {
        let program = call::load(name, LICENSE, program, false).map_err(|(error, log)| {
            FilterError::common("load an XDP program", error, |source| FilterError::Load { source, log })
        })?;
        Ok(Self { program })
    }
}
