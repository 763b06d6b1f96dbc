//! What is in the target already: kept where it is the same, never overwritten unasked (XFER-5).

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::common::host::Scene;
use crate::common::{data, shared, tree};

const LEN: u64 = 700_000;

#[test]
fn files_that_are_there_already_are_not_sent() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("f"), 1, LEN);
    scene.transfer(&["f"]);
    let inode = scene.to("f").metadata().unwrap().ino();
    let (sent, received) = scene.transfer(&["f"]);
    for summary in [sent.summary(), received.summary()] {
        assert_eq!((&summary["bytes"], &summary["resumed_bytes"]), (&0.into(), &LEN.into()), "{summary}");
        assert_eq!((&summary["files"], &summary["verified"]), (&1.into(), &true.into()), "{summary}");
    }
    assert_eq!(scene.to("f").metadata().unwrap().ino(), inode);
}

/// The same length and different bytes; another length; a directory of that name; a link of that name.
#[test]
fn what_differs_is_kept_unless_the_receiver_overwrites() {
    let _guard = shared();
    let scene = Scene::new();
    for name in ["longer", "other", "link", "new"] {
        data::write_file(&scene.from(name), 1, LEN);
    }
    data::write_file(&scene.to("longer"), 1, LEN + 1);
    data::write_file(&scene.to("other"), 2, LEN);
    symlink("other", scene.to("link")).unwrap();
    let kept: Vec<_> = ["longer", "other"].map(|name| tree::hash(&scene.to(name))).into();
    let names = ["longer", "other", "link", "new"];

    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&names, &receiver.ticket, &[]).expect(3);
    let received = receiver.process.wait().expect(3);
    for finished in [&sent, &received] {
        for name in ["longer: ", "other: ", "link: ", "--overwrite"] {
            assert!(finished.stderr.contains(name), "{name}: {}", finished.output());
        }
        let summary = finished.summary();
        assert_eq!(
            (&summary["conflicts"], &summary["files"], &summary["exit_code"]),
            (&3.into(), &1.into(), &3.into())
        );
    }
    assert_eq!(["longer", "other"].map(|name| tree::hash(&scene.to(name))).as_slice(), kept);
    tree::assert_same_file(&scene.from("new"), &scene.to("new"));
    assert!(scene.to("link").is_symlink());

    let receiver = scene.recv(&["--once", "--overwrite"]);
    scene.send(&names, &receiver.ticket, &[]).expect(0);
    receiver.process.wait().expect(0);
    tree::assert_same(&scene.from(""), &scene.to(""));
    scene.assert_no_leftovers();
}

/// Not even --overwrite removes a directory, or puts a directory in the place of a file.
#[test]
fn directories_and_files_do_not_replace_each_other() {
    let _guard = shared();
    let scene = Scene::new();
    fs::write(scene.from("was a dir"), b"file").unwrap();
    fs::create_dir(scene.from("was a file")).unwrap();
    fs::write(scene.from("was a file/inside"), b"file").unwrap();
    fs::create_dir(scene.to("was a dir")).unwrap();
    fs::write(scene.to("was a dir/precious"), b"kept").unwrap();
    fs::write(scene.to("was a file"), b"kept").unwrap();
    let before = tree::snapshot(&scene.to(""));
    let receiver = scene.recv(&["--once", "--overwrite"]);
    scene.send(&["was a dir", "was a file"], &receiver.ticket, &[]).expect(3);
    receiver.process.wait().expect(3);
    assert_eq!(tree::snapshot(&scene.to("")), before);
}

/// A directory that is there already is gone into, and what else is in it stays.
#[test]
fn trees_are_merged() {
    let _guard = shared();
    let scene = Scene::new();
    fs::create_dir(scene.from("dir")).unwrap();
    fs::write(scene.from("dir/new"), b"new").unwrap();
    fs::create_dir(scene.to("dir")).unwrap();
    fs::write(scene.to("dir/old"), b"old").unwrap();
    scene.transfer(&["dir"]);
    assert_eq!(fs::read(scene.to("dir/new")).unwrap(), b"new");
    assert_eq!(fs::read(scene.to("dir/old")).unwrap(), b"old");
}
