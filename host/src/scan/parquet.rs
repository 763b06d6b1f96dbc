//! Parquet files, made of rows that were kept as JSON lines: a file of columns can be written only when all rows of a group are known,
//! and a scan that was interrupted goes on with lines. Memory is that of one group, however many rows there are.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use serde::Deserialize;

use super::row::COLUMNS;

/// Whether this build has it.
pub const IS_BUILT_IN: bool = true;

/// Rows of a group: some 30 MB while they are gathered.
const GROUP_ROWS: usize = 1 << 16;

/// The columns of [`COLUMNS`], with their types.
const SCHEMA: &str = "message reply {
    REQUIRED BYTE_ARRAY scan_id (STRING);
    REQUIRED INT32 shard;
    REQUIRED INT64 ts_ns;
    REQUIRED BYTE_ARRAY saddr (STRING);
    REQUIRED INT32 sport;
    REQUIRED BYTE_ARRAY daddr (STRING);
    REQUIRED INT32 dport;
    REQUIRED BYTE_ARRAY proto (STRING);
    REQUIRED BYTE_ARRAY class (STRING);
    REQUIRED BOOLEAN success;
    REQUIRED BOOLEAN repeat;
    REQUIRED INT32 ttl;
    OPTIONAL INT64 rtt_us;
    REQUIRED BYTE_ARRAY responder (STRING);
    OPTIONAL INT32 icmp_type;
    OPTIONAL INT32 icmp_code;
    REQUIRED INT32 queue;
    OPTIONAL INT32 node;
    OPTIONAL BYTE_ARRAY cdn_provider (STRING);
    OPTIONAL BYTE_ARRAY cdn_evidence (STRING);
    REQUIRED BYTE_ARRAY list_version (STRING);
}";

/// Why no Parquet file came of the rows.
#[derive(Debug, thiserror::Error)]
pub enum NotConverted {
    /// The rows cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One of them is none.
    #[error("line {line} of {} is no row: {why}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: serde_json::Error,
    },
    /// The new file cannot be written.
    #[error("cannot write {}: {source}; the rows are in {} as JSON lines", path.display(), rows.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Where the rows are.
        rows: PathBuf,
        /// What went wrong.
        source: ParquetError,
    },
}

impl NotConverted {
    /// What the system said, where it is the system that refused.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Write { source: ParquetError::External(source), .. } => source.downcast_ref(),
            Self::Row { .. } | Self::Write { .. } => None,
        }
    }
}

/// Makes a Parquet file of JSON lines. It is whole and on the disk when this returns. Returns how many rows it has.
///
/// # Errors
/// [`NotConverted`]; the lines are as they were.
pub fn convert(rows: &Path, to: &Path) -> Result<u64, NotConverted> {
    let unwritten = |source| NotConverted::Write { path: to.to_owned(), rows: rows.to_owned(), source };
    let unread = |source| NotConverted::Read { path: rows.to_owned(), source };
    let mut lines = BufReader::new(File::open(rows).map_err(unread)?);
    let mut file = Writing::create(to).map_err(unwritten)?;
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(unread)? == 0 {
            break;
        }
        number += 1;
        let row: Spooled<'_> = serde_json::from_slice(&line).map_err(|why| NotConverted::Row {
            path: rows.to_owned(),
            line: number,
            why,
        })?;
        file.take(&row).map_err(unwritten)?;
    }
    file.finish().map_err(unwritten)?;
    Ok(number)
}

/// A row as it was kept.
#[derive(Deserialize)]
struct Spooled<'l> {
    #[serde(borrow)]
    scan_id: Cow<'l, str>,
    shard: u32,
    ts_ns: u64,
    saddr: &'l str,
    sport: u16,
    daddr: &'l str,
    dport: u16,
    proto: &'l str,
    class: &'l str,
    success: bool,
    repeat: bool,
    ttl: u8,
    rtt_us: Option<u64>,
    responder: &'l str,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
    queue: u32,
    node: Option<u32>,
    cdn_provider: Option<&'l str>,
    #[serde(borrow)]
    cdn_evidence: Option<Cow<'l, str>>,
    #[serde(borrow)]
    list_version: Cow<'l, str>,
}

/// What stands in a column of one row.
#[derive(Clone, Copy)]
enum Value<'v> {
    Null,
    Text(&'v str),
    Number(u64),
    Bool(bool),
}

impl<'v> Value<'v> {
    fn text(text: Option<&'v str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    fn number(number: Option<impl Into<u64>>) -> Self {
        number.map_or(Self::Null, |number| Self::Number(number.into()))
    }
}

impl Spooled<'_> {
    /// In the order of [`COLUMNS`].
    fn values(&self) -> [Value<'_>; COLUMNS.len()] {
        [
            Value::Text(&self.scan_id),
            Value::Number(self.shard.into()),
            Value::Number(self.ts_ns),
            Value::Text(self.saddr),
            Value::Number(self.sport.into()),
            Value::Text(self.daddr),
            Value::Number(self.dport.into()),
            Value::Text(self.proto),
            Value::Text(self.class),
            Value::Bool(self.success),
            Value::Bool(self.repeat),
            Value::Number(self.ttl.into()),
            Value::number(self.rtt_us),
            Value::Text(self.responder),
            Value::number(self.icmp_type),
            Value::number(self.icmp_code),
            Value::Number(self.queue.into()),
            Value::number(self.node),
            Value::text(self.cdn_provider),
            Value::text(self.cdn_evidence.as_deref()),
            Value::Text(&self.list_version),
        ]
    }
}

/// A file that is being written: the rows of a group wait in columns.
struct Writing {
    file: SerializedFileWriter<File>,
    columns: Vec<Column>,
    rows: usize,
}

impl Writing {
    fn create(to: &Path) -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let columns = schema.get_fields().iter().map(|field| Column::new(field.is_optional())).collect();
        let file = SerializedFileWriter::new(File::create(to)?, schema, Arc::new(properties))?;
        Ok(Self { file, columns, rows: 0 })
    }

    fn take(&mut self, row: &Spooled<'_>) -> Result<(), ParquetError> {
        for (column, value) in self.columns.iter_mut().zip(row.values()) {
            column.take(value);
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for column in &mut self.columns {
            if let Some(mut writer) = group.next_column()? {
                column.write(&mut writer)?;
                writer.close()?;
            }
            column.clear();
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<(), ParquetError> {
        if self.rows > 0 {
            self.end_group()?;
        }
        let file = self.file.into_inner()?;
        file.sync_data()?;
        Ok(())
    }
}

/// The values of one column: of these lists all but one stay empty.
#[derive(Default)]
struct Column {
    is_optional: bool,
    texts: Vec<ByteArray>,
    numbers: Vec<u64>,
    bools: Vec<bool>,
    /// For each row, whether it has a value.
    has_value: Vec<i16>,
}

impl Column {
    fn new(is_optional: bool) -> Self {
        Self { is_optional, ..Self::default() }
    }

    fn take(&mut self, value: Value<'_>) {
        self.has_value.push(i16::from(!matches!(value, Value::Null)));
        match value {
            Value::Null => {}
            Value::Text(text) => self.take_text(text),
            Value::Number(number) => self.numbers.push(number),
            Value::Bool(value) => self.bools.push(value),
        }
    }

    /// What is the same as in the last row shares its memory.
    fn take_text(&mut self, text: &str) {
        let same = self.texts.last().filter(|last| last.data() == text.as_bytes()).cloned();
        self.texts.push(same.unwrap_or_else(|| text.into()));
    }

    fn clear(&mut self) {
        self.texts.clear();
        self.numbers.clear();
        self.bools.clear();
        self.has_value.clear();
    }

    fn write(&self, to: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        use parquet::column::writer::ColumnWriter;
        let levels = self.is_optional.then_some(self.has_value.as_slice());
        match to.untyped() {
            ColumnWriter::BoolColumnWriter(_) => to.typed::<BoolType>().write_batch(&self.bools, levels, None),
            ColumnWriter::Int32ColumnWriter(_) => {
                // Ports, queues, nodes and shards: those beyond 31 bits are none.
                let numbers: Vec<i32> =
                    self.numbers.iter().map(|number| i32::try_from(*number).unwrap_or(i32::MAX)).collect();
                to.typed::<Int32Type>().write_batch(&numbers, levels, None)
            }
            ColumnWriter::Int64ColumnWriter(_) => {
                let numbers: Vec<i64> =
                    self.numbers.iter().map(|number| i64::try_from(*number).unwrap_or(i64::MAX)).collect();
                to.typed::<Int64Type>().write_batch(&numbers, levels, None)
            }
            _ => to.typed::<ByteArrayType>().write_batch(&self.texts, levels, None),
        }?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "parquet_tests.rs"]
mod tests;
