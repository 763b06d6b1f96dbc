//! Senders that lie: nothing is written for them, outside the directory or in it (XFER-3, SEC-6).

use std::fs;
use std::os::unix::fs::symlink;

use wirehaul::transfer::manifest::CHUNK_BYTES;
use wirehaul::transfer::message::{Content, Hello, Message, RefusalClass};
use wirehaul_core::session::CloseReason;

use crate::common::host::Scene;
use crate::common::peer::{self, Answer, RawManifest, Script};
use crate::common::{shared, tree};

fn hello(files: u64) -> Vec<u8> {
    Message::Hello(Hello { content: Content::Files, total_bytes: 5 * files, files }).encode()
}

fn script(manifest: Vec<u8>) -> Script {
    Script { control: hello(1), manifest, manifest_ends: true, ..Script::default() }
}

/// The one refusal among the answers.
#[track_caller]
fn refusal(answer: &Answer) -> (RefusalClass, &str) {
    match &answer.messages[..] {
        [Message::Refused { class, reason }] => (*class, reason),
        _ => panic!("no refusal: {answer:?}"),
    }
}

#[test]
fn hostile_manifests_are_refused_before_anything_is_written() {
    let _guard = shared();
    let new = RawManifest::default;
    let long = "n".repeat(256);
    let cases = [
        (new().file("../escaped", 5).end(), "`.` or `..`"),
        (new().dir("a").file("a/../../escaped", 5).end(), "`.` or `..`"),
        (new().file("..", 5).end(), "`.` or `..`"),
        (new().file("/tmp/wirehaul-escaped", 5).end(), "absolute"),
        (new().dir("a").dir("a").end(), "name comes twice"),
        (new().file("a", 5).file("a", 5).end(), "name comes twice"),
        (new().file("b", 5).file("a", 5).end(), "ascending order"),
        (new().link("a", "inside").file("a/file", 5).end(), "not a directory"),
        (new().file("a", 5).file("a/file", 5).end(), "not a directory"),
        (new().file("missing/file", 5).end(), "not part of the transfer"),
        (new().link("a", "/etc/passwd").end(), "leads out of the tree"),
        (new().link("a", "../../escaped").end(), "leads out of the tree"),
        (new().unknown(7, "device").end(), "neither a file, a directory nor a symlink"),
        (new().file(".wirehaul/lock", 5).end(), "reserved"),
        (new().dir(".wirehaul").end(), "reserved"),
        (new().file("a\0b", 5).end(), "NUL"),
        (new().file("", 5).end(), "empty"),
        (new().dir("a").file("a//b", 5).end(), "empty"),
        (new().file(&long, 5).end(), "longer than 255"),
        (new().file("huge", 1 << 60).end(), "larger than this version"),
        (b"\x01\x80\x80\x80".to_vec(), "cut short"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), "malformed"),
    ];
    let scene = Scene::new();
    fs::write(scene.to("there before"), b"untouched").unwrap();
    let before = tree::snapshot(scene.path());
    for (manifest, words) in cases {
        let receiver = scene.recv(&["--once"]);
        let answer = peer::send(&receiver.ticket, script(manifest));
        let (class, reason) = refusal(&answer);
        assert!(class == RefusalClass::Policy && reason.contains(words), "`{words}` expected: {reason}");
        let received = receiver.process.wait().expect(3);
        assert!(received.one_line().contains(words), "`{words}` expected: {}", received.output());
        assert_eq!(received.summary()["exit_code"], 3);
        let mut after = tree::snapshot(scene.path());
        // The receiver's own key was made on the way.
        after.retain(|name, _| before.contains_key(name) || !name.to_string_lossy().starts_with("receiver/"));
        let names = |tree: &std::collections::BTreeMap<_, _>| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before), "{words}");
    }
    assert_eq!(fs::read(scene.to("there before")).unwrap(), b"untouched");
    assert!(!std::path::Path::new("/tmp/wirehaul-escaped").exists());
}

/// What is in the target already may point anywhere: it is not followed.
#[test]
fn links_in_the_target_are_not_followed() {
    let _guard = shared();
    let scene = Scene::new();
    let outside = scene.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), b"untouched").unwrap();
    symlink(&outside, scene.to("dir")).unwrap();
    symlink(outside.join("victim"), scene.to("file")).unwrap();
    symlink(outside.join("not there"), scene.to("new")).unwrap();
    fs::create_dir(scene.from("dir")).unwrap();
    fs::write(scene.from("dir/victim"), b"overwritten").unwrap();
    fs::write(scene.from("dir/other"), b"planted").unwrap();
    fs::write(scene.from("file"), b"overwritten").unwrap();
    fs::write(scene.from("new"), b"planted").unwrap();
    for options in [&["--once"][..], &["--once", "--overwrite"]] {
        let receiver = scene.recv(options);
        let sent = scene.send(&["dir", "file", "new"], &receiver.ticket, &[]).expect(3);
        receiver.process.wait().expect(3);
        assert!(sent.stderr.contains("dir"), "{}", sent.output());
        let names: Vec<_> = tree::snapshot(&outside).into_keys().collect();
        assert_eq!(names, ["victim"]);
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"untouched");
    }
    // With --overwrite a link in the place of a file gives way to the file; what it led to does not change.
    assert!(
        scene.to("file").symlink_metadata().unwrap().is_file() && scene.to("new").symlink_metadata().unwrap().is_file()
    );
    assert!(scene.to("dir").is_symlink());
}

#[test]
fn data_that_was_not_asked_for_ends_the_transfer() {
    let _guard = shared();
    let scene = Scene::new();
    for (manifest, data) in [
        // Before the receiver has said what it wants.
        (RawManifest::default().file("f", 5).end(), vec![0; 100]),
        // More than it wanted: one chunk with its hash is a little longer than the chunk.
        (RawManifest::default().file("f", CHUNK_BYTES).end(), vec![0; 3 * CHUNK_BYTES as usize]),
    ] {
        let receiver = scene.recv(&["--once"]);
        let answer = peer::send(&receiver.ticket, Script { data, ..script(manifest) });
        let refused = answer.messages.iter().any(|message| {
            matches!(message, Message::Refused { class: RefusalClass::Policy, reason } if reason.contains("rule"))
        });
        assert!(refused, "{answer:?}");
        receiver.process.wait().expect(3);
        assert!(!scene.to("f").exists());
    }
}

/// XFER-4: chunks that do not match their hash are asked for again, and in the end the file is not there.
#[test]
fn nonsense_on_the_control_stream_is_refused() {
    let _guard = shared();
    let scene = Scene::new();
    let result = Message::Result(Default::default()).encode();
    let want = Message::Want { runs: vec![1, 2, 3] }.encode();
    for (control, words) in [
        (vec![99, 0, 0, 0, 0], "unknown kind"),
        (vec![1, 0xff, 0xff, 0xff, 0xff], "too long"),
        (vec![1, 0, 0, 0, 2, 1, 1], "malformed"),
        (result, "receiver's message"),
        (want, "receiver's message"),
    ] {
        let receiver = scene.recv(&["--once"]);
        let answer = peer::send(&receiver.ticket, Script { control, ..Script::default() });
        assert!(refusal(&answer).1.contains(words), "`{words}` expected: {answer:?}");
        let received = receiver.process.wait();
        assert!(received.code.is_some_and(|code| code != 0), "{}", received.output());
        assert!(received.one_line().contains(words), "`{words}` expected: {}", received.output());
    }
    assert_eq!(tree::snapshot(&scene.to("")).len(), 0);
}

/// A sender that says nothing at all is given up like one that died, and a receiver keeps no slot for it for ever.
#[test]
fn a_peer_that_hangs_up_at_once_leaves_nothing() {
    let _guard = shared();
    let scene = Scene::new();
    let receiver = scene.recv(&["--once"]);
    // A list that never ends; the sender goes away as a user's Ctrl-C would have it.
    let manifest = RawManifest::default().dir("a").bytes;
    let answer = std::thread::scope(|scope| {
        let ticket = &receiver.ticket;
        let sender = scope.spawn(move || {
            peer::send(ticket, Script { control: hello(1), manifest, manifest_ends: true, ..Script::default() })
        });
        sender.join().unwrap()
    });
    assert!(refusal(&answer).1.contains("cut short"), "{answer:?}");
    assert!(matches!(answer.closed, Some(CloseReason::Local(_))), "{answer:?}");
    receiver.process.wait().expect(3);
    scene.assert_no_leftovers();
}
