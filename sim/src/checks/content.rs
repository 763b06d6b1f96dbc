//! What was written to the disk is what was sent: the digest of every stream that ended, over all its bytes.

use std::collections::BTreeMap;

use wirehaul_core::wire::StreamId;

use super::Violation;
use crate::{content::Content, crypto::Digest, faults::disk::File, run::Run};

/// Every stream that ended was written as it was sent. Hosts must keep their files and have written all they got.
///
/// # Errors
/// [`Violation::Content`] for the first stream that differs.
pub fn content(run: &Run<'_>) -> Result<(), Violation> {
    // Who sends what: the port names the content.
    let sent: BTreeMap<(u64, StreamId), u64> = run
        .hosts()
        .flat_map(|host| {
            let key = u64::from(host.address().port());
            host.config().plan.send.iter().map(move |(stream, bytes)| ((key, *stream), *bytes))
        })
        .collect();
    for host in run.hosts() {
        for ((session, stream), file) in host.app().disk().files() {
            let ended = host.app().flow(*session).and_then(|flow| flow.incoming.get(stream));
            if ended.is_none_or(|incoming| !incoming.finished) {
                continue;
            }
            let bytes = sent.get(&(file.key, *stream)).copied().unwrap_or(0);
            same(*stream, bytes, file).map_err(|difference| {
                Violation::Content(format!("{} of {session:?} at {}: {difference}", stream.get(), host.address()))
            })?;
        }
    }
    Ok(())
}

fn same(stream: StreamId, bytes: u64, file: &File) -> Result<(), String> {
    let mut expected = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    Content::of(file.key).write(stream, 0, &mut expected);
    let (sent, written) = (digest(&expected), digest(&file.bytes));
    if sent == written {
        return Ok(());
    }
    Err(format!("{bytes} bytes of digest {sent:016x} were sent, and {} of {written:016x} written", file.bytes.len()))
}

fn digest(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(0);
    digest.bytes(bytes);
    digest.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_too_few_or_altered_is_noticed() {
        let mut file = File { key: 3, bytes: vec![0; 1000] };
        Content::of(3).write(StreamId::FIRST, 0, &mut file.bytes);
        assert_eq!(same(StreamId::FIRST, 1000, &file), Ok(()));
        assert!(same(StreamId::FIRST, 1001, &file).is_err());
        assert!(same(StreamId::LAST, 1000, &file).is_err());
        file.bytes[500] ^= 1;
        assert!(same(StreamId::FIRST, 1000, &file).is_err());
    }
}
