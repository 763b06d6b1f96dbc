//! A scenario and its faults as text (SIM-3).
//!
//! The first line is a JSON object with the seed and the options, `{"seed":7,"options":{...}}`; each further line is one
//! fault, as [`crate::faults`] says. Empty lines, and those that begin with `#`, are left out. What is not in the script
//! does not happen: nothing is drawn at random but keys and the lateness of timers, which come from the seed.

use serde::{Deserialize, Serialize};

use wirehaul_core::limits::{MAX_DATAGRAM_BYTES, MAX_STREAM_OFFSET, MIN_DATAGRAM_BYTES};

use super::{Scenario, options::Options};
use crate::{
    faults,
    lines::{LineError, plain},
    scenario::controller,
};

/// What stands in the first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    seed: u64,
    options: Options,
}

impl Scenario {
    /// The scenario as a script. What happens by chance is not in it: see [`Scenario::run_recorded`].
    #[must_use]
    pub fn to_script(&self) -> String {
        let head = Head { seed: self.seed, options: self.options.clone() };
        let head = serde_json::to_string(&head).unwrap_or_default();
        format!("{head}\n{}", faults::to_lines(&self.faults))
    }

    /// Reads a script.
    ///
    /// # Errors
    /// The line and what is wrong with it, for people.
    pub fn from_script(text: &str) -> Result<Self, LineError> {
        let wrong = |line| move |reason| LineError { line, reason };
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let no_head = || wrong(1)("a script begins with its seed and options".to_owned());
        let (number, head) = lines.next().ok_or_else(no_head)?;
        let head = serde_json::from_str(head).map_err(|error| wrong(number)(plain(&error.to_string())));
        let Head { seed, options } = head?;
        check(&options).map_err(wrong(number))?;
        let mut script = Self { seed, options, chances: None, faults: Vec::new() };
        for (number, line) in lines {
            let fault = faults::parse_line(line).map_err(wrong(number))?;
            if !script.options.has_place_of(&fault) {
                return Err(wrong(number)("there is no such link or host".to_owned()));
            }
            script.faults.push(fault);
        }
        Ok(script)
    }
}

impl Options {
    /// Whether the link or the host that the fault befalls is there.
    #[must_use]
    pub fn has_place_of(&self, fault: &faults::Fault) -> bool {
        let callers = self.callers.len();
        fault.link().is_none_or(|link| link < 2 + 2 * callers) && fault.host().is_none_or(|host| host <= callers)
    }
}

fn check(options: &Options) -> Result<(), String> {
    if !(1..=64).contains(&options.callers.len()) {
        return Err("there are 1 to 64 callers".to_owned());
    }
    let hosts = || options.callers.iter().map(|caller| &caller.host).chain([&options.listener]);
    for host in hosts() {
        if controller(&host.controller).is_none() {
            return Err(format!("there is no congestion controller {:?}", host.controller));
        }
        if host.send.len() > 16 || hosts().any(|other| other.streams < host.send.len()) {
            return Err("a host sends more streams than another, or the wire, has room for".to_owned());
        }
        if host.send.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes)) > 1 << 30 {
            return Err("a host sends 1 GiB at most".to_owned());
        }
        if ![host.datagram_bytes, host.max_datagram_bytes]
            .iter()
            .all(|bytes| (MIN_DATAGRAM_BYTES..=MAX_DATAGRAM_BYTES).contains(bytes))
        {
            return Err(format!(
                "datagram_bytes is {MIN_DATAGRAM_BYTES} to {MAX_DATAGRAM_BYTES}, and so is max_datagram_bytes"
            ));
        }
        if host.max_segments == 0 || host.initial_window_bytes == 0 {
            return Err("max_segments and initial_window_bytes are not zero".to_owned());
        }
        if host.initial_window_bytes > MAX_STREAM_OFFSET || host.max_window_bytes > MAX_STREAM_OFFSET {
            return Err(format!("a window is {MAX_STREAM_OFFSET} bytes at most"));
        }
        if !(64..=1 << 20).contains(&host.sent_records) || !(8..=1 << 16).contains(&host.packet_gaps) {
            return Err("a host has 64 to 2^20 records of sent packets, and room for 8 to 2^16 gaps".to_owned());
        }
        if !(2..=1 << 16).contains(&host.stream_gaps) || !(1..=16).contains(&host.streams) {
            return Err("a host has room for 1 to 16 streams, and for 2 to 2^16 gaps in each".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::options::HostOptions;

    #[test]
    fn a_scenario_is_a_text_and_back() {
        for seed in 0..50 {
            let drawn = Scenario { chances: None, ..Scenario::draw(seed) };
            assert_eq!(Scenario::from_script(&drawn.to_script()), Ok(drawn));
        }
    }

    #[test]
    fn a_script_that_makes_no_sense_is_refused_with_its_line() {
        let script = Scenario { chances: None, faults: Vec::new(), ..Scenario::draw(0) }.to_script();
        let refused = |text: &str| Scenario::from_script(text).unwrap_err().to_string();
        assert!(refused("").contains("line 1"));
        assert!(refused(&script.replace("\"seed\"", "\"sea\"")).contains("sea"));
        assert!(refused(&format!("# a comment\n{script}\nnonsense")).starts_with("line 4: "));
        let far = format!("{script}{{\"fault\":\"drop\",\"link\":99,\"datagram\":0}}");
        assert_eq!(refused(&far), "line 2: there is no such link or host");
        let controller = &Scenario::draw(0).options.listener.controller;
        assert!(refused(&script.replace(controller, "cubist")).contains("cubist"));
        let with = |change: &dyn Fn(&mut HostOptions)| {
            let mut scenario = Scenario { chances: None, faults: Vec::new(), ..Scenario::draw(0) };
            scenario.options.callers.iter_mut().for_each(|caller| caller.host.streams = 16);
            change(&mut scenario.options.listener);
            refused(&scenario.to_script())
        };
        assert!(with(&|host| (host.send, host.streams) = (vec![u64::MAX; 2], 16)).contains("1 GiB"));
        assert!(with(&|host| host.datagram_bytes = 0).contains("datagram_bytes is"));
        assert!(with(&|host| host.max_segments = 0).contains("not zero"));
        assert!(with(&|host| host.initial_window_bytes = u64::MAX).contains("a window is"));
    }
}
