//! Names and, where that is wanted, hosts are asked.

use std::ops::ControlFlow;

use smallvec::SmallVec;
use wirehaul_core::cdn::Signal;
use wirehaul_core::time::Duration;

use super::CdnArgs;
use crate::cdn::detection::{Detection, Evidence, NotTried};
use crate::cdn::offline::Offline;
use crate::cdn::stream::{Ask, Entry};

/// Asks.
pub struct Asking<'s, 'd> {
    offline: Offline<'s, 'd>,
}

impl<'s, 'd> Asking<'s, 'd> {
    pub const fn new(_: &CdnArgs, offline: Offline<'s, 'd>) -> Self {
        Self { offline }
    }
}

impl<'d> Ask<'d> for Asking<'_, 'd> {
    fn ask<'l>(
        &self,
        entries: &mut dyn Iterator<Item = Entry<'l>>,
        each: &mut dyn FnMut(Entry<'l>, Option<Detection<'d>>) -> ControlFlow<()>,
    ) {
        for entry in entries {
            let signals = [Signal::Asn, Signal::Prefix, Signal::Cname, Signal::Http, Signal::Tls];
            let evidence: Vec<_> = signals.map(|signal| Evidence::not_tried(signal, NotTried::NoResolver)).into();
            let detection = Detection {
                ip: None,
                ips: SmallVec::new(),
                asn: None,
                verdict: self.offline.verdict(&evidence),
                evidence,
                took: Duration::ZERO,
            };
            let detection = matches!(entry, Entry::Ask { .. }).then_some(detection);
            if each(entry, detection).is_break() {
                return;
            }
        }
    }
}
