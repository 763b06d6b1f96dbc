//! Notes to people: on stderr as text or as JSON lines, or on the bus while a screen is up, which stderr would spoil.

use std::io::Write;
use std::sync::{PoisonError, RwLock};

use serde_json::{Map, Value, json};

use crate::clock::unix_nanos;
use crate::events::{Bus, Event, Level};

/// How notes look on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `wirehaul: ` and the words.
    #[default]
    Text,
    /// A JSON object a line: `time` (seconds since 1970), `level`, and `message` or the fields of what happened.
    Json,
}

/// Where notes go.
#[derive(Debug)]
struct Route {
    format: Format,
    /// Instead of stderr.
    screen: Option<Bus>,
}

static ROUTE: RwLock<Route> = RwLock::new(Route { format: Format::Text, screen: None });

/// Says something to people. Where nobody listens there is nobody to tell.
pub fn note(level: Level, text: &str) {
    let route = ROUTE.read().unwrap_or_else(PoisonError::into_inner);
    match &route.screen {
        Some(bus) => bus.send(Event::Note { level, text: text.into() }),
        None => print(level, text, None, route.format),
    }
}

/// Says something that programs read as well: as JSON, `fields` take the place of the words.
pub fn record(level: Level, text: &str, fields: Map<String, Value>) {
    let route = ROUTE.read().unwrap_or_else(PoisonError::into_inner);
    match &route.screen {
        Some(bus) => bus.send(Event::Note { level, text: text.into() }),
        None => print(level, text, Some(fields), route.format),
    }
}

/// Chooses how notes look on stderr, for the whole process.
pub fn set_format(format: Format) {
    ROUTE.write().unwrap_or_else(PoisonError::into_inner).format = format;
}

/// Sends notes to whoever listens to `bus` instead of stderr, until what is returned is dropped.
#[must_use = "dropped at once it changes nothing"]
pub fn to_screen(bus: &Bus) -> OnScreen {
    ROUTE.write().unwrap_or_else(PoisonError::into_inner).screen = Some(bus.clone());
    OnScreen(())
}

/// Notes go to a bus as long as this lives.
#[derive(Debug)]
pub struct OnScreen(());

impl Drop for OnScreen {
    fn drop(&mut self) {
        ROUTE.write().unwrap_or_else(PoisonError::into_inner).screen = None;
    }
}

fn print(level: Level, text: &str, fields: Option<Map<String, Value>>, format: Format) {
    let mut stderr = std::io::stderr().lock();
    let _ = match format {
        Format::Text => writeln!(stderr, "wirehaul: {text}"),
        Format::Json => writeln!(stderr, "{}", to_json(level, text, fields, unix_nanos())),
    };
}

fn to_json(level: Level, text: &str, fields: Option<Map<String, Value>>, nanos: u64) -> Value {
    let mut line = fields.unwrap_or_else(|| Map::from_iter([("message".to_owned(), json!(text))]));
    line.insert("time".to_owned(), json!(nanos as f64 / 1e9));
    line.insert("level".to_owned(), json!(level.name()));
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Heard;

    #[test]
    fn while_a_screen_is_up_notes_go_to_the_bus() {
        let bus = Bus::new(4);
        let mut listener = bus.listen();
        {
            let _screen = to_screen(&bus);
            note(Level::Warning, "a disk is nearly full");
        }
        note(Level::Info, "this line on stderr belongs to a test");
        let Some(Heard::Event(Event::Note { level, text })) = listener.try_next() else { panic!("nothing was heard") };
        assert_eq!((level, &*text), (Level::Warning, "a disk is nearly full"));
        // Other tests may say something at the same time, but not what was said after the screen was gone.
        while let Some(heard) = listener.try_next() {
            let Heard::Event(Event::Note { text, .. }) = heard else { continue };
            assert!(!text.contains("belongs to a test"));
        }
    }

    #[test]
    fn as_json_a_note_is_one_object() {
        let value = to_json(Level::Error, "two\nlines", None, 1_500_000_000);
        assert_eq!(value, json!({ "level": "error", "message": "two\nlines", "time": 1.5 }));
        assert!(!value.to_string().contains('\n'), "a line of its own");
        let fields = Map::from_iter([("event".to_owned(), json!("begun"))]);
        let value = to_json(Level::Info, "it begins", Some(fields), 1_500_000_000);
        assert_eq!(value, json!({ "event": "begun", "level": "info", "time": 1.5 }));
    }
}
