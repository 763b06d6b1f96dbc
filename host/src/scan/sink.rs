//! Where rows go: standard output, or files that have their names only when they are complete (SCAN-8).
//!
//! Rows wait in one buffer, so that a row costs no call. A file is `NAME.part` until it is complete, on the disk, and renamed; a scan
//! that goes on cuts off a torn last line and appends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::format::{Format, Writer};
use super::parquet::{self, NotConverted};
use super::rotate::{Limit, Names, with_suffix};
use super::row::Row;

/// From so many bytes on the buffer is written.
const FLUSH_BYTES: usize = 256 << 10;
/// What is read at a time to find the end of the last whole line.
const BLOCK_BYTES: usize = 64 << 10;

/// Why rows could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// There is a complete file of that name.
    #[error("{} exists already; move it away, or give another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is what a scan left behind that did not come to its end.
    #[error(
        "{} is what a scan that was interrupted has found so far: go on with it (--resume), move it away, or give another name",
        path.display()
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output takes no more.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    /// What was found is kept as JSON lines, but no Parquet file came of it.
    #[error(transparent)]
    NotConverted(#[from] NotConverted),
}

impl SinkError {
    /// Whether who reads standard output left: that is theirs to do.
    #[must_use]
    pub fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the disk, or the user's share of it, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let is = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            )
        };
        match self {
            Self::Io { source, .. } | Self::Stdout(source) => is(source),
            Self::NotConverted(error) => error.io().is_some_and(is),
            Self::Exists { .. } | Self::Unfinished { .. } => false,
        }
    }
}

/// Where rows go, and how.
#[derive(Clone, Debug)]
pub struct Output {
    /// The file; `None` for standard output.
    pub path: Option<PathBuf>,
    /// The format.
    pub format: Format,
    /// When another file is begun.
    pub rotate: Option<Limit>,
}

/// Takes rows.
#[derive(Debug)]
pub struct Sink {
    writer: Writer,
    place: Place,
    buffer: Vec<u8>,
    rows: u64,
}

#[derive(Debug)]
enum Place {
    Stdout,
    Files(Box<Files>),
}

#[derive(Debug)]
struct Files {
    names: Names,
    limit: Option<Limit>,
    format: Format,
    number: u32,
    file: File,
    bytes: u64,
    rows: u64,
    is_synced: bool,
    complete: Vec<PathBuf>,
}

impl Sink {
    /// A sink of a scan that begins. Files are made at once, so that a place where none can be is known before a packet is sent.
    ///
    /// # Errors
    /// [`SinkError::Exists`], [`SinkError::Unfinished`], and what the system says.
    pub fn create(output: &Output, writer: Writer) -> Result<Self, SinkError> {
        let Some(path) = &output.path else { return Ok(Self::to_stdout(writer)) };
        let names = Names::new(path.clone(), output.rotate.is_some());
        let (complete, part) = (names.complete(1), names.part(1));
        if complete.exists() {
            return Err(SinkError::Exists { path: complete });
        }
        let file =
            OpenOptions::new().append(true).create_new(true).open(&part).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => SinkError::Unfinished { path: part.clone() },
                _ => SinkError::Io { action: "make", path: part.clone(), source },
            })?;
        Ok(Self::to_files(Files::new(output, names, 1, file), writer))
    }

    /// A sink of a scan that goes on: behind the last whole line of what there is. Without anything, as for one that begins.
    ///
    /// # Errors
    /// What the system says.
    pub fn resume(output: &Output, writer: Writer) -> Result<Self, SinkError> {
        let Some(path) = &output.path else { return Ok(Self::to_stdout(writer)) };
        let names = Names::new(path.clone(), output.rotate.is_some());
        let mut number = 1;
        while output.rotate.is_some() && names.complete(number).exists() {
            number += 1;
        }
        let part = names.part(number);
        if output.rotate.is_none() && names.complete(1).exists() && !part.exists() {
            return Err(SinkError::Exists { path: names.complete(1) });
        }
        let failed = |source| SinkError::Io { action: "go on with", path: part.clone(), source };
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).truncate(false).open(&part).map_err(failed)?;
        let (bytes, lines) = cut_torn_line(&mut file).map_err(failed)?;
        let mut files = Files::new(output, names, number, file);
        files.bytes = bytes;
        files.rows = lines.saturating_sub(writer.header_lines());
        files.complete = (1..number).map(|number| files.names.complete(number)).collect();
        Ok(Self::to_files(files, writer))
    }

    fn to_stdout(writer: Writer) -> Self {
        let mut buffer = Vec::with_capacity(FLUSH_BYTES * 2);
        writer.push_header(&mut buffer);
        Self { writer, place: Place::Stdout, buffer, rows: 0 }
    }

    fn to_files(files: Files, writer: Writer) -> Self {
        let mut buffer = Vec::with_capacity(FLUSH_BYTES * 2);
        if files.bytes == 0 {
            writer.push_header(&mut buffer);
        }
        Self { writer, place: Place::Files(Box::new(files)), buffer, rows: 0 }
    }

    /// Takes a row.
    ///
    /// # Errors
    /// A write that was due failed; rows that were not written are lost.
    #[inline]
    pub fn write(&mut self, row: &Row<'_>) -> Result<(), SinkError> {
        let before = self.buffer.len();
        self.writer.push(row, &mut self.buffer);
        if self.buffer.len() == before {
            return Ok(());
        }
        self.rows += 1;
        if let Place::Files(files) = &mut self.place {
            files.rows += 1;
            if files.is_at_limit(self.buffer.len()) {
                return self.begin_next();
            }
        }
        if self.buffer.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Rows taken in this run.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes what waits, so that who reads sees it.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush(&mut self) -> Result<(), SinkError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = match &mut self.place {
            Place::Stdout => {
                // Whole lines only, so that nothing else comes between.
                let mut out = io::stdout().lock();
                out.write_all(&self.buffer).and_then(|()| out.flush()).map_err(SinkError::Stdout)
            }
            Place::Files(files) => files.write(&self.buffer),
        };
        // Once a part of it may have been written, it is not written again.
        self.buffer.clear();
        written
    }

    /// Sees to it that every row so far is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> Result<(), SinkError> {
        self.flush()?;
        match &mut self.place {
            Place::Stdout => Ok(()),
            Place::Files(files) => files.sync(),
        }
    }

    /// Completes the last file and gives it its name. Returns the names of all files that are complete.
    ///
    /// # Errors
    /// What the system says; the file stays as it is, and can be gone on with.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, SinkError> {
        self.flush()?;
        match self.place {
            Place::Stdout => Ok(Vec::new()),
            Place::Files(mut files) => {
                files.complete()?;
                Ok(files.complete)
            }
        }
    }

    /// Leaves the last file as it is, on the disk, to be gone on with.
    ///
    /// # Errors
    /// What the system says.
    pub fn leave(mut self) -> Result<Vec<PathBuf>, SinkError> {
        self.sync()?;
        Ok(match self.place {
            Place::Stdout => Vec::new(),
            Place::Files(files) => files.complete,
        })
    }

    /// Takes away the file of a scan that did not begin after all. What an earlier run left stays.
    pub fn discard(self) {
        if let Place::Files(files) = self.place
            && files.bytes == 0
            && files.number == 1
        {
            // An empty file that stays does no harm.
            let _ = fs::remove_file(files.names.part(1));
        }
    }

    fn begin_next(&mut self) -> Result<(), SinkError> {
        self.flush()?;
        if let Place::Files(files) = &mut self.place {
            files.complete()?;
            files.open_next()?;
        }
        self.writer.push_header(&mut self.buffer);
        Ok(())
    }
}

impl Files {
    fn new(output: &Output, names: Names, number: u32, file: File) -> Self {
        Self {
            names,
            limit: output.rotate,
            format: output.format,
            number,
            file,
            bytes: 0,
            rows: 0,
            is_synced: true,
            complete: Vec::new(),
        }
    }

    fn is_at_limit(&self, waiting: usize) -> bool {
        match self.limit {
            None => false,
            Some(Limit::Rows(most)) => self.rows >= most,
            Some(Limit::Bytes(most)) => self.bytes + waiting as u64 >= most,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.is_synced = false;
        let written = self.file.write_all(bytes);
        written.map_err(|source| SinkError::Io { action: "write", path: self.names.part(self.number), source })?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        if self.is_synced {
            return Ok(());
        }
        let synced = self.file.sync_data();
        synced.map_err(|source| SinkError::Io { action: "sync", path: self.names.part(self.number), source })?;
        self.is_synced = true;
        Ok(())
    }

    fn complete(&mut self) -> Result<(), SinkError> {
        self.sync()?;
        let (part, complete) = (self.names.part(self.number), self.names.complete(self.number));
        if self.format == Format::Parquet {
            let converted = with_suffix(&complete, ".converting");
            parquet::convert(&part, &converted)?;
            rename(&converted, &complete)?;
            fs::remove_file(&part).map_err(|source| SinkError::Io { action: "remove", path: part, source })?;
        } else {
            rename(&part, &complete)?;
        }
        self.complete.push(complete);
        Ok(())
    }

    fn open_next(&mut self) -> Result<(), SinkError> {
        self.number += 1;
        let (complete, part) = (self.names.complete(self.number), self.names.part(self.number));
        if complete.exists() {
            return Err(SinkError::Exists { path: complete });
        }
        let file = OpenOptions::new().append(true).create_new(true).open(&part);
        self.file = file.map_err(|source| SinkError::Io { action: "make", path: part, source })?;
        (self.bytes, self.rows, self.is_synced) = (0, 0, true);
        Ok(())
    }
}

/// Gives a file its name, and sees to it that it keeps it if the power goes.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), SinkError> {
    let failed = |source| SinkError::Io { action: "give its name to", path: to.to_owned(), source };
    fs::rename(from, to).map_err(failed)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Systems on which folders cannot be opened keep their names in other ways.
    match File::open(folder) {
        Ok(folder) => folder.sync_all().or_else(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Ok(()),
            _ => Err(failed(error)),
        }),
        Err(_) => Ok(()),
    }
}

/// Cuts off what is behind the last end of a line. Returns how many bytes and lines are left.
fn cut_torn_line(file: &mut File) -> io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let (mut at, mut end, mut lines) = (0, 0, 0);
    let mut block = vec![0; BLOCK_BYTES];
    while at < length {
        let count = file.read(&mut block)?;
        if count == 0 {
            break;
        }
        for (place, byte) in block.iter().take(count).enumerate() {
            if *byte == b'\n' {
                end = at + place as u64 + 1;
                lines += 1;
            }
        }
        at += count as u64;
    }
    if end < length {
        file.set_len(end)?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok((end, lines))
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
