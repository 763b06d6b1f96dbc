//! What a sender says on its streams: the messages, the list of files, the data.

use wirehaul_core::time::Instant;
use wirehaul_core::wire::StreamId;

use super::super::failure::Failure;
use super::super::intake::IntakeError;
use super::super::message::{Content, Hello, MAX_PROBLEMS, Message, Outcome, RefusalClass};
use super::super::streams::{CONTROL, DATA, MANIFEST};
use super::Receiver;
use super::storing::{Peer, Storing, TransferStage};

impl Receiver {
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        place: usize,
        session: Peer<'_, '_>,
        stream: StreamId,
        offset: u64,
        bytes: &[u8],
    ) {
        let handled = match stream {
            DATA => self.on_file_data(place, offset, bytes),
            MANIFEST => self.on_manifest(now, place, session, offset, bytes),
            _ => self.on_control(now, place, session, offset, bytes),
        };
        if let Err(failure) = handled {
            self.give_up(now, place, session, failure);
        }
    }

    fn on_file_data(&mut self, place: usize, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let transfer = self.transfers.at(place);
        transfer.data_bytes += bytes.len() as u64;
        match &mut transfer.stage {
            TransferStage::Discarding { .. } => {
                transfer.used(bytes.len() as u64);
                self.transfers.wake(place);
                Ok(())
            }
            // The first bytes may overtake the message that says what they are.
            TransferStage::Greeting => {
                transfer.used(bytes.len() as u64);
                Ok(())
            }
            // Who goes on after the last word is granted no more.
            TransferStage::Ended => Ok(()),
            TransferStage::Storing(storing) => {
                let Storing { store, incoming, missing, outstanding, .. } = &mut **storing;
                let (id, jobs) = (transfer.id, &mut self.jobs);
                *missing = missing.saturating_sub(bytes.len() as u64);
                let received = incoming.receive(offset, bytes, |block, buf| {
                    *outstanding += 1;
                    jobs.push(id, store.write_job(block, buf));
                });
                self.transfers.wake(place);
                received.map_err(|_| Failure::Rule("it sent more data than was asked for"))
            }
            TransferStage::Listing(_) | TransferStage::Examining => {
                Err(Failure::Rule("it sent data before it was asked for"))
            }
        }
    }

    fn on_manifest(
        &mut self,
        now: Instant,
        place: usize,
        session: Peer<'_, '_>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let transfer = self.transfers.at(place);
        match &mut transfer.stage {
            TransferStage::Greeting => {
                transfer.stage = TransferStage::Listing(Box::default());
                self.on_manifest(now, place, session, offset, bytes)
            }
            TransferStage::Listing(intake) => {
                let taken = intake.receive(offset, bytes).map_err(IntakeError::into_failure)?;
                session.consume(MANIFEST, taken, now);
                transfer.list_bytes += taken;
                Ok(())
            }
            TransferStage::Ended => Ok(()),
            _ => Err(Failure::Rule("it sent a list of files where none belongs")),
        }
    }

    fn on_control(
        &mut self,
        now: Instant,
        place: usize,
        session: Peer<'_, '_>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let transfer = self.transfers.at(place);
        let (inbox, decoder) = (&mut transfer.control, &mut transfer.messages);
        let mut messages = Vec::new();
        let taken = inbox.receive(offset, bytes, |bytes| decoder.push(bytes, |message| messages.push(message)))?;
        session.consume(CONTROL, taken, now);
        for message in messages {
            match message {
                Message::Hello(hello) => self.on_hello(now, place, session, &hello)?,
                Message::SourceFailed { entry, reason } => {
                    if self.transfers.at(place).source_failures.len() < MAX_PROBLEMS {
                        self.transfers.at(place).source_failures.push((entry, reason));
                    }
                }
                _ => return Err(Failure::Rule("it sent a receiver's message")),
            }
        }
        Ok(())
    }

    fn on_hello(&mut self, now: Instant, place: usize, session: Peer<'_, '_>, hello: &Hello) -> Result<(), Failure> {
        let transfer = self.transfers.at(place);
        let Some(permit) = transfer.permit.as_ref().filter(|_| transfer.ended.is_none()) else { return Ok(()) };
        let grant = permit.grant();
        transfer.total_bytes = hello.total_bytes;
        let refuse = |reason: &str| Err(Failure::Refused { class: RefusalClass::Policy, reason: reason.to_owned() });
        match (hello.content, &grant.target) {
            (Content::Generated, None) => {
                transfer.stage = TransferStage::Discarding { expected: hello.total_bytes };
                self.transfers.wake(place);
                let transfer = self.transfers.at(place);
                if transfer.data_finished {
                    // All of it overtook this message.
                    self.on_finished_stream(now, place, session, DATA);
                }
                Ok(())
            }
            (Content::Files, Some(_)) => {
                if matches!(transfer.stage, TransferStage::Greeting) {
                    transfer.stage = TransferStage::Listing(Box::default());
                }
                transfer.verified = true;
                Ok(())
            }
            (Content::Generated, Some(_)) => {
                refuse("it takes files; generated data goes to a receiver started with --discard")
            }
            (Content::Files, None) => refuse("it was started with --discard and keeps no files"),
        }
    }

    pub(super) fn on_finished_stream(&mut self, now: Instant, place: usize, session: Peer<'_, '_>, stream: StreamId) {
        let transfer = self.transfers.at(place);
        transfer.data_finished |= stream == DATA;
        match (stream, &mut transfer.stage) {
            (MANIFEST, TransferStage::Listing(intake)) => match std::mem::take(&mut **intake).finish() {
                Ok(manifest) => self.examine(now, place, manifest),
                Err(error) => self.give_up(now, place, session, error.into_failure()),
            },
            (DATA, TransferStage::Discarding { expected }) => {
                let outcome = Outcome { stored_bytes: *expected, ..Outcome::default() };
                self.conclude(now, place, session, outcome);
            }
            _ => {}
        }
    }
}
