//! A child process: its output as it comes, its end, its peak memory; killed by its id when dropped.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take on a busy machine before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(4);

/// Lines of one of a child's streams, collected on a thread.
struct Lines {
    shared: Arc<(Mutex<Collected>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let shared: Arc<(Mutex<Collected>, Condvar)> = Arc::default();
        let there = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let (mut stream, mut line) = (BufReader::new(stream), Vec::new());
            while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                there.0.lock().unwrap().lines.push(text);
                there.1.notify_all();
                line.clear();
            }
            there.0.lock().unwrap().ended = true;
            there.1.notify_all();
        });
        Self { shared, reader: Some(reader) }
    }

    /// The first line that `wanted` takes, or `None` at the end of the stream or after `limit`.
    fn find(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let until = Instant::now() + limit;
        let mut collected = self.shared.0.lock().unwrap();
        loop {
            if let Some(line) = collected.lines.iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if collected.ended || left.is_zero() {
                return None;
            }
            collected = self.shared.1.wait_timeout(collected, left).unwrap().0;
        }
    }

    fn so_far(&self) -> String {
        self.shared.0.lock().unwrap().lines.join("\n")
    }

    fn take(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

/// A running child.
pub struct Process {
    child: Child,
    what: String,
    stdout: Lines,
    stderr: Lines,
    started: Instant,
    peak_rss_kib: u64,
}

impl Process {
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = format!("{command:?}");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {what}: {error}"));
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child, what, stdout, stderr, started: Instant::now(), peak_rss_kib: 0 }
    }

    /// The first line of stdout that `wanted` takes; panics where there is none.
    pub fn stdout_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.stdout.find(PATIENCE, wanted).unwrap_or_else(|| self.give_up("no such line on stdout"))
    }

    /// The first line of stderr that `wanted` takes; panics where there is none.
    pub fn stderr_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.stderr.find(PATIENCE, wanted).unwrap_or_else(|| self.give_up("no such line on stderr"))
    }

    /// The first line of stdout, if there is one before the stream ends.
    pub fn first_line(&self) -> Option<String> {
        self.stdout.find(PATIENCE, |_| true)
    }

    /// As the system knows it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the kernel says of each of its threads: `/proc/PID/task/*/status`.
    pub fn thread_statuses(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect()
    }

    pub fn is_running(&mut self) -> bool {
        self.sample_memory();
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        // The child is not waited for yet, so its id is still its own.
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub fn kill(mut self) -> Finished {
        let _ = self.child.kill();
        self.end()
    }

    /// Waits for its end; panics where it does not come.
    pub fn wait(self) -> Finished {
        self.wait_for(PATIENCE)
    }

    pub fn wait_for(mut self, limit: Duration) -> Finished {
        while self.is_running() {
            if self.started.elapsed() > limit {
                self.give_up("it did not end in time");
            }
            std::thread::sleep(POLL);
        }
        self.end()
    }

    fn end(&mut self) -> Finished {
        let status = self.child.wait().unwrap();
        Finished {
            what: self.what.clone(),
            code: status.code(),
            stdout: self.stdout.take(),
            stderr: self.stderr.take(),
            seconds: self.started.elapsed().as_secs_f64(),
            peak_rss_kib: self.peak_rss_kib,
        }
    }

    /// VmHWM only ever grows, so the last look before the end is the peak, but for what the last moment adds.
    fn sample_memory(&mut self) {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())) else { return };
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        self.peak_rss_kib = self.peak_rss_kib.max(peak.unwrap_or(0));
    }

    fn give_up(&self, what: &str) -> ! {
        let (out, err) = (self.stdout.so_far(), self.stderr.so_far());
        panic!("{what}: {}\n--- stdout\n{out}\n--- stderr\n{err}", self.what)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A child that has ended.
#[derive(Debug)]
pub struct Finished {
    what: String,
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// How long it ran, as the test saw it.
    pub seconds: f64,
    /// The largest resident set that was seen.
    pub peak_rss_kib: u64,
}

impl Finished {
    /// Panics with all output unless it exited with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.output());
        self
    }

    /// Everything it said, for the message of an assertion.
    pub fn output(&self) -> String {
        let Self { what, code, stdout, stderr, .. } = self;
        format!("{what}: {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }

    /// The JSON objects on stdout of type `kind`.
    #[track_caller]
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{}", self.output()));
        self.stdout.lines().map(parse).filter(|event| event["type"] == kind).collect()
    }

    /// The summary: the last line of stdout.
    #[track_caller]
    pub fn summary(&self) -> Value {
        let last = self.stdout.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
        let last = last.unwrap_or_else(|| panic!("no summary: {}", self.output()));
        assert_eq!(last["type"], "summary", "{}", self.output());
        last
    }

    /// The one line of stderr (OPS-4: each failure is one clear line).
    #[track_caller]
    pub fn one_line(&self) -> &str {
        let mut lines = self.stderr.lines();
        let line = lines.next().unwrap_or_else(|| panic!("nothing was said: {}", self.output()));
        assert_eq!(lines.next(), None, "more than one line: {}", self.output());
        line.strip_prefix("wirehaul: ").unwrap_or_else(|| panic!("no name in front: {}", self.output()))
    }
}

/// Waits until it is so; fails with `complaint` where it never is.
#[track_caller]
pub fn until(complaint: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{complaint}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
