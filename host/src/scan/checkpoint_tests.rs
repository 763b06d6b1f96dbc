use super::*;

fn identity() -> Identity {
    Identity {
        targets: "t".to_owned(),
        ports: "p".to_owned(),
        seed: u64::MAX,
        shard: "2/7".to_owned(),
        attempts: 2,
        spacing: 10_000,
    }
}

fn checkpoint() -> Checkpoint {
    let mut checkpoint = Checkpoint::new("scan".to_owned(), identity(), 1 << 40, 1_700_000_000);
    checkpoint.done_before = 12_345;
    checkpoint.counts = Counts { sent: 1, received: 2, duplicates: 3, dropped: 4, rows: 5 };
    checkpoint
}

/// SCAN-5: what is written is read again, every bit of it.
#[test]
fn it_is_read_as_it_was_written() {
    let temp = tempfile::TempDir::new().unwrap();
    let path = temp.path().join("out.checkpoint");
    checkpoint().write(&path).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint());
    let later = Checkpoint { done_before: 99_999, is_complete: true, ..checkpoint() };
    later.write(&path).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap(), later);
    let left: Vec<_> = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["out.checkpoint"]);
}

#[test]
fn one_that_cannot_be_written_leaves_the_old_one() {
    let temp = tempfile::TempDir::new().unwrap();
    let path = temp.path().join("out.checkpoint");
    checkpoint().write(&path).unwrap();
    // A folder stands where the new one would be written.
    fs::create_dir(with_suffix(&path, ".new")).unwrap();
    let later = Checkpoint { done_before: 99_999, ..checkpoint() };
    assert!(later.write(&path).unwrap_err().to_string().contains("out.checkpoint"));
    assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint());
}

#[test]
fn what_differs_is_named() {
    let path = Path::new("x.checkpoint");
    assert!(checkpoint().check(&identity(), path).is_ok());
    for (other, what) in [
        (Identity { targets: "u".to_owned(), ..identity() }, "its targets (or exclusions) differ;"),
        (Identity { ports: "q".to_owned(), ..identity() }, "its ports differ;"),
        (Identity { seed: 1, ..identity() }, "its seed differs;"),
        (Identity { shard: "1/7".to_owned(), ..identity() }, "its shard differs;"),
        (Identity { attempts: 1, ..identity() }, "its number of retries differs;"),
        (Identity { spacing: 1, ..identity() }, "its time between retries differs;"),
    ] {
        let error = checkpoint().check(&other, path).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("x.checkpoint is the checkpoint of another scan"), "{error}");
    }
}

#[test]
fn what_is_none_is_refused_with_its_name() {
    let temp = tempfile::TempDir::new().unwrap();
    let path = temp.path().join("c");
    let whole = checkpoint().to_json().to_string();
    let newer = whole.replace("\"version\":1", "\"version\":2");
    let beyond = whole.replace("\"done_before\":12345", "\"done_before\":99999999999999");
    for text in ["", "{}", "[1]", "a,b\n", &whole[..whole.len() / 2], &newer, &beyond] {
        fs::write(&path, text).unwrap();
        let error = Checkpoint::read(&path).unwrap_err();
        assert!(matches!(&error, CheckpointError::NotOne { .. }), "{text}: {error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::NotOne { .. })));
    assert!(matches!(Checkpoint::read(temp.path()), Err(CheckpointError::Read { .. })));
    assert!(matches!(Checkpoint::read(&temp.path().join("none")), Err(CheckpointError::Read { .. })));
}

/// SCAN-5: may repeat a few, never skips. A step is over only when a whole cool-down passed since it was sent.
#[test]
fn steps_are_over_a_cool_down_after_they_were_sent() {
    let at = |millis| Instant::ZERO + Duration::from_millis(millis);
    let mut watermark = Watermark::new(Duration::from_secs(4), 100);
    let mut sent = Vec::new();
    for tick in 0..200_u64 {
        let now = at(tick * 250);
        let done = 100 + tick * 7;
        sent.push((now, done));
        let over = watermark.note(now, done);
        let long_ago = |(then, _): &&(Instant, u64)| now.saturating_since(*then) >= Duration::from_secs(4);
        let safe = sent.iter().filter(long_ago).map(|(_, done)| *done).max().unwrap_or(100);
        assert_eq!(over, safe, "at tick {tick}");
    }
    // What does not move on takes no memory.
    let mut idle = Watermark::new(Duration::from_secs(4), 0);
    for tick in 0..10_000 {
        idle.note(at(tick * 10), 5);
    }
    assert!(idle.samples.len() <= 1);
    assert_eq!(idle.over, 5);
}
