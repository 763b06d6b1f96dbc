//! Power cuts, played back from the log of every write to a disk (XFER-4, XFER-5): what runs in the virtual machine of
//! `./x vm-test power-cut`, linked statically.
//!
//! ```text
//! replay cuts LOG BASE VERSION...            mounts the disk as it was at many moments, and looks at each
//! replay image LOG BASE PERCENT SEED FILE    writes the disk as it was at one moment; prints how many marks came before
//! replay same DIR DIR                        both trees are the same: names, bytes, modes, times; nothing is staged
//! ```
//! A log is that of QEMU's `blklogwrites`, which is the kernel's `dm-log-writes` (`drivers/md/dm-log-writes.c`). BASE is the
//! disk before the first write. It has one more MiB than the file system on it; a write there is a mark: the receiver had
//! said before that the next VERSION, a directory, is there.
//!
//! A cut loses what came after it. Of the writes since the last flush the disk may have kept any, in any order, and of each
//! any blocks of 4 KiB: these are drawn at random. Each flush is also cut right behind.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A disk keeps or loses so many bytes at once.
const ATOM_BYTES: usize = 4096;
/// Of the disk, behind the file system.
const MARKS_BYTES: u64 = 1 << 20;
/// Cuts that are looked at, about.
const CUTS: usize = 300;
/// Cuts of a disk that ignores flushes.
const LYING_CUTS: usize = 40;
/// Where the disk is put together, and where it is mounted.
const IMAGE: &str = "/tmp/replay.image";
const MOUNT_POINT: &str = "/tmp/replay.mount";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["cuts", log, base, ref versions @ ..] => cuts(log, base, versions),
        ["image", log, base, percent, seed, file] => image(log, base, percent, seed, file),
        ["same", one, other] => same(Path::new(one), Path::new(other)),
        _ => Err("see the head of replay.rs".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

// --- what is asked for ---

fn cuts(log: &str, base: &str, versions: &[&str]) -> Result<()> {
    let (log, base) = (Log::read(log)?, fs::read(base)?);
    let versions: Vec<Tree> = versions.iter().map(|dir| look(Path::new(dir))).collect::<Result<_>>()?;
    let flushes = log.0.iter().filter(|entry| entry.is_flush).count();
    let marks = log.0.iter().filter(|entry| entry.is_mark(&base)).count();
    println!("{} entries, {flushes} flushes, {marks} marks", log.0.len());
    if marks != versions.len() {
        return Err(format!("{} versions", versions.len()).into());
    }
    fs::create_dir_all(MOUNT_POINT)?;

    let mut tally = Tally::default();
    let step = (log.0.len() / (CUTS / 2)).max(1);
    let mut player = Player::new(&log, &base, false);
    for at in 1..=log.0.len() {
        player.play_to(at);
        // As it is; and unless all was flushed, with some of it lost.
        let seeds = if player.pending.is_empty() { [0].as_slice() } else { &[0, at as u64] };
        let is_wanted = player.pending.is_empty() || at % step == 0 || at == log.0.len();
        for seed in seeds.iter().filter(|_| is_wanted) {
            let name = format!("cut {at}, seed {seed}");
            let found = mount_and(player.disk(*seed), look).map_err(|error| format!("{name}: {error}"))??;
            let files = check(found, &versions, player.marks).map_err(|fault| format!("{name}: {fault}"))?;
            tally.add(player.marks, files);
        }
    }
    println!("{tally}");
    alarm(&log, &base, &versions)
}

/// A disk that says that it flushed and did not must make the check fail: else it would find nothing in the rest either.
/// Such a disk breaks file systems too; these cuts say nothing of the check.
fn alarm(log: &Log, base: &[u8], versions: &[Tree]) -> Result<()> {
    let mut player = Player::new(log, base, true);
    let (mut unusable, mut caught) = (0, Vec::new());
    for number in 1..=LYING_CUTS {
        player.play_to(number * log.0.len() / LYING_CUTS);
        match mount_and(player.disk(number as u64), look) {
            Ok(Ok(found)) => caught.extend(check(found, versions, player.marks).err()),
            Ok(Err(_)) | Err(_) => unusable += 1,
        }
    }
    let count = caught.len();
    println!("a disk that ignores flushes: {LYING_CUTS} cuts, {count} caught, {unusable} without a usable file system");
    match caught.first() {
        Some(fault) => println!("the first of them: {fault}"),
        None => return Err("a disk that ignores flushes goes unnoticed: the check is blind".into()),
    }
    Ok(())
}

fn image(log: &str, base: &str, percent: &str, seed: &str, file: &str) -> Result<()> {
    let (log, base) = (Log::read(log)?, fs::read(base)?);
    let mut player = Player::new(&log, &base, false);
    player.play_to(log.0.len() * percent.parse::<usize>()? / 100);
    fs::write(file, player.disk(seed.parse()?))?;
    println!("{}", player.marks);
    Ok(())
}

fn same(one: &Path, other: &Path) -> Result<()> {
    let (one, other) = (look(one)?, look(other)?);
    match one.keys().chain(other.keys()).find(|name| one.get(*name) != other.get(*name)) {
        Some(name) => Err(format!("{}: {:?} is not {:?}", name.display(), one.get(name), other.get(name)).into()),
        None => Ok(()),
    }
}

// --- the log ---

/// What was done to the disk, in order.
struct Log(Vec<Entry>);

struct Entry {
    offset: u64,
    bytes: Vec<u8>,
    is_flush: bool,
    /// Kept by itself, as if it was flushed (FUA).
    is_forced: bool,
}

impl Entry {
    fn is_mark(&self, base: &[u8]) -> bool {
        !self.bytes.is_empty() && self.offset >= base.len() as u64 - MARKS_BYTES
    }
}

impl Log {
    const MAGIC: u64 = 0x006a_7366_7773_6872;
    const FLUSH: u64 = 1;
    const FUA: u64 = 2;
    const DISCARD: u64 = 4;

    /// The number of entries in the first sector is that at the last flush; behind the last one there are zeros.
    fn read(path: &str) -> Result<Self> {
        let mut file = File::open(path)?;
        let mut head = [0; 512];
        file.read_exact(&mut head)?;
        let sector_bytes = u64::from(u32::from_le_bytes(head[24..28].try_into()?));
        if word(&head, 0)? != Self::MAGIC || word(&head, 1)? != 1 || sector_bytes != head.len() as u64 {
            return Err(format!("{path} is no log of writes with sectors of 512 bytes").into());
        }
        let mut entries = Vec::new();
        loop {
            file.read_exact(&mut head)?;
            let (sector, sectors, flags) = (word(&head, 0)?, word(&head, 1)?, word(&head, 2)?);
            if sectors == 0 && flags & Self::FLUSH == 0 {
                return Ok(Self(entries));
            }
            if flags & Self::DISCARD != 0 {
                return Err("the file system was mounted with `discard`".into());
            }
            let mut bytes = vec![0; (sectors * sector_bytes) as usize];
            file.read_exact(&mut bytes)?;
            let (is_flush, is_forced) = (flags & Self::FLUSH != 0, flags & Self::FUA != 0);
            entries.push(Entry { offset: sector * sector_bytes, bytes, is_flush, is_forced });
        }
    }
}

fn word(bytes: &[u8], place: usize) -> Result<u64> {
    let word = bytes.get(place * 8..place * 8 + 8).ok_or("too short")?;
    Ok(u64::from_le_bytes(word.try_into()?))
}

/// The disk while the log is played.
struct Player<'a> {
    log: &'a Log,
    /// With all that was flushed.
    flushed: Vec<u8>,
    /// Entries since, by place in the log.
    pending: Vec<usize>,
    played: usize,
    marks: usize,
    /// The last disk that was asked for. Memory that is used again is not asked of the kernel again.
    disk: Vec<u8>,
    ignores_flushes: bool,
}

impl<'a> Player<'a> {
    fn new(log: &'a Log, base: &[u8], ignores_flushes: bool) -> Self {
        let (flushed, pending, disk) = (base.to_vec(), Vec::new(), Vec::new());
        Self { log, flushed, pending, played: 0, marks: 0, disk, ignores_flushes }
    }

    /// Plays the log up to its entry `end`.
    fn play_to(&mut self, end: usize) {
        for place in self.played..end {
            let entry = &self.log.0[place];
            self.marks += usize::from(entry.is_mark(&self.flushed));
            if !entry.bytes.is_empty() {
                self.pending.push(place);
            }
            if entry.is_flush && !self.ignores_flushes {
                let Self { log, flushed, pending, .. } = self;
                pending.drain(..).for_each(|place| put(flushed, &log.0[place], || true));
            }
        }
        self.played = end;
    }

    /// The disk after a cut here: with all that was written where `seed` is 0, else with some of what was not flushed.
    fn disk(&mut self, seed: u64) -> &[u8] {
        let disk = &mut self.disk;
        disk.clone_from(&self.flushed);
        let mut random = Random(seed);
        // How much is lost is drawn as well: mostly all or mostly nothing are cases of their own.
        let kept = random.below(101);
        for entry in self.pending.iter().map(|place| &self.log.0[*place]) {
            let is_torn = random.below(4) == 0;
            let is_kept = random.below(100) < kept;
            put(disk, entry, || {
                seed == 0 || entry.is_forced || if is_torn { random.below(100) < kept } else { is_kept }
            });
        }
        disk
    }
}

/// Writes an entry, block by block, as far as `keeps` says so.
fn put(disk: &mut [u8], entry: &Entry, mut keeps: impl FnMut() -> bool) {
    let (mut at, mut rest) = (entry.offset as usize, &entry.bytes[..]);
    while !rest.is_empty() {
        let (block, behind) = rest.split_at(rest.len().min(ATOM_BYTES - at % ATOM_BYTES));
        if keeps()
            && let Some(place) = disk.get_mut(at..at + block.len())
        {
            place.copy_from_slice(block);
        }
        (at, rest) = (at + block.len(), behind);
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

// --- a cut ---

/// Mounts a disk, which plays the journal of the file system back, and calls `each` with where it is.
fn mount_and<T>(disk: &[u8], each: impl FnOnce(&Path) -> T) -> Result<T> {
    let image = File::options().write(true).create(true).truncate(false).open(IMAGE)?;
    image.write_all_at(disk, 0)?;
    drop(image);
    run("mount", &["-t", "ext4", "-o", "loop", IMAGE, MOUNT_POINT])?;
    let found = each(Path::new(MOUNT_POINT));
    run("umount", &[MOUNT_POINT])?;
    Ok(found)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {said}").into()) }
}

/// How many of the files were there.
#[derive(Default)]
struct Tally(BTreeMap<usize, Vec<usize>>);

impl Tally {
    fn add(&mut self, marks: usize, files: usize) {
        self.0.entry(marks).or_default().push(files);
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (marks, files) in &self.0 {
            let different: std::collections::BTreeSet<_> = files.iter().collect();
            let (least, most) = (files.iter().min().unwrap_or(&0), files.iter().max().unwrap_or(&0));
            let (cuts, different) = (files.len(), different.len());
            write!(
                f,
                "after {marks} marks {cuts} cuts: {least} to {most} files of the next version ({different} numbers); "
            )?;
        }
        write!(f, "each was whole")
    }
}

// --- trees ---

/// What is below a directory, by its path from there.
type Tree = BTreeMap<PathBuf, Item>;

#[derive(Clone, PartialEq, Eq)]
struct Item {
    content: Content,
    mode: u32,
    mtime: (i64, i64),
}

#[derive(Clone, PartialEq, Eq)]
enum Content {
    Dir,
    File(Vec<u8>),
    Link(PathBuf),
    Other,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match &self.content {
            Content::Dir => "a directory".to_owned(),
            Content::File(bytes) => format!("a file of {} bytes", bytes.len()),
            Content::Link(target) => format!("a link to {}", target.display()),
            Content::Other => "something else".to_owned(),
        };
        write!(f, "{what}, mode {:o}, time {:?}", self.mode, self.mtime)
    }
}

fn look(dir: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    look_into(dir, dir, &mut tree).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(tree)
}

fn look_into(root: &Path, dir: &Path, tree: &mut Tree) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.strip_prefix(root)?.to_owned();
        // Made by mkfs.
        if name == Path::new("lost+found") {
            continue;
        }
        let meta = fs::symlink_metadata(&path)?;
        let item = |content| Item { content, mode: meta.mode() & 0o7777, mtime: (meta.mtime(), meta.mtime_nsec()) };
        let item = if meta.is_symlink() {
            Item { mode: 0o777, mtime: (0, 0), content: Content::Link(fs::read_link(&path)?) }
        } else if meta.is_dir() {
            look_into(root, &path, tree)?;
            item(Content::Dir)
        } else if meta.is_file() {
            item(Content::File(fs::read(&path).map_err(|error| format!("{}: {error}", name.display()))?))
        } else {
            item(Content::Other)
        };
        tree.insert(name, item);
    }
    Ok(())
}

/// Whether what was found may be there: each file whole, with its mode and time, as of the version that the last mark
/// stands for or of the next. Returns how many there are of the next version, or of the last where there is no next.
fn check(mut found: Tree, versions: &[Tree], marks: usize) -> Result<usize, String> {
    // What the receiver keeps for itself.
    found.retain(|name, _| !name.starts_with(".wirehaul"));
    let before = marks.checked_sub(1).and_then(|last| versions.get(last));
    let next = versions.get(marks);
    let mut count = 0;
    for (name, item) in &found {
        let old = before.and_then(|tree| tree.get(name));
        let new = next.and_then(|tree| tree.get(name));
        // A directory has its own mode and time once all is done.
        let same = |version: Option<&Item>| {
            version.is_some_and(|version| match (&version.content, next) {
                (Content::Dir, Some(_)) => item.content == Content::Dir,
                _ => version == item,
            })
        };
        if !same(old) && !same(new) {
            return Err(format!("after {marks} marks {} is {item:?}, not {old:?} or {new:?}", name.display()));
        }
        count += usize::from(matches!(item.content, Content::File(_)) && (same(new) || next.is_none()));
    }
    // What the receiver said to be there is.
    match before.and_then(|tree| tree.keys().find(|name| !found.contains_key(*name))) {
        Some(name) => Err(format!("after {marks} marks {} is gone", name.display())),
        None => Ok(count),
    }
}
