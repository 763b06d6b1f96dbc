//! A peer that is let in and then breaks nothing but rules is cut off, and named by its key.

use wirehaul_core::session::{CloseCode, CloseReason, MAX_FAULTS};

use crate::common::host::Scene;
use crate::common::{faulty, shared, tree};

/// The receiver goes on for others, keeps nothing of the faulty one, and says who it was.
#[test]
fn a_peer_that_only_breaks_rules_is_cut_off_and_named() {
    let _guard = shared();
    let scene = Scene::new();
    let receiver = scene.recv(&["--once"]);
    let (closed, nonsense, key) = faulty::call(&receiver.ticket, 3);
    assert_eq!(closed, Some(CloseReason::Peer(CloseCode::PROTOCOL)));
    // What was on its way when the CLOSE came is over the budget.
    assert!((u64::from(MAX_FAULTS)..u64::from(MAX_FAULTS) + 40).contains(&nonsense), "{nonsense}");
    std::fs::write(scene.from("file"), b"from somebody else").unwrap();
    scene.send(&["file"], &receiver.ticket, &[]).expect(0);
    let received = receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    let line = received.one_line();
    assert!(line.contains(&key) && line.contains("cut off") && line.contains("the frame type is"), "{line}");
    let [faulty, honest] = &received.events("summary")[..] else { panic!("{}", received.output()) };
    assert_eq!((&faulty["exit_code"], &honest["exit_code"]), (&3.into(), &0.into()));
    assert!(faulty["rejects"]["frame_type_unknown"].as_u64().unwrap() >= u64::from(MAX_FAULTS), "{faulty}");
}
