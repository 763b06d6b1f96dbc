//! Names and, where that is wanted, hosts are asked, many at a time, on one thread.

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::runtime::{Builder, Runtime};

use super::CdnArgs;
use crate::cdn::asn::AsnSource;
use crate::cdn::detection::Detection;
use crate::cdn::detector::{Detector, Options, Timeouts};
use crate::cdn::stream::{Ask, Entry};
use crate::clock::Clock;

/// Asks, in turns with everybody who wants to.
pub struct Asking<'d> {
    detector: Detector<'d>,
    at_a_time: usize,
    /// Made when it is first needed: most addresses need no question.
    runtime: Mutex<Option<Runtime>>,
}

impl<'d> Asking<'d> {
    /// As the command line says.
    pub fn new(args: &CdnArgs, asns: &'d AsnSource<'d>, clock: Clock) -> Self {
        let patience = args.timeout.map(|timeout| Duration::from_nanos(timeout.as_nanos()));
        let options = Options {
            of_addresses: args.probes_of_addresses(),
            of_names: args.probes_of_names(),
            prior: args.prior,
            threshold: args.threshold,
            timeouts: patience.map_or_else(Timeouts::default, Timeouts::of),
            concurrency: args.concurrency.into(),
            resolver: args.resolver,
            clock,
            ..Options::default()
        };
        let detector = Detector::new(asns.database(), asns, options);
        Self { detector, at_a_time: args.concurrency.into(), runtime: Mutex::new(None) }
    }
}

impl<'d> Ask<'d> for Asking<'d> {
    fn ask<'l>(
        &self,
        entries: &mut dyn Iterator<Item = Entry<'l>>,
        each: &mut dyn FnMut(Entry<'l>, Option<Detection<'d>>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = match &mut *runtime {
            Some(runtime) => runtime,
            none => none.insert(Builder::new_current_thread().enable_all().build()?),
        };
        let asked = stream::iter(entries).map(async |entry| {
            let detection = match &entry {
                Entry::Ask { target, .. } => Some(self.detector.detect(target).await),
                Entry::Line(_) => None,
            };
            (entry, detection)
        });
        runtime.block_on(async {
            let mut asked = pin!(asked.buffered(self.at_a_time));
            while let Some((entry, detection)) = asked.next().await {
                if each(entry, detection).is_break() {
                    break;
                }
            }
        });
        Ok(())
    }
}
