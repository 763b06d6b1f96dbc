use std::net::IpAddr;

use tempfile::TempDir;
use wirehaul_core::scan::Probe;
use wirehaul_core::scan::reply::{Class, Reply};

use super::*;
use crate::scan::format::Format;
use crate::scan::row::Run;
use crate::scan::zgrab::Zgrab;

fn reply(number: u32) -> Reply {
    let target = IpAddr::V4((0x0a00_0000 + number).into());
    let local = "192.0.2.1:61440".parse().unwrap();
    let probe = Probe::tcp(80);
    Reply { target, probe, class: Class::Open, responder: target, local, ttl: 64, rtt: None, icmp: None, ack: None }
}

fn run() -> Run {
    Run { scan_id: "s".to_owned(), shard: 1, list_version: "v".to_owned() }
}

fn writer(format: Format) -> Writer {
    Writer::new(format, &run(), Zgrab::default(), false)
}

fn output(temp: &TempDir, name: &str, format: Format, rotate: Option<Limit>) -> Output {
    Output { path: Some(temp.path().join(name)), format, rotate }
}

fn put(sink: &mut Sink, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let reply = reply(number);
        sink.write(&Row { at_ns: 1, reply: &reply, is_repeat: false, queue: 0, node: None, edge: None }).unwrap();
    }
}

fn files(temp: &TempDir) -> Vec<String> {
    let names = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn read(temp: &TempDir, name: &str) -> String {
    fs::read_to_string(temp.path().join(name)).unwrap()
}

/// SCAN-8: written to a temporary name, then renamed.
#[test]
fn a_file_has_its_name_only_when_it_is_complete() {
    let temp = TempDir::new().unwrap();
    let output = output(&temp, "out.csv", Format::Csv, None);
    let mut sink = Sink::create(&output, writer(Format::Csv)).unwrap();
    put(&mut sink, 0..3);
    assert_eq!(files(&temp), ["out.csv.part"]);
    sink.sync().unwrap();
    assert_eq!(read(&temp, "out.csv.part").lines().count(), 4);
    assert_eq!(sink.rows(), 3);
    assert_eq!(sink.finish().unwrap(), [temp.path().join("out.csv")]);
    assert_eq!(files(&temp), ["out.csv"]);
}

#[test]
fn what_is_there_already_is_left_alone() {
    let temp = TempDir::new().unwrap();
    let output = output(&temp, "out.csv", Format::Csv, None);
    fs::write(temp.path().join("out.csv.part"), "mine").unwrap();
    let error = Sink::create(&output, writer(Format::Csv)).unwrap_err();
    assert!(matches!(error, SinkError::Unfinished { .. }) && error.to_string().contains("--resume"), "{error}");
    fs::write(temp.path().join("out.csv"), "mine").unwrap();
    assert!(matches!(Sink::create(&output, writer(Format::Csv)), Err(SinkError::Exists { .. })));
    assert_eq!((read(&temp, "out.csv"), read(&temp, "out.csv.part")), ("mine".into(), "mine".into()));
    let nowhere = Output { path: Some(temp.path().join("no/such/folder.csv")), ..output };
    let error = Sink::create(&nowhere, writer(Format::Csv)).unwrap_err().to_string();
    assert!(error.contains("no/such/folder.csv.part"), "{error}");
}

/// SCAN-5: wherever a line was torn, what goes on is whole, and nothing that was there before is lost.
#[test]
fn a_torn_line_is_cut_off_and_the_rest_is_gone_on_with() {
    let mut whole = Vec::new();
    writer(Format::Csv).push_header(&mut whole);
    for number in 0..2 {
        let reply = reply(number);
        let row = Row { at_ns: 1, reply: &reply, is_repeat: false, queue: 0, node: None, edge: None };
        writer(Format::Csv).push(&row, &mut whole);
    }
    for torn in 0..=whole.len() {
        let temp = TempDir::new().unwrap();
        let output = output(&temp, "out.csv", Format::Csv, None);
        fs::write(temp.path().join("out.csv.part"), &whole[..torn]).unwrap();
        let rows_left = whole[..torn].iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
        let mut sink = Sink::resume(&output, writer(Format::Csv)).unwrap();
        put(&mut sink, 7..8);
        sink.finish().unwrap();
        let text = read(&temp, "out.csv");
        let lines: Vec<_> = text.split_inclusive("\r\n").collect();
        assert_eq!(lines.len(), rows_left + 2, "torn at {torn}: {text}");
        assert!(lines[0].starts_with("scan_id,shard,"), "torn at {torn}");
        assert!(lines.last().unwrap().contains(",10.0.0.7,80,"), "torn at {torn}");
    }
}

#[test]
fn a_long_file_is_cut_where_its_last_line_ends() {
    let temp = TempDir::new().unwrap();
    let lines = "x\n".repeat(BLOCK_BYTES);
    fs::write(temp.path().join("out.jsonl.part"), format!("{lines}{}", "y".repeat(3 * BLOCK_BYTES))).unwrap();
    let output = output(&temp, "out.jsonl", Format::Json, None);
    Sink::resume(&output, writer(Format::Json)).unwrap().leave().unwrap();
    assert_eq!(read(&temp, "out.jsonl.part"), lines);
}

#[test]
fn rotated_files_hold_so_many_rows_each() {
    let temp = TempDir::new().unwrap();
    let output = output(&temp, "out.csv", Format::Csv, Some(Limit::Rows(10)));
    let mut sink = Sink::create(&output, writer(Format::Csv)).unwrap();
    put(&mut sink, 0..25);
    sink.leave().unwrap();
    assert_eq!(files(&temp), ["out-00001.csv", "out-00002.csv", "out-00003.csv.part"]);
    // Five rows are there, so that five more fit.
    let mut sink = Sink::resume(&output, writer(Format::Csv)).unwrap();
    put(&mut sink, 25..32);
    let complete = sink.finish().unwrap();
    assert_eq!(files(&temp), ["out-00001.csv", "out-00002.csv", "out-00003.csv", "out-00004.csv"]);
    assert_eq!(complete.len(), 4);
    let rows: Vec<_> = files(&temp).iter().map(|name| read(&temp, name).lines().count() - 1).collect();
    assert_eq!(rows, [10, 10, 10, 2]);
}

#[test]
fn rotation_by_size_cuts_no_row() {
    let temp = TempDir::new().unwrap();
    let output = output(&temp, "out.jsonl", Format::Json, Some(Limit::Bytes(2000)));
    let mut sink = Sink::create(&output, writer(Format::Json)).unwrap();
    put(&mut sink, 0..100);
    let complete = sink.finish().unwrap();
    assert!(complete.len() > 5);
    let mut rows = 0;
    for (place, path) in complete.iter().enumerate() {
        let text = fs::read_to_string(path).unwrap();
        assert!(place + 1 == complete.len() || (2000..2500).contains(&text.len()), "{} bytes", text.len());
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
            rows += 1;
        }
    }
    assert_eq!(rows, 100);
}

/// What bad input gets: a full disk is an error that says so, and what was written before is left.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_from_other_troubles() {
    let temp = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/dev/full", temp.path().join("out.jsonl.part")).unwrap();
    let mut sink = Sink::resume(&output(&temp, "out.jsonl", Format::Json, None), writer(Format::Json)).unwrap();
    put(&mut sink, 0..2);
    let error = sink.sync().unwrap_err();
    assert!(error.is_full() && !error.is_reader_gone(), "{error}");
    assert!(error.to_string().contains("out.jsonl.part"), "{error}");
}

/// SCAN-8: Parquet is made of the rows that were kept, and can be gone on with until then.
#[cfg(feature = "parquet")]
#[test]
fn parquet_is_made_when_the_rows_are_complete() {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    let temp = TempDir::new().unwrap();
    let output = output(&temp, "out.parquet", Format::Parquet, None);
    let mut sink = Sink::create(&output, writer(Format::Parquet)).unwrap();
    put(&mut sink, 0..5);
    sink.leave().unwrap();
    assert_eq!(files(&temp), ["out.parquet.part"]);
    let mut sink = Sink::resume(&output, writer(Format::Parquet)).unwrap();
    put(&mut sink, 5..9);
    sink.finish().unwrap();
    assert_eq!(files(&temp), ["out.parquet"]);
    let reader = SerializedFileReader::new(File::open(temp.path().join("out.parquet")).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 9);
}
