//! The terminal: taken for a screen of its own, and given back as it was, however the process ends.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use ratatui::Terminal as Drawing;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};

use super::draw::draw;
use super::model::{Key, Model};
use super::paint::Paint;

/// How often a panic looks whether a drawing is finished, a millisecond each.
const TRIES: u32 = 50;

/// Whether a screen is up: nothing is drawn where it is not.
static IS_UP: AtomicBool = AtomicBool::new(false);
/// Held while something is written to the screen, so that nothing comes behind what gives the terminal back.
static WRITING: Mutex<()> = Mutex::new(());

/// A screen on the terminal, until it is dropped.
pub struct Terminal {
    drawing: Drawing<CrosstermBackend<BufWriter<Way>>>,
    paint: Paint,
}

/// What came from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(Key),
    /// It has another size, or was shown anew.
    Resized,
    /// Something that means nothing here.
    Other,
}

/// The way to the terminal: stderr, which leaves stdout to results; or stdout where stderr goes elsewhere.
#[derive(Clone, Copy, Debug)]
enum Way {
    Stderr,
    Stdout,
}

impl Way {
    fn find() -> Option<Self> {
        if io::stderr().is_terminal() {
            return Some(Self::Stderr);
        }
        io::stdout().is_terminal().then_some(Self::Stdout)
    }
}

impl Write for Way {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stderr => io::stderr().write(bytes),
            Self::Stdout => io::stdout().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().flush(),
            Self::Stdout => io::stdout().flush(),
        }
    }
}

/// Whether there is a terminal that can be drawn on.
#[must_use]
pub fn is_there() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    Way::find().is_some() && !is_dumb
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It is none, or cannot be set up.
    pub fn enter(paint: Paint) -> io::Result<Self> {
        let way = Way::find().ok_or_else(|| io::Error::other("neither stderr nor stdout is a terminal"))?;
        restore_on_panic();
        let drawing = Drawing::new(CrosstermBackend::new(BufWriter::new(way)))?;
        let mut terminal = Self { drawing, paint };
        terminal.take()?;
        Ok(terminal)
    }

    fn take(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        IS_UP.store(true, Ordering::SeqCst);
        let writer = self.drawing.backend_mut();
        execute!(writer, EnterAlternateScreen, cursor::Hide).inspect_err(|_| restore())?;
        self.clear()
    }

    /// Draws what has changed since the last time; whether the screen is still up.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, model: &Model) -> io::Result<bool> {
        let _writing = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A thread may have panicked meanwhile.
        if !IS_UP.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let paint = self.paint;
        self.drawing.draw(|frame| draw(model, frame.area(), paint, frame.buffer_mut()))?;
        Ok(true)
    }

    /// Forgets what is on the screen, so that everything is drawn anew.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        // Not `clear`, which asks where the cursor is, and waits for an answer that may not come.
        let size = self.drawing.size()?;
        self.drawing.resize(size.into())
    }

    /// Waits so long for a key or another size.
    #[must_use]
    pub fn wait(&self, time: Duration) -> Option<Input> {
        match event::poll(time) {
            Ok(true) => event::read().ok().map(|event| input_of(&event)),
            Ok(false) => None,
            Err(_) => {
                // No keys can be had: what is shown goes on.
                std::thread::sleep(time);
                None
            }
        }
    }

    /// Gives the terminal to the shell until that lets this process go on.
    ///
    /// # Errors
    /// The terminal cannot be taken again.
    #[cfg(unix)]
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        // To this thread, which so is stopped before it goes on; all others with it.
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
        self.take()
    }

    /// Elsewhere nothing can be suspended.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("paint", &self.paint).finish_non_exhaustive()
    }
}

/// Gives the terminal back as it was. Where no screen is up, nothing happens.
pub fn restore() {
    if !IS_UP.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut way = Way::find().unwrap_or(Way::Stderr);
    // Whatever fails: more cannot be done.
    let _ = execute!(way, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// Sees to it that a panic of whatever thread is read on a terminal as it was before.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_UP.load(Ordering::SeqCst) {
                // Briefly: it may be the drawing itself that panicked.
                for _ in 0..TRIES {
                    match WRITING.try_lock() {
                        Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
                        held => {
                            restore();
                            drop(held);
                            break;
                        }
                    }
                }
                restore();
            }
            before(info);
        }));
    });
}

fn input_of(event: &Event) -> Input {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key_of(*key).map_or(Input::Other, Input::Key),
        Event::Resize(..) | Event::FocusGained => Input::Resized,
        _ => Input::Other,
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'C') => Some(Key::Interrupt),
            KeyCode::Char('z' | 'Z') => Some(Key::Suspend),
            KeyCode::Char('l' | 'L') => Some(Key::Redraw),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_and_those_with_control_are_others() {
        let key = |code, modifiers| input_of(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Input::Key(Key::Char('q')));
        assert_eq!(key(KeyCode::Char('G'), KeyModifiers::SHIFT), Input::Key(Key::Char('G')));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Input::Key(Key::Interrupt));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::CONTROL), Input::Other);
        assert_eq!(key(KeyCode::F(1), KeyModifiers::NONE), Input::Other);
        assert_eq!(input_of(&Event::Resize(80, 24)), Input::Resized);
    }

    /// On a terminal of its own, which only the test below gives it: a worker panics while a screen is up.
    #[cfg(target_os = "linux")]
    #[test]
    fn on_a_terminal_of_its_own_a_thread_panics() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let mut terminal = Terminal::enter(Paint { has_colour: true, is_unicode: true }).unwrap();
        let model = Model::new("send", wirehaul_core::time::Instant::ZERO);
        assert!(terminal.draw(&model).unwrap());
        let worker = std::thread::Builder::new().name("worker-7".to_owned()).spawn(|| panic!("on purpose"));
        assert!(worker.unwrap().join().is_err());
        assert!(!terminal.draw(&model).unwrap(), "nothing is drawn behind it");
    }

    #[cfg(target_os = "linux")]
    const CHILD: &str = "WIREHAUL_TEST_TERMINAL";

    /// OPS-1: whoever sits there can read what went wrong, and type on.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_panic_of_any_thread_gives_the_terminal_back_before_it_is_told() {
        use nix::sys::termios::{LocalFlags, tcgetattr};
        use std::io::Read;
        use std::process::{Command, Stdio};

        let size = nix::pty::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(&size, None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "tui::terminal::tests::on_a_terminal_of_its_own_a_thread_panics"])
            .env(CHILD, "1")
            .env("TERM", "xterm")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        let slave = pty.slave.try_clone().unwrap();
        let reading = std::thread::spawn(move || {
            let (mut master, mut told) = (std::fs::File::from(pty.master), Vec::new());
            // The end of a terminal is an error.
            let _ = master.read_to_end(&mut told);
            String::from_utf8_lossy(&told).into_owned()
        });
        let ended = child.wait().unwrap();
        let flags = tcgetattr(&slave).unwrap().local_flags;
        drop((slave, pty.slave));
        let told = reading.join().unwrap();
        assert!(ended.success(), "{told}");
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG));
        let place = |words: &str| told.find(words).unwrap_or_else(|| panic!("{words:?} is not in {told:?}"));
        let (taken, drawn, given_back) = (place("\u{1b}[?1049h"), place("Overview"), place("\u{1b}[?1049l"));
        let shown = place("on purpose");
        assert!(taken < drawn && drawn < given_back && given_back < shown, "{told:?}");
        assert!(place("\u{1b}[?25h") < shown, "with its cursor");
        assert!(!told[given_back..].contains("Overview"));
    }

    #[test]
    fn nothing_is_given_back_that_was_not_taken() {
        restore();
        assert!(!IS_UP.load(Ordering::SeqCst));
    }
}
