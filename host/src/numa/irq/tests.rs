//! NUMA-5 on machines that are made up: files that look like the kernel's, and a kernel that refuses.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::{Arc, Mutex};

use rustix::fs::{FileType, FlockOperation, Mode, flock, mknodat};

use super::*;

const NAMES: [(u32, &str); 3] = [(40, "virtio2-input.0"), (41, "virtio2-output.0"), (42, "virtio2-input.1")];
const ALL: [u32; 3] = [40, 41, 42];

/// A machine of CPUs 0 to 7, with a card whose interrupts begin at 0-3, 4-7 and 2.
struct Machine {
    root: tempfile::TempDir,
    kernel: Kernel,
}

/// Files, and what else a kernel does.
#[derive(Clone)]
struct Kernel {
    files: Files,
    journals: PathBuf,
    /// The error that moving an interrupt ends with.
    refusals: Arc<Mutex<BTreeMap<u32, i32>>>,
    /// How often an interrupt still shows other CPUs, and which.
    stale: Arc<Mutex<BTreeMap<u32, (u32, CpuSet)>>>,
    /// Interrupts that were moved, in order.
    moves: Arc<Mutex<Vec<u32>>>,
}

impl Interrupts for Kernel {
    fn cpus(&self, interrupt: u32) -> io::Result<CpuSet> {
        match self.stale.lock().unwrap().get_mut(&interrupt) {
            Some((times, cpus)) if *times > 0 => {
                *times -= 1;
                Ok(*cpus)
            }
            _ => Interrupts::cpus(&self.files, interrupt),
        }
    }

    fn set_cpus(&self, interrupt: u32, cpus: &CpuSet) -> io::Result<()> {
        let is_written = |file: &PathBuf| {
            fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("\"interrupt\":{interrupt}")))
        };
        let files: Vec<_> = fs::read_dir(&self.journals).into_iter().flatten().flatten().map(|e| e.path()).collect();
        let is_known = files.iter().any(is_written) || !self.journals.exists();
        assert!(is_known, "{interrupt} is moved before that is written down: {files:?}");
        if let Some(errno) = self.refusals.lock().unwrap().get(&interrupt) {
            return Err(io::Error::from_raw_os_error(*errno));
        }
        self.moves.lock().unwrap().push(interrupt);
        Interrupts::set_cpus(&self.files, interrupt, cpus)
    }

    fn name(&self, interrupt: u32) -> String {
        Interrupts::name(&self.files, interrupt)
    }

    fn boot(&self) -> String {
        Interrupts::boot(&self.files)
    }

    fn has_irqbalance(&self) -> bool {
        Interrupts::has_irqbalance(&self.files)
    }
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let journals = root.path().join("run/interrupts");
        let files = Files::below(root.path());
        let (refusals, stale, moves) = Default::default();
        let kernel = Kernel { files, journals, refusals, stale, moves };
        let machine = Self { root, kernel };
        machine.write("proc/sys/kernel/random/boot_id", "first\n");
        for ((interrupt, name), cpus) in NAMES.into_iter().zip(["0-3", "4-7", "2"]) {
            machine.write(&format!("sys/kernel/irq/{interrupt}/actions"), name);
            machine.put(interrupt, cpus);
        }
        machine
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// As an administrator does.
    fn put(&self, interrupt: u32, cpus: &str) {
        self.write(&format!("proc/irq/{interrupt}/smp_affinity_list"), &format!("{cpus}\n"));
    }

    /// Where the three are.
    fn now(&self) -> [String; 3] {
        ALL.map(|interrupt| self.kernel.cpus(interrupt).unwrap().list().to_string())
    }

    fn steer(&self, cpus: &str) -> Steered {
        let cpus = CpuSet::from_list(cpus).unwrap();
        Steered::at(Box::new(self.kernel.clone()), self.kernel.journals.clone(), "eth0", &ALL, &cpus)
    }

    fn recover(&self) -> Recovered {
        recover_at(&self.kernel, &self.kernel.journals)
    }

    fn left_behind(&self) -> Vec<Vec<u32>> {
        left_behind_at(&self.kernel, &self.kernel.journals).into_iter().map(|left| left.interrupts).collect()
    }

    /// The names in the folder.
    fn journals(&self) -> Vec<String> {
        self.kernel.files.names("run/interrupts")
    }

    /// A file in the folder, as root of the folder's owner would leave it.
    fn leave(&self, name: &str, text: &str) -> PathBuf {
        drop(Folder::make(&self.kernel.journals).unwrap());
        let path = self.kernel.journals.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn refuse(&self, interrupt: u32, errno: i32) {
        self.kernel.refusals.lock().unwrap().insert(interrupt, errno);
    }
}

/// As `kill -9` does: what is locked is free, and nothing else happens.
fn kill(mut steered: Steered) {
    drop(steered.journal.take());
}

fn words(warnings: &[Warning]) -> String {
    warnings.iter().map(|warning| format!("{warning}\n")).collect()
}

#[test]
fn interrupts_move_and_go_back() {
    let machine = Machine::new();
    let steered = machine.steer("4-7");
    assert_eq!(machine.now(), ["4-7", "4-7", "4-7"]);
    assert_eq!((steered.moved(), words(steered.warnings())), (&[40, 42][..], String::new()));
    assert_eq!(machine.journals(), [format!("{}.json", std::process::id())]);
    assert_eq!(words(&steered.put_back()), "");
    assert_eq!((machine.now(), machine.journals().len()), (["0-3", "4-7", "2"].map(String::from), 0));
    drop(machine.steer("0-1"));
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);
    // Of those that were within nothing was written.
    assert!(!machine.kernel.moves.lock().unwrap()[..4].contains(&41));
}

#[test]
fn a_card_without_interrupts_leaves_no_trace() {
    let machine = Machine::new();
    let cpus = CpuSet::from_list("4-7").unwrap();
    let steered = Steered::at(Box::new(machine.kernel.clone()), machine.kernel.journals.clone(), "veth", &[], &cpus);
    assert!(steered.moved().is_empty() && steered.warnings().is_empty() && !machine.kernel.journals.exists());
    let steered = Steered::at(Box::new(machine.kernel.clone()), machine.kernel.journals.clone(), "eth0", &[99], &cpus);
    assert!(words(steered.warnings()).starts_with("the interrupts of eth0 cannot be read"), "{steered:?}");
    assert_eq!(machine.journals(), [""; 0]);
    assert!(Steered::nothing().put_back().is_empty());
}

/// The last to leave puts back what was there before the first.
#[test]
fn two_processes_share_a_card() {
    for first_leaves_first in [true, false] {
        let machine = Machine::new();
        let (first, second) = (machine.steer("4-7"), machine.steer("4-7"));
        assert_eq!((second.moved(), machine.journals().len()), (&[][..], 2));
        let (leaver, last) = if first_leaves_first { (first, second) } else { (second, first) };
        drop(leaver);
        assert_eq!(machine.now(), ["4-7", "4-7", "4-7"]);
        drop(last);
        assert_eq!((machine.now(), machine.journals().len()), (["0-3", "4-7", "2"].map(String::from), 0));
    }
}

#[test]
fn who_comes_first_is_served() {
    let machine = Machine::new();
    let first = machine.steer("4-7");
    let second = machine.steer("0-1");
    assert_eq!(machine.now(), ["4-7", "4-7", "4-7"]);
    let expected = format!("process {} has them there, and came first", std::process::id());
    assert!(words(second.warnings()).contains(&expected), "{second:?}");
    drop(first);
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);
}

#[test]
fn what_the_dead_have_left_is_put_back() {
    let machine = Machine::new();
    kill(machine.steer("4-7"));
    assert_eq!((machine.now()[0].as_str(), machine.left_behind()), ("4-7", vec![vec![41, 40, 42]]));
    let recovered = machine.recover();
    assert_eq!((recovered.put_back, words(&recovered.warnings)), (vec![40, 42], String::new()));
    assert_eq!((machine.now(), machine.journals().len()), (["0-3", "4-7", "2"].map(String::from), 0));
    assert_eq!((machine.recover().put_back, machine.left_behind().len()), (vec![], 0));

    kill(machine.steer("4-7"));
    let next = machine.steer("0-1");
    assert_eq!((next.recovered(), machine.now()), (&[40, 42][..], ["0-1", "0-1", "0-1"].map(String::from)));
    drop(next);
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);
}

#[test]
fn the_living_keep_what_they_share_with_the_dead() {
    let machine = Machine::new();
    let (first, second) = (machine.steer("4-7"), machine.steer("4-7"));
    kill(first);
    assert_eq!(machine.recover().put_back, [0; 0]);
    assert_eq!((machine.now()[0].as_str(), machine.journals().len()), ("4-7", 1));
    drop(second);
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);
}

/// The claim of one that died may be newer than that of one that lives.
#[test]
fn who_leaves_puts_back_for_the_dead_first() {
    let machine = Machine::new();
    let first = machine.steer("4-7");
    machine.put(40, "2-5");
    kill(machine.steer("4-7"));
    drop(first);
    assert_eq!((machine.now(), machine.journals().len()), (["2-5", "4-7", "2"].map(String::from), 0));
    // And here older.
    let first = machine.steer("4-7");
    machine.put(40, "1");
    let second = machine.steer("4-7");
    kill(first);
    drop(second);
    assert_eq!((machine.now(), machine.journals().len()), (["1", "4-7", "2"].map(String::from), 0));
}

#[test]
fn what_somebody_else_has_moved_stays_there() {
    let machine = Machine::new();
    let steered = machine.steer("4-7");
    machine.put(40, "1");
    drop(steered);
    assert_eq!(machine.now(), ["1", "4-7", "2"]);
    kill(machine.steer("4-7"));
    machine.put(42, "0");
    assert_eq!(machine.recover().put_back, [40]);
    assert_eq!(machine.now(), ["1", "4-7", "0"]);
}

/// The kernel shows the old CPUs, or none, while a move is under way.
#[test]
fn moves_that_are_not_finished_are_waited_for() {
    let machine = Machine::new();
    let steered = machine.steer("4-7");
    let shown = [(40, (3, CpuSet::from_list("0-3").unwrap())), (42, (2, CpuSet::EMPTY))];
    machine.kernel.stale.lock().unwrap().extend(shown);
    assert_eq!(words(&steered.put_back()), "");
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);
}

#[test]
fn a_number_that_was_given_to_something_else_is_left_alone() {
    let machine = Machine::new();
    let steered = machine.steer("4-7");
    machine.write("sys/kernel/irq/40/actions", "nvme0q1");
    machine.write("sys/kernel/irq/42/actions", "");
    drop(steered);
    assert_eq!(machine.now(), ["4-7", "4-7", "2"]);
    let steered = machine.steer("0-1");
    fs::remove_dir_all(machine.root.path().join("proc/irq/42")).unwrap();
    assert_eq!(words(&steered.put_back()), "");
}

#[test]
fn refusals_are_warnings() {
    let machine = Machine::new();
    machine.refuse(40, libc::EPERM);
    let steered = machine.steer("4-7");
    assert_eq!((machine.now(), steered.moved()), (["0-3", "4-7", "4-7"].map(String::from), &[42][..]));
    let said = words(steered.warnings());
    assert!(said.contains("40 (virtio2-input.0) of eth0 stay where they are: the kernel lets nobody"), "{said}");
    drop(steered);
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);

    for interrupt in [40, 42] {
        machine.refuse(interrupt, libc::EIO);
    }
    let steered = machine.steer("4-7");
    assert!(words(steered.warnings()).contains("40 (virtio2-input.0), 42 (virtio2-input.1)"), "{steered:?}");
    assert_eq!((steered.warnings().len(), steered.moved().len()), (1, 0));
}

#[test]
fn who_may_not_is_told_once_how_to() {
    let machine = Machine::new();
    [40, 42].into_iter().for_each(|interrupt| machine.refuse(interrupt, libc::EACCES));
    let steered = machine.steer("4-7");
    let said = words(steered.warnings());
    assert!(said.contains("as root: echo 4-7 > /proc/irq/40/smp_affinity_list"), "{said}");
    assert!(said.contains("40 (virtio2-input.0), 42 (virtio2-input.1)") && steered.warnings().len() == 1, "{said}");
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);
}

/// The next who may does it.
#[test]
fn what_cannot_be_put_back_now_is_put_back_later() {
    let machine = Machine::new();
    let steered = machine.steer("4-7");
    machine.refuse(40, libc::EROFS);
    let said = words(&steered.put_back());
    assert!(said.contains("40 (virtio2-input.0) was on the CPUs 0-3 and cannot be put back"), "{said}");
    assert_eq!((machine.now(), machine.journals().len()), (["4-7", "4-7", "2"].map(String::from), 1));
    assert_eq!(machine.recover().warnings.len(), 1);
    machine.kernel.refusals.lock().unwrap().clear();
    assert_eq!(machine.recover().put_back, [40]);
    assert_eq!((machine.now(), machine.journals().len()), (["0-3", "4-7", "2"].map(String::from), 0));
}

#[test]
fn journals_of_another_boot_say_nothing_about_this_one() {
    let machine = Machine::new();
    kill(machine.steer("4-7"));
    machine.write("proc/sys/kernel/random/boot_id", "second\n");
    assert_eq!(machine.left_behind().len(), 0);
    assert_eq!((machine.recover().put_back, machine.journals().len()), (vec![], 0));
    assert_eq!(machine.now(), ["4-7", "4-7", "4-7"]);
}

#[test]
fn what_is_no_journal_is_named_and_set_aside() {
    let machine = Machine::new();
    kill(machine.steer("4-7"));
    let whole = fs::read_to_string(machine.kernel.journals.join(&machine.journals()[0])).unwrap();
    assert_eq!(machine.recover().put_back, [40, 42]);
    let texts = [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("interrupts 1", "interrupts 2"),
        whole.replace("\"before\":\"0-3\"", "\"before\":\"3-0\""),
        whole.replace("\"before\":\"0-3\"", "\"before\":\"\""),
        whole.replace("\"round\":0", "\"round\":-1"),
        whole.replace("\"process\"", "\"unheard\":0,\"process\""),
        "[]".to_owned(),
        "\0\u{7f}".to_owned(),
        " ".repeat(2 << 20),
    ];
    for (number, text) in texts.iter().enumerate() {
        machine.put(40, "4-7");
        machine.leave(&format!("{number}.json"), text);
        let steered = machine.steer("4-5");
        let said = words(steered.warnings());
        assert!(said.contains(&format!("{number}.json is no journal of interrupts")), "{text:?}: {said}");
        assert!(steered.recovered().is_empty() && steered.moved().contains(&40));
        assert!(machine.journals().contains(&format!("{number}.json.aside")));
    }
    assert_eq!(words(machine.steer("4-5").warnings()), "", "what was set aside is not looked at again");
}

#[test]
fn what_is_no_file_is_no_journal() {
    let machine = Machine::new();
    let outside = machine.root.path().join("outside");
    fs::write(&outside, "{}").unwrap();
    symlink(&outside, machine.leave("x.json", "").with_file_name("link.json")).unwrap();
    fs::create_dir(machine.kernel.journals.join("folder.json")).unwrap();
    let folder = fs::File::open(&machine.kernel.journals).unwrap();
    mknodat(folder, "pipe.json", FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let recovered = machine.recover();
    assert_eq!(recovered.warnings.len(), 4, "{}", words(&recovered.warnings));
    assert!(machine.journals().iter().all(|name| name.ends_with(".aside")) && outside.exists());
    assert_eq!(machine.recover().warnings.len(), 0);
}

#[test]
fn journals_that_were_never_finished_are_removed() {
    let machine = Machine::new();
    machine.leave("17.json.new", "{\"form");
    assert_eq!((machine.recover().warnings.len(), machine.journals().len()), (0, 0));
}

#[test]
fn a_living_process_that_is_not_understood_is_left_alone() {
    let machine = Machine::new();
    let file = fs::File::open(machine.leave("17.json", "{\"format\":\"wirehaul interrupts 9\"}")).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let steered = machine.steer("4-7");
    assert!(words(steered.warnings()).contains("17.json is kept by a process that runs"), "{steered:?}");
    assert_eq!(
        (machine.now(), machine.journals()),
        (["0-3", "4-7", "2"].map(String::from), vec!["17.json".to_owned()])
    );
}

#[test]
fn a_folder_that_others_may_write_to_is_not_trusted() {
    let machine = Machine::new();
    let mut journal = machine.steer("4-7");
    fs::set_permissions(&machine.kernel.journals, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(words(&machine.recover().warnings).contains("is not only this user's"));
    assert!(words(machine.steer("0-1").warnings()).contains("nothing would bring them back"));
    assert!(words(&journal.leave()).contains("is not only this user's"));
    // A file in its place.
    fs::remove_dir_all(&machine.kernel.journals).unwrap();
    fs::write(&machine.kernel.journals, "").unwrap();
    assert!(words(machine.steer("0-1").warnings()).contains("nothing would bring them back"));
    // Where all is well anyway, nothing is said.
    ALL.into_iter().for_each(|interrupt| machine.put(interrupt, "0"));
    assert_eq!(words(machine.steer("0-1").warnings()), "");
}

#[test]
fn a_folder_that_is_gone_keeps_nobody_from_putting_back() {
    let machine = Machine::new();
    let steered = machine.steer("4-7");
    fs::remove_dir_all(&machine.kernel.journals).unwrap();
    assert_eq!(words(&steered.put_back()), "");
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);
}

#[test]
fn nobody_waits_for_a_lock_for_good() {
    let machine = Machine::new();
    let steered = machine.steer("4-7");
    let folder = Folder::make(&machine.kernel.journals).unwrap();
    let locked = folder.lock().unwrap();
    assert!(words(&steered.put_back()).contains("holds the lock of"));
    drop(locked);
    assert_eq!(machine.recover().put_back, [40, 42]);
    assert_eq!(machine.now(), ["0-3", "4-7", "2"]);
}

#[test]
fn irqbalance_is_named() {
    let machine = Machine::new();
    machine.write("proc/17/comm", "irqbalance\n");
    let steered = machine.steer("4-7");
    assert!(words(steered.warnings()).contains(" --banirq=40"), "{steered:?}");
    drop(steered);
    // Nothing is moved, so nothing is moved back.
    ALL.into_iter().for_each(|interrupt| machine.put(interrupt, "0"));
    assert_eq!(words(machine.steer("0-1").warnings()), "");
}

/// SEC-7: files of the owner need no capability. A daemon has given them up by the time that it ends.
#[test]
fn putting_back_needs_no_capabilities() {
    let machine = Machine::new();
    let steered = machine.steer("4-7");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            caps::clear(None, caps::CapSet::Effective).unwrap();
            assert_eq!(words(&steered.put_back()), "");
        });
    });
    assert_eq!((machine.now(), machine.journals().len()), (["0-3", "4-7", "2"].map(String::from), 0));
}

/// Many at once, some of which die: when all have gone and somebody has looked, everything is where it was.
#[test]
fn a_crowd_leaves_everything_as_it_was() {
    let machine = Machine::new();
    std::thread::scope(|scope| {
        for worker in 0..4_u32 {
            let machine = &machine;
            scope.spawn(move || {
                for turn in 0..25 {
                    let steered = machine.steer(["4-7", "4-5", "0-7", "0-3"][(worker + turn) as usize % 4]);
                    assert!(!words(steered.warnings()).contains("lock"), "{steered:?}");
                    if (worker + turn) % 3 == 0 { kill(steered) } else { assert!(steered.put_back().is_empty()) }
                }
            });
        }
    });
    assert_eq!(machine.recover().warnings.len(), 0);
    assert_eq!((machine.now(), machine.journals().len()), (["0-3", "4-7", "2"].map(String::from), 0));
}

#[test]
fn journals_lie_where_the_service_manager_says() {
    let folder = |given: Option<&str>| folder_in(given.map(OsStr::new));
    assert_eq!(folder(None), Path::new("/run/wirehaul/interrupts"));
    assert_eq!(folder(Some("/run/a:/run/b")), Path::new("/run/a/interrupts"));
    for useless in ["", "a", ":/run/b"] {
        assert_eq!(folder(Some(useless)), Path::new("/run/wirehaul/interrupts"));
    }
}
