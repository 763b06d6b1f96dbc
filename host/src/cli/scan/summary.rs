//! The last word about a scan: for scripts an object, for people a few lines.

use std::io::{self, Write};

use serde_json::json;

use crate::cli::exit::Exit;

/// Says why nothing was sent; where a script listens, with a summary all the same.
pub(super) fn not_started(message: &str, exit: Exit, is_told: bool) -> Exit {
    super::remark(message);
    if is_told {
        let summary = json!({
            "type": "summary",
            "command": "scan",
            "targets": 0,
            "sent": 0,
            "received": 0,
            "duplicates": 0,
            "dropped": 0,
            "pps": 0,
            "rate_error_pct": null,
            "error": message,
            "exit_code": exit.code(),
        });
        // There is nowhere left to say it if this fails.
        let _ = writeln!(io::stdout(), "{summary}");
    }
    exit
}
