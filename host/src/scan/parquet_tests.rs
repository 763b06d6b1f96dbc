use std::fs;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use tempfile::TempDir;

use super::*;

/// A line of JSON as a row is kept.
fn line(number: usize) -> String {
    let is_edge = number.is_multiple_of(2);
    let value = serde_json::json!({
        "scan_id": "s\"é", "shard": 7, "ts_ns": 1_700_000_000_000_000_000_u64 + number as u64,
        "saddr": format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255), "sport": 65_535,
        "daddr": "192.0.2.1", "dport": 61_440, "proto": "tcp",
        "class": if is_edge { "open" } else { "unreachable" }, "success": is_edge, "repeat": !is_edge, "ttl": 255,
        "rtt_us": is_edge.then_some(number), "responder": "192.0.2.254", "icmp_type": (!is_edge).then_some(3),
        "icmp_code": (!is_edge).then_some(13), "queue": 3, "node": null,
        "cdn_provider": is_edge.then_some("cloudflare"), "cdn_evidence": is_edge.then_some("asn:AS13335"),
        "list_version": "v",
    });
    format!("{value}\n")
}

fn converted(temp: &TempDir, lines: &str) -> Result<u64, NotConverted> {
    let rows = temp.path().join("rows");
    fs::write(&rows, lines).unwrap();
    convert(&rows, &temp.path().join("out"))
}

/// SCAN-8: every column of every row, over more than one group of rows.
#[test]
fn every_value_is_read_again() {
    let temp = TempDir::new().unwrap();
    let count = GROUP_ROWS + 10;
    let lines: String = (0..count).map(line).collect();
    assert_eq!(converted(&temp, &lines).unwrap(), count as u64);
    let reader = SerializedFileReader::new(File::open(temp.path().join("out")).unwrap()).unwrap();
    assert_eq!(reader.num_row_groups(), 2);
    let mut rows = 0;
    for (number, row) in reader.get_row_iter(None).unwrap().enumerate() {
        let row = row.unwrap();
        let names: Vec<_> = row.get_column_iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, COLUMNS);
        let expected: serde_json::Value = serde_json::from_str(&line(number)).unwrap();
        for (name, field) in row.get_column_iter() {
            let found = match field {
                Field::Null => serde_json::Value::Null,
                Field::Bool(value) => (*value).into(),
                Field::Int(value) => (*value).into(),
                Field::Long(value) => (*value).into(),
                Field::Str(value) => value.clone().into(),
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(found, expected[name], "row {number}, {name}");
        }
        rows += 1;
    }
    assert_eq!(rows, count);
}

#[test]
fn no_rows_are_a_file_all_the_same() {
    let temp = TempDir::new().unwrap();
    assert_eq!(converted(&temp, "").unwrap(), 0);
    let reader = SerializedFileReader::new(File::open(temp.path().join("out")).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    assert_eq!(reader.metadata().file_metadata().schema_descr().num_columns(), COLUMNS.len());
}

#[test]
fn a_line_that_is_no_row_is_named() {
    let temp = TempDir::new().unwrap();
    for bad in ["{}\n", "x\n", "\n"] {
        let error = converted(&temp, &format!("{}{bad}", line(1))).unwrap_err();
        assert!(matches!(error, NotConverted::Row { line: 2, .. }), "{error}");
    }
    assert!(matches!(convert(&temp.path().join("none"), &temp.path().join("out")), Err(NotConverted::Read { .. })));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_from_other_troubles() {
    let temp = TempDir::new().unwrap();
    let rows = temp.path().join("rows");
    fs::write(&rows, (0..1000).map(line).collect::<String>()).unwrap();
    let error = convert(&rows, Path::new("/dev/full")).unwrap_err();
    assert!(error.io().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull), "{error:?}");
    assert!(error.to_string().contains("as JSON lines"), "{error}");
}
