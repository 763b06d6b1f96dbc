//! `--tui` with the real program on a terminal (OPS-1): what is shown, what keys do, and how the terminal is left.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

/// Nothing here takes so long, on whatever machine.
const LIMIT: Duration = Duration::from_secs(60);
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";

/// What has been written to a terminal, and whether that is all.
type Written = Arc<(Mutex<(String, bool)>, Condvar)>;

/// A program on a terminal of its own, with stdout elsewhere where that is asked for.
struct Session {
    child: Child,
    keys: File,
    slave: File,
    written: Written,
}

impl Session {
    fn start(home: &Path, arguments: &[&str], stdout: Option<Stdio>) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let (master, slave) = (File::from(pty.master), File::from(pty.slave));
        let side = || Stdio::from(slave.try_clone().unwrap());
        let child = wirehaul(home)
            .args(arguments)
            .envs([("TERM", "xterm"), ("LC_ALL", "C.UTF-8")])
            .stdin(side())
            .stdout(stdout.unwrap_or_else(side))
            .stderr(side())
            .spawn()
            .unwrap();
        let written = Written::default();
        let (mut reading, shared) = (master.try_clone().unwrap(), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            // The end of a terminal is an error.
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                shared.0.lock().unwrap().0.push_str(&String::from_utf8_lossy(&bytes[..count]));
                shared.1.notify_all();
            }
            shared.0.lock().unwrap().1 = true;
            shared.1.notify_all();
        });
        Self { child, keys: master, slave, written }
    }

    /// Waits until this was written: a word that stands where nothing stood, for of others only the cells that differ are written, and
    /// blanks are not.
    fn wait_for(&self, words: &str) {
        let (text, changed) = (&self.written.0, &self.written.1);
        let unseen = |state: &mut (String, bool)| !state.0.contains(words);
        let (state, timeout) = changed.wait_timeout_while(text.lock().unwrap(), LIMIT, unseen).unwrap();
        assert!(!timeout.timed_out(), "{words:?} is not in {:?}", state.0);
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn terminate(&self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
    }

    /// Waits for its end: the exit code, and all that was written. The terminal is as it was.
    fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        let flags = tcgetattr(&self.slave).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{flags:?}");
        drop(self.slave);
        let all = |state: &mut (String, bool)| !state.1;
        let (state, _) = self.written.1.wait_timeout_while(self.written.0.lock().unwrap(), LIMIT, all).unwrap();
        (status.code().unwrap(), state.0.clone())
    }
}

fn wirehaul(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirehaul"));
    command.env("HOME", home).env("XDG_CONFIG_HOME", home.join("config")).env_remove("NO_COLOR");
    command
}

fn read_all(stdout: Option<ChildStdout>) -> String {
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).unwrap();
    text
}

/// What was written behind the screen.
fn behind(written: &str) -> &str {
    assert_eq!(written.matches(TAKEN).count(), 1, "{written:?}");
    written.rsplit_once(GIVEN_BACK).unwrap_or_else(|| panic!("not given back: {written:?}")).1
}

const RECEIVER: [&str; 5] = ["recv", "--discard", "--listen", "127.0.0.1:0", "--tui"];

#[test]
fn a_receiver_shows_what_senders_need_and_q_stops_it() {
    let home = tempfile::tempdir().unwrap();
    let mut session = Session::start(home.path(), &RECEIVER, None);
    session.wait_for("--generate");
    session.wait_for("CPUs");
    session.press("q");
    session.wait_for("Leave?");
    session.press("s");
    let (code, written) = session.end();
    assert_eq!(code, 5, "{written}");
    // The ticket, which is a line of stdout, and the notes.
    let rest = behind(&written);
    assert!(rest.lines().any(|line| line.starts_with("wh1")), "{rest:?}");
    assert!(
        rest.contains("wirehaul: receiving on 127.0.0.1:") && rest.contains("stopped before anything was sent"),
        "{rest:?}"
    );
    assert!(!rest.contains("Overview"));
}

#[test]
fn whoever_leaves_the_screen_has_the_work_go_on() {
    let home = tempfile::tempdir().unwrap();
    let mut session = Session::start(home.path(), &RECEIVER, None);
    session.wait_for("--generate");
    session.press("\u{3}");
    session.wait_for("Leave?");
    session.press("d");
    session.wait_for(GIVEN_BACK);
    session.wait_for("waiting");
    assert!(session.child.try_wait().unwrap().is_none(), "it goes on");
    session.terminate();
    let (code, written) = session.end();
    assert_eq!((code, behind(&written).contains("Overview")), (5, false), "{written}");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let home = tempfile::tempdir().unwrap();
    let session = Session::start(home.path(), &RECEIVER, None);
    session.wait_for("--generate");
    session.terminate();
    let (code, written) = session.end();
    assert_eq!(code, 5, "{written}");
    assert!(behind(&written).contains("stopped before anything was sent"), "{written:?}");
}

/// Both ends on screens, and results on stdout, which goes elsewhere.
#[test]
fn a_transfer_is_watched_and_its_summary_is_on_stdout() {
    let home = tempfile::tempdir().unwrap();
    let (inbox, file) = (home.path().join("inbox"), home.path().join("file"));
    std::fs::create_dir(&inbox).unwrap();
    std::fs::write(&file, vec![7; 3 << 20]).unwrap();
    let arguments =
        ["recv", "--dir", inbox.to_str().unwrap(), "--once", "--listen", "127.0.0.1:0", "--transport", "udp", "--tui"];
    let mut receiver = Session::start(home.path(), &arguments, Some(Stdio::piped()));
    let mut stdout = receiver.child.stdout.take().unwrap();
    let mut ticket = String::new();
    while !ticket.ends_with('\n') {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        ticket.push(char::from(byte[0]));
    }
    let arguments = ["send", "--transport", "udp", "--rate", "20mbit", "--tui", file.to_str().unwrap(), ticket.trim()];
    let mut sender = Session::start(home.path(), &arguments, Some(Stdio::piped()));
    let summary = sender.child.stdout.take();
    sender.wait_for("connected");
    receiver.wait_for("connected");
    assert!(read_all(summary).starts_with("sent 3.00 MiB in"));
    let (code, written) = sender.end();
    assert_eq!(code, 0, "{written}");
    assert!(read_all(Some(stdout)).starts_with("received 3.00 MiB in"));
    let (code, written) = receiver.end();
    assert_eq!(code, 0, "{written}");
    assert_eq!(std::fs::read(inbox.join("file")).unwrap().len(), 3 << 20);
}

#[test]
fn without_a_terminal_there_is_no_screen() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| wirehaul(home.path()).args(arguments).stdin(Stdio::null()).output().unwrap();
    for arguments in [&RECEIVER[..], &["send", "--tui", "file", "backup"], &["scan", "10.0.0.1", "-p", "22", "--tui"]] {
        let output = run(arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{told}");
        assert!(told.starts_with("wirehaul: --tui needs a terminal"), "{told}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn rows_of_a_survey_are_not_written_across_the_screen() {
    let home = tempfile::tempdir().unwrap();
    let (code, written) =
        Session::start(home.path(), &["scan", "127.0.0.1", "-p", "22", "--iface", "lo", "--tui"], None).end();
    assert_eq!((code, written.contains(TAKEN)), (2, false), "{written}");
    assert!(written.contains("name a file for them with -o"), "{written}");
}
