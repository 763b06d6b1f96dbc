//! What providers publish about their addresses, each in a format of its own.

use serde_json::Value;
use wirehaul_core::cdn::prefix::{Prefix, PrefixError};
use wirehaul_core::cdn::{Date, rows};

use super::addresses::Addresses;
use crate::cdn::day::day_of_unix;

/// A list that a file says something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Which.
    pub list: ListName,
    /// What is on it now.
    pub addresses: Addresses,
    /// Whether it speaks of both families. Otherwise what it has nothing of stays as it was.
    pub is_all: bool,
    /// Who says so.
    pub publisher: Option<&'static str>,
    /// Of which day that is.
    pub date: Option<Date>,
}

/// The name of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListName {
    /// Edges of this provider.
    Edges(&'static str),
    /// What is none, by this name.
    NoEdges(&'static str),
    /// A list of this name, of either kind.
    Stem(String),
}

/// Why a file says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It begins like JSON, and is none.
    #[error("is not JSON, or not all of it ({0}); get it again")]
    Json(String),
    /// It is JSON that nobody publishes.
    #[error("is JSON of no known format; `wirehaul cdn update --help` lists those that are")]
    UnknownJson,
    /// Google has two files of this form.
    #[error("has no scopes; Google's list of front ends is cloud.json, not goog.json")]
    NoScopes,
    /// A prefix is none.
    #[error("{text:?} is no prefix: {error}")]
    Prefix {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        error: PrefixError,
    },
    /// There are none in it.
    #[error("has no prefixes of {0}: a list that lost its content would turn every edge into an origin")]
    Empty(String),
}

/// An error, and in which line it is, if it is in one.
pub type Located = (Option<usize>, FormatError);

/// Reads a file; `name` is its name without a folder.
///
/// # Errors
/// It is in no known format, or says nothing.
pub fn read(name: &str, text: &str) -> Result<Vec<Said>, Located> {
    let mut said = match text.trim_start_matches('\u{feff}').trim_start() {
        json if json.starts_with(['{', '[']) => {
            let value: Value = serde_json::from_str(json)
                .map_err(|error| (Some(error.line()), FormatError::Json(error.to_string())))?;
            read_json(text, &value)?
        }
        _ => vec![plain(name, text)?],
    };
    let of_name = Date::newest_in(name);
    // A file is about its first list; an excerpt may lack the others, which then stay as they were.
    if let Some(first) = said.first().filter(|said| said.addresses.is_empty()) {
        return Err((None, FormatError::Empty(first.list.to_string())));
    }
    said.retain(|said| !said.addresses.is_empty());
    for said in &mut said {
        said.date = said.date.or(of_name);
    }
    Ok(said)
}

impl std::fmt::Display for ListName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Edges(key) | Self::NoEdges(key) => key,
            Self::Stem(stem) => stem,
        })
    }
}

fn read_json(text: &str, value: &Value) -> Result<Vec<Said>, Located> {
    let has = |key: &str| value.get(key).is_some_and(Value::is_array);
    let json = Json { text, value };
    if has("prefixes") && has("ipv6_prefixes") {
        json.aws()
    } else if has("prefixes") {
        json.google()
    } else if has("values") {
        json.azure()
    } else if value.get("result").is_some_and(|result| result.get("ipv4_cidrs").is_some()) {
        json.flat("cloudflare", "cloudflare.com/ips-v4, ips-v6", &["/result/ipv4_cidrs", "/result/ipv6_cidrs"])
    } else if has("addresses") && has("ipv6_addresses") {
        json.flat("fastly", "api.fastly.com/public-ip-list", &["/addresses", "/ipv6_addresses"])
    } else if has("addresses") && has("addresses_v6") {
        json.flat("gcore", "api.gcore.com/cdn/public-ip-list", &["/addresses", "/addresses_v6"])
    } else if has("ipRanges") {
        json.flat("imperva", "my.incapsula.com/api/integration/v1/ips", &["/ipRanges", "/ipv6Ranges"])
    } else {
        Err((None, FormatError::UnknownJson))
    }
}

/// A file in JSON.
struct Json<'t> {
    text: &'t str,
    value: &'t Value,
}

impl Json<'_> {
    /// The addresses in a list of texts.
    fn addresses<'v>(&self, texts: impl Iterator<Item = &'v Value>) -> Result<Addresses, Located> {
        let prefixes = texts.filter_map(Value::as_str).map(|text| self.prefix(text));
        Ok(Addresses::of(prefixes.collect::<Result<Vec<_>, _>>()?))
    }

    fn prefix(&self, text: &str) -> Result<Prefix, Located> {
        Prefix::parse(text).map_err(|error| {
            let line = self.text.lines().position(|line| line.contains(text)).map(|at| at + 1);
            (line, FormatError::Prefix { text: text.to_owned(), error })
        })
    }

    fn items(&self, key: &str) -> impl Iterator<Item = &Value> {
        self.value.get(key).and_then(Value::as_array).into_iter().flatten()
    }

    /// Lists of prefixes at these places, of one provider.
    fn flat(&self, key: &'static str, publisher: &'static str, places: &[&str]) -> Result<Vec<Said>, Located> {
        let texts = places.iter().filter_map(|place| self.value.pointer(place)?.as_array()).flatten();
        Ok(vec![said(ListName::Edges(key), self.addresses(texts)?, publisher, None)])
    }

    /// AWS ip-ranges: all prefixes are there for AMAZON, and once more for each service.
    fn aws(&self) -> Result<Vec<Said>, Located> {
        let of_services = |is_wanted: fn(&str) -> bool| {
            let items = self.items("prefixes").chain(self.items("ipv6_prefixes"));
            let items = items.filter(|item| is_wanted(item.get("service").and_then(Value::as_str).unwrap_or_default()));
            self.addresses(items.filter_map(|item| item.get("ip_prefix").or_else(|| item.get("ipv6_prefix"))))
        };
        let date = self.date("createDate");
        let edges = of_services(|service| service == "CLOUDFRONT")?;
        let others = of_services(|_| true)?.minus(&of_services(|service| service.starts_with("CLOUDFRONT"))?);
        Ok(vec![
            said(ListName::Edges("cloudfront"), edges, "ip-ranges.amazonaws.com, service=CLOUDFRONT", date),
            said(ListName::NoEdges("aws_noncdn"), others, "ip-ranges.amazonaws.com, all but CLOUDFRONT*", date),
        ])
    }

    /// Google's cloud.json: front ends are those of the global scope.
    fn google(&self) -> Result<Vec<Said>, Located> {
        let scope = |item: &Value| item.get("scope").and_then(Value::as_str).map(str::to_owned);
        if !self.items("prefixes").any(|item| scope(item).is_some()) {
            return Err((None, FormatError::NoScopes));
        }
        let of_scopes = |is_global: bool| {
            let items = self.items("prefixes").filter(|item| (scope(item).as_deref() == Some("global")) == is_global);
            self.addresses(items.filter_map(|item| item.get("ipv4Prefix").or_else(|| item.get("ipv6Prefix"))))
        };
        let date = self.date("creationTime");
        let edges = of_scopes(true)?;
        let others = of_scopes(false)?.minus(&edges);
        Ok(vec![
            said(ListName::Edges("google"), edges, "gstatic.com/ipranges/cloud.json, scope=global", date),
            said(ListName::NoEdges("gcp_regional"), others, "gstatic.com/ipranges/cloud.json, other scopes", date),
        ])
    }

    /// Azure's service tags.
    fn azure(&self) -> Result<Vec<Said>, Located> {
        let of_tag = |tag: &str| {
            let tags = self.items("values").filter(|value| value.get("name").and_then(Value::as_str) == Some(tag));
            let prefixes = tags.filter_map(|value| value.pointer("/properties/addressPrefixes")?.as_array()).flatten();
            self.addresses(prefixes)
        };
        let edges = of_tag("AzureFrontDoor.Frontend")?;
        // Some prefixes are in both; a list has those that no other has.
        let own = of_tag("AzureFrontDoor.FirstParty")?.minus(&edges);
        let others = of_tag("AzureCloud")?.minus(&edges).minus(&own);
        Ok(vec![
            said(ListName::Edges("azure"), edges, "Azure ServiceTags, AzureFrontDoor.Frontend", None),
            said(ListName::Edges("azure_firstparty"), own, "Azure ServiceTags, AzureFrontDoor.FirstParty", None),
            said(ListName::NoEdges("azure_noncdn"), others, "Azure ServiceTags, AzureCloud but AzureFrontDoor.*", None),
        ])
    }

    /// The day in this field, or that of the token, which is seconds or milliseconds since 1970.
    fn date(&self, field: &str) -> Option<Date> {
        let day = |text: &str| text.get(..10).and_then(Date::newest_in);
        let written = self.value.get(field).and_then(Value::as_str).and_then(day);
        let token = || {
            let token: u64 = self.value.get("syncToken")?.as_str()?.parse().ok()?;
            day_of_unix(if token > 100_000_000_000 { token / 1_000 } else { token })
        };
        written.or_else(token)
    }
}

const fn said(list: ListName, addresses: Addresses, publisher: &'static str, date: Option<Date>) -> Said {
    Said { list, addresses, is_all: true, publisher: Some(publisher), date }
}

/// A list of prefixes, a line each; what stands behind a comma is where they are (RFC 8805).
fn plain(name: &str, text: &str) -> Result<Said, Located> {
    let mut prefixes = Vec::new();
    for (line, row) in rows::rows(text) {
        let text = row.split([',', ' ', '\t', '#', ';']).next().unwrap_or_default();
        let prefix = Prefix::parse(text)
            .map_err(|error| (Some(line), FormatError::Prefix { text: text.chars().take(60).collect(), error }))?;
        prefixes.push(prefix);
    }
    let list = match stem(name) {
        // So Cloudflare calls its own.
        "ips" => ListName::Edges("cloudflare"),
        stem => ListName::Stem(stem.to_owned()),
    };
    let publisher = (list == ListName::Edges("cloudflare")).then_some("cloudflare.com/ips-v4, ips-v6");
    Ok(Said { list, addresses: Addresses::of(prefixes), is_all: false, publisher, date: rows::date(text) })
}

/// The name of a file without its ending, and without which family is in it.
fn stem(name: &str) -> &str {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let families = ["-v4", "-v6", "_v4", "_v6", "-ipv4", "-ipv6", "_ipv4", "_ipv6", ".v4", ".v6"];
    families.iter().find_map(|family| stem.strip_suffix(family)).unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(name: &str, text: &str) -> Vec<(String, Vec<String>, Option<String>)> {
        let said = read(name, text).unwrap_or_else(|(line, error)| panic!("{name}:{line:?}: {error}"));
        let prefixes = |said: &Said| said.addresses.prefixes().map(|prefix| prefix.to_string()).collect();
        said.iter()
            .map(|said| (said.list.to_string(), prefixes(said), said.date.map(|date| date.to_string())))
            .collect()
    }

    fn list(key: &str, prefixes: &[&str], date: &str) -> (String, Vec<String>, Option<String>) {
        let date = Some(date.to_owned()).filter(|date| !date.is_empty());
        (key.to_owned(), prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(), date)
    }

    #[test]
    fn amazon() {
        let text = r#"{ "syncToken": "1755856992", "createDate": "2026-08-22-10-03-12", "prefixes": [
            {"ip_prefix": "3.4.0.0/16", "region": "x", "service": "AMAZON"},
            {"ip_prefix": "3.4.1.0/24", "region": "GLOBAL", "service": "CLOUDFRONT"},
            {"ip_prefix": "3.4.2.0/24", "region": "GLOBAL", "service": "CLOUDFRONT_ORIGIN_FACING"}],
            "ipv6_prefixes": [{"ipv6_prefix": "2600:9000::/28", "service": "CLOUDFRONT"}] }"#;
        let [edges, others] = lists("ip-ranges.json", text).try_into().unwrap();
        assert_eq!(edges, list("cloudfront", &["3.4.1.0/24", "2600:9000::/28"], "2026-08-22"));
        assert_eq!((others.0.as_str(), others.1[0].as_str(), others.1.len()), ("aws_noncdn", "3.4.0.0/24", 8));
        let without = text.replace("\"createDate\": \"2026-08-22-10-03-12\", ", "");
        assert_eq!(lists("ip-ranges.json", &without)[0].2.as_deref(), Some("2025-08-22"));
    }

    #[test]
    fn an_excerpt_is_about_edges_alone() {
        let text = r#"{"prefixes": [{"ip_prefix": "3.4.1.0/24", "service": "CLOUDFRONT"}], "ipv6_prefixes": []}"#;
        let keys: Vec<_> = lists("ip-ranges.json", text).into_iter().map(|list| list.0).collect();
        assert_eq!(keys, ["cloudfront"]);
        let text = r#"{"prefixes": [{"ip_prefix": "3.4.1.0/24", "service": "EC2"}], "ipv6_prefixes": []}"#;
        assert_eq!(read("ip-ranges.json", text).unwrap_err(), (None, FormatError::Empty("cloudfront".to_owned())));
    }

    #[test]
    fn google() {
        let text = r#"{ "syncToken": "1777968000000", "creationTime": "2026-05-05T08:00:00.1", "prefixes": [
            {"ipv4Prefix": "34.8.0.0/16", "service": "Google Cloud", "scope": "global"},
            {"ipv6Prefix": "2600:1901::/48", "service": "Google Cloud", "scope": "global"},
            {"ipv4Prefix": "34.1.0.0/20", "service": "Google Cloud", "scope": "us-east1"}] }"#;
        let expected = [
            list("google", &["34.8.0.0/16", "2600:1901::/48"], "2026-05-05"),
            list("gcp_regional", &["34.1.0.0/20"], "2026-05-05"),
        ];
        assert_eq!(lists("cloud.json", text), expected);
        let error = read("goog.json", r#"{"prefixes": [{"ipv4Prefix": "8.8.4.0/24"}]}"#).unwrap_err();
        assert_eq!(error, (None, FormatError::NoScopes));
    }

    #[test]
    fn azure() {
        let tag = |name: &str, prefixes: &str| {
            format!(r#"{{"name": "{name}", "properties": {{"addressPrefixes": [{prefixes}]}}}}"#)
        };
        let tags = [
            tag("AzureFrontDoor.Frontend", r#""13.73.248.8/29""#),
            tag("AzureFrontDoor.FirstParty", r#""13.107.3.0/24", "2620:1ec::/48""#),
            tag("AzureCloud", r#""13.73.248.0/28", "13.107.3.0/24""#),
            tag("Sql", r#""1.2.3.0/24""#),
        ];
        let text = format!(r#"{{"changeNumber": 40, "cloud": "Public", "values": [{}]}}"#, tags.join(","));
        let expected = [
            list("azure", &["13.73.248.8/29"], "2026-06-29"),
            list("azure_firstparty", &["13.107.3.0/24", "2620:1ec::/48"], "2026-06-29"),
            list("azure_noncdn", &["13.73.248.0/29"], "2026-06-29"),
        ];
        assert_eq!(lists("ServiceTags_Public_20260629.json", &text), expected);
    }

    #[test]
    fn those_with_flat_lists() {
        let both = ["192.0.2.0/24", "2001:db8::/32"];
        for (key, text) in [
            ("cloudflare", r#"{"result": {"ipv4_cidrs": ["192.0.2.0/24"], "ipv6_cidrs": ["2001:db8::/32"]}}"#),
            ("fastly", r#"{"addresses": ["192.0.2.0/24"], "ipv6_addresses": ["2001:db8::/32"]}"#),
            ("gcore", r#"{"addresses": ["192.0.2.0/24"], "addresses_v6": ["2001:db8::/32"]}"#),
            ("imperva", r#"{"ipRanges": ["192.0.2.0/24"], "ipv6Ranges": ["2001:db8::/32"], "res": 0}"#),
        ] {
            assert_eq!(lists("any name", text), [list(key, &both, "")], "{key}");
        }
    }

    #[test]
    fn plain_lists_have_their_name_from_the_file() {
        let text = "# date: 2026-08-01\n192.0.2.0/25,DE,,Berlin,\r\n192.0.2.128/25 # more\n\n198.51.100.7\n";
        for (name, key) in [
            ("gcore.txt", "gcore"),
            ("gcore-v4.txt", "gcore"),
            ("gcore_ipv4.csv", "gcore"),
            ("ips-v4", "cloudflare"),
            ("ips-v6.txt", "cloudflare"),
            ("ddos-guard.lst", "ddos-guard"),
        ] {
            assert_eq!(lists(name, text), [list(key, &["192.0.2.0/24", "198.51.100.7/32"], "2026-08-01")], "{name}");
            assert!(!read(name, text).unwrap()[0].is_all);
        }
    }

    #[test]
    fn what_says_nothing_says_why() {
        let refusal = |text: &str| read("x.txt", text).unwrap_err();
        assert!(matches!(refusal("{\n\"prefixes\": [").1, FormatError::Json(_)));
        assert_eq!(refusal("{\n\"prefixes\": [").0, Some(2));
        assert_eq!(refusal("{\"a\": 1}"), (None, FormatError::UnknownJson));
        assert_eq!(refusal("[]"), (None, FormatError::UnknownJson));
        assert!(matches!(refusal("# nothing\n"), (None, FormatError::Empty(_))));
        assert!(matches!(refusal("192.0.2.0/24\n<html>"), (Some(2), FormatError::Prefix { .. })));
        let text = "{\"addresses\": [\n\"192.0.2.0/24\",\n\"192.0.2.1/24\"],\n\"ipv6_addresses\": []}";
        assert!(matches!(refusal(text), (Some(3), FormatError::Prefix { error: PrefixError::HostBits, .. })));
        let text = r#"{"addresses": [], "ipv6_addresses": []}"#;
        assert_eq!(refusal(text), (None, FormatError::Empty("fastly".to_owned())));
    }
}
