//! Sending with segmentation: one buffer, one run, one call.

use std::io;
use std::net::{IpAddr, SocketAddr};

use wirehaul_core::device::{Submitted, Transmit};
use wirehaul_core::pool::{Magazine, Slot};

#[cfg(target_os = "linux")]
use super::message::Controls;
use super::{Carrier, Refusal, address, codepoint_of, socket};

/// The longest UDP payload of IPv4, which segmentation keeps to as a whole: 65,535 less the IP and UDP headers.
const RUN_BYTES: usize = 65_535 - 20 - 8;

/// The buffer of the run to send, and whether the kernel has yet to take it.
#[derive(Debug)]
pub(super) struct Run {
    /// From when it is asked for until the run was sent.
    slot: Option<Slot<'static>>,
    held: Option<Transmit>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunOutcome {
    /// As the device says it.
    Submitted(Submitted),
    /// The network card or the kernel does not segment after all; nothing of the run was sent.
    SegmentationRefused,
}

impl Run {
    pub(super) const fn new() -> Self {
        Self { slot: None, held: None }
    }

    /// The buffer to write the next run into, unless the last one is still in it or there is none.
    pub(super) fn buffer(&mut self, buffers: &mut Magazine<'static>) -> Option<&mut [u8]> {
        if self.held.is_some() {
            return None;
        }
        if self.slot.is_none() {
            self.slot = buffers.take();
        }
        self.slot.as_mut()?.get_mut(..RUN_BYTES)
    }

    /// Gives the buffer back, unless a run waits in it.
    pub(super) fn release(&mut self, buffers: &mut Magazine<'static>) {
        if self.held.is_none()
            && let Some(slot) = self.slot.take()
        {
            buffers.put(slot);
        }
    }

    /// The first `len` bytes of the buffer.
    pub(super) fn bytes(&self, len: usize) -> &[u8] {
        self.slot.as_deref().and_then(|slot| slot.get(..len.min(RUN_BYTES))).unwrap_or(&[])
    }

    pub(super) const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Leaves the run where a full kernel would leave it.
    #[cfg(test)]
    pub(super) fn hold_for_test(&mut self, transmit: Transmit) {
        self.held = Some(transmit);
    }

    /// Sends the run in the buffer, or holds it back where there is no room.
    pub(super) fn submit(&mut self, carrier: &mut Carrier, transmit: &Transmit) -> RunOutcome {
        let contents = self.slot.as_deref().and_then(|slot| slot.get(..transmit.len));
        let Some(contents) = contents.filter(|contents| self.held.is_none() && contents.len() <= RUN_BYTES) else {
            return RunOutcome::Submitted(Submitted::Full);
        };
        let datagrams = transmit.len.div_ceil(transmit.segment_bytes) as u64;
        match carrier.send_run(transmit, contents) {
            Ok(()) => {
                carrier.counters.sent(datagrams);
                RunOutcome::Submitted(Submitted::Sent)
            }
            Err(Refusal::NoRoom) => {
                carrier.counters.held_back += 1;
                self.held = Some(*transmit);
                RunOutcome::Submitted(Submitted::Sent)
            }
            Err(_) if carrier.state.max_gso_segments() == 1 => RunOutcome::SegmentationRefused,
            Err(refusal) => RunOutcome::Submitted(carrier.counters.lost(refusal, datagrams)),
        }
    }

    /// Tries again to send a run that was held back; `None` where there is none.
    pub(super) fn resume(&mut self, carrier: &mut Carrier) -> Option<(Transmit, RunOutcome)> {
        let transmit = self.held.take()?;
        let outcome = self.submit(carrier, &transmit);
        Some((transmit, outcome))
    }
}

impl Carrier {
    /// Sends one run, or one datagram, with one call.
    fn send_run(&mut self, transmit: &Transmit, contents: &[u8]) -> Result<(), Refusal> {
        let remote = address::for_socket(transmit.remote, self.mapped);
        let source = self.sources.of(remote);
        let sent = self.try_send(transmit, contents, remote, source);
        let Err(error) = sent else { return Ok(()) };
        let refusal = Refusal::of(&error);
        if source.is_some() && matches!(refusal, Refusal::Invalid | Refusal::Unreachable) {
            // Our address of before may be gone. The library takes that for missing segmentation, so it starts anew.
            self.sources.forget(remote);
            self.renew_state();
            return self.try_send(transmit, contents, remote, None).map_err(|error| Refusal::of(&error));
        }
        if self.state.max_gso_segments() == 1 && self.is_beyond_mtu(transmit, contents, remote) {
            // Older kernels call a segment beyond the MTU invalid: then it was not segmentation that failed.
            self.renew_state();
            return Err(Refusal::TooBig);
        }
        Err(refusal)
    }

    fn try_send(
        &self,
        transmit: &Transmit,
        contents: &[u8],
        destination: SocketAddr,
        src_ip: Option<IpAddr>,
    ) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(sent) = self.send_scheduled(transmit, contents, destination, src_ip) {
            return sent;
        }
        let transmit = quinn_udp::Transmit {
            destination,
            ecn: codepoint_of(transmit.ecn),
            contents,
            segment_size: Some(transmit.segment_bytes),
            src_ip,
        };
        self.state.try_send((&self.socket).into(), &transmit)
    }

    /// Sends the run with its departure time, where the kernel keeps those. `None` where it does not, or where it refuses
    /// something about the run: the library's own attempt then finds out what.
    #[cfg(target_os = "linux")]
    fn send_scheduled(
        &self,
        transmit: &Transmit,
        contents: &[u8],
        destination: SocketAddr,
        src_ip: Option<IpAddr>,
    ) -> Option<io::Result<()>> {
        let departure = self.departure_nanos(transmit.depart_at)?;
        let segment_bytes =
            u16::try_from(transmit.segment_bytes).ok().filter(|_| contents.len() > transmit.segment_bytes);
        let controls = Controls::new(transmit.remote.is_ipv4(), transmit.ecn, src_ip)
            .segmented(segment_bytes)
            .departing_at(Some(departure));
        let sent = self.send_one(&controls, destination, contents);
        let is_refused = |error: &io::Error| matches!(Refusal::of(error), Refusal::Invalid | Refusal::Other);
        if sent.as_ref().is_err_and(is_refused) { None } else { Some(sent) }
    }

    /// Whether the first datagram of the run, sent alone, is too big. It is not missed if it was sent twice.
    fn is_beyond_mtu(&self, transmit: &Transmit, contents: &[u8], remote: SocketAddr) -> bool {
        let first = &contents[..transmit.segment_bytes.min(contents.len())];
        self.try_send(transmit, first, remote, None).is_err_and(|error| Refusal::of(&error) == Refusal::TooBig)
    }

    fn renew_state(&mut self) {
        if let Ok(state) = quinn_udp::UdpSocketState::new((&self.socket).into()) {
            self.state = state;
            socket::no_timestamps(&self.socket);
        }
    }
}
