//! `wirehaul origin` against sites of which everything is on loopback: resolver, CDN and origin (CDN-7).
#![cfg(all(target_os = "linux", feature = "aws-lc"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

#[path = "common/cdn/mod.rs"]
mod cdn;

use std::net::IpAddr;
use std::process::{Command, Output};

use cdn::certificates::{Authority, Identity, self_signed};
use cdn::names::{self, NameServer, Zone};
use cdn::ports;
use cdn::providers::Provider;
use cdn::web::{Answer, Conduct, Edge, Handshake};
use serde_json::Value;
use tempfile::TempDir;

const SITE: &str = "www.example.com";

/// A site behind Cloudflare: its edge, a resolver that knows it, and facts that name the edge.
struct Site {
    authority: Authority,
    edge: Edge,
    zone: Zone,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new();
        let edge = Provider::Cloudflare.serve_answer(&authority, &[SITE], page(Provider::Cloudflare.answer()));
        let zone = Zone::new().address(SITE, edge.ip).address("example.com", edge.ip);
        Self { authority, edge, zone }
    }

    fn with(mut self, add: impl FnOnce(Zone) -> Zone) -> Self {
        self.zone = add(self.zone);
        self
    }

    fn own_certificate(&self) -> Identity {
        self.authority.sign(SITE, &[SITE, "example.com"])
    }

    /// The origin as it should not be: it serves the site to everybody.
    fn open_origin(&self) -> Edge {
        let answer = Conduct::Answer(page(Answer::new("200 OK", &[("server", "nginx")])));
        Edge::tls(Handshake::always(self.own_certificate()), answer)
    }

    fn asked(self) -> Asked {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("ranges")).unwrap();
        let list = format!("# publisher: a test\n{}/32\n", self.edge.ip);
        std::fs::write(folder.path().join("ranges/cloudflare.txt"), list).unwrap();
        self.authority.write_to(folder.path());
        Asked { folder, resolver: self.zone.serve(), edge: self.edge }
    }
}

/// What both the origin and the edge say about the page.
fn page(answer: Answer) -> Answer {
    answer.with("etag", "\"5f2c-1\"")
}

struct Asked {
    folder: TempDir,
    resolver: NameServer,
    edge: Edge,
}

impl Asked {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wirehaul"));
        command.args(["origin", SITE, "--timeout", "400ms", "--db"]).arg(self.folder.path());
        command.arg("--resolver").arg(self.resolver.address.to_string());
        command.args(["--https-port", &ports().https.to_string(), "--http-port", &ports().http.to_string()]);
        command.args(arguments).env("SSL_CERT_FILE", self.folder.path().join("roots.pem"));
        command
    }

    /// What it finds with these addresses as owned: the rows, the summary and the exit code.
    fn check(&self, owned: &[IpAddr], more: &[&str]) -> Found {
        let owned = owned.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",");
        let arguments = [&["--json", "--owned", &owned][..], more].concat();
        Found::of(&self.command(&arguments).output().unwrap())
    }
}

#[derive(Debug)]
struct Found {
    rows: Vec<Value>,
    summary: Value,
    exit_code: Option<i32>,
}

impl Found {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let mut rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = rows.pop().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(summary["type"], "summary");
        assert_eq!(summary["exit_code"].as_i64(), output.status.code().map(i64::from));
        Self { rows, summary, exit_code: output.status.code() }
    }

    #[track_caller]
    fn row(&self, ip: IpAddr) -> &Value {
        let row = self.rows.iter().find(|row| row["ip"] == ip.to_string());
        row.unwrap_or_else(|| panic!("no row for {ip}: {self:#?}"))
    }

    #[track_caller]
    fn assert_verdict(&self, ip: IpAddr, verdict: &str) {
        assert_eq!(self.row(ip)["verdict"], verdict, "{self:#?}");
    }

    fn from(&self, ip: IpAddr) -> Vec<&str> {
        self.row(ip)["from"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    }
}

/// CDN-7: an origin that answers for the site is found through a common name, and the advice names the CDN and the name.
#[test]
fn an_open_origin_is_exposed() {
    let site = Site::new();
    let origin = site.open_origin();
    let asked = site.with(|zone| zone.address("direct.example.com", origin.ip)).asked();
    let found = asked.check(&[origin.ip], &[]);
    found.assert_verdict(origin.ip, "exposed");
    assert_eq!(found.exit_code, Some(1));
    assert_eq!(
        (&found.summary["exposed"], &found.summary["providers"][0]),
        (&Value::from(1), &Value::from("cloudflare"))
    );
    assert!(found.from(origin.ip).contains(&"name direct.example.com"), "{found:#?}");
    let advice = found.summary["advice"].to_string();
    for word in ["Cloudflare", "Authenticated Origin Pulls", "direct.example.com", "new address"] {
        assert!(advice.contains(word), "{advice}");
    }
    assert_eq!(origin.server_names().first(), Some(&Some(SITE.to_owned())));
    let request = &origin.requests()[0];
    assert!(request.to_ascii_lowercase().contains(&format!("host: {SITE}")), "{request}");
    // The edge was not asked: nobody said so.
    assert_eq!(asked.edge.connections(), 0);
    found.assert_verdict(asked.edge.ip, "not tried");
}

/// CDN-7: nothing outside --owned is contacted, wherever it is named, and it is listed.
#[test]
fn what_is_not_owned_is_never_contacted() {
    let site = Site::new();
    let (origin, mail, named) = (site.open_origin(), site.open_origin(), site.open_origin());
    let spf = format!("v=spf1 ip4:{} ip4:198.51.100.0/24 -all", named.ip);
    let asked = site
        .with(|zone| {
            let zone = zone.address("origin.example.com", origin.ip).address("mx.example.net", mail.ip);
            zone.mail("example.com", "mx.example.net").text("example.com", &spf)
        })
        .asked();
    let found = asked.check(&["127.255.0.1".parse().unwrap()], &[]);
    assert_eq!(found.exit_code, Some(0), "{found:#?}");
    for outside in [&origin, &mail, &named] {
        assert_eq!(outside.connections(), 0);
        found.assert_verdict(outside.ip, "not tried");
        assert_eq!(found.row(outside.ip)["evidence"][0], "outside --owned: not contacted");
        assert_eq!(found.row(outside.ip)["owned"], false);
    }
    assert!(found.rows.iter().any(|row| row["candidate"] == "198.51.100.0/24" && row["ip"].is_null()), "{found:#?}");
    assert_eq!(found.from(mail.ip), ["mx mx.example.net"]);
    assert_eq!(found.from(named.ip), [format!("spf ip4:{}", named.ip)]);
}

/// CDN-7: a closed origin, one behind a firewall, and one that refuses whoever is not the CDN.
#[test]
fn an_origin_that_lets_only_the_cdn_in_is_not_exposed() {
    let site = Site::new();
    let (closed, firewalled) = (Edge::closed(), Edge::firewalled());
    let refusing = Conduct::Answer(Answer::new("403 Forbidden", &[]));
    let refusing = Edge::tls(Handshake::always(site.own_certificate()), refusing);
    let hangs_up = Edge::tls(Handshake::always(site.own_certificate()), Conduct::HangsUp);
    let nameless = Edge::tls(Handshake::default(), Conduct::Silent);
    let asked = site.asked();
    let owned = [closed.ip, firewalled.ip, refusing.ip, hangs_up.ip, nameless.ip];
    let found = asked.check(&owned, &[]);
    assert_eq!(found.exit_code, Some(0), "{found:#?}");
    found.assert_verdict(closed.ip, "closed");
    found.assert_verdict(firewalled.ip, "closed");
    found.assert_verdict(refusing.ip, "not exposed");
    found.assert_verdict(hangs_up.ip, "not exposed");
    found.assert_verdict(nameless.ip, "not exposed");
    assert_eq!(found.from(closed.ip), ["--owned"]);
    assert_eq!(found.summary["advice"], serde_json::json!([]));
}

/// CDN-7: a server of another site is told from the origin: by its certificate and what it answers others, or by what the CDN
/// answers.
#[test]
fn another_site_is_not_the_origin() {
    let site = Site::new();
    let other = || Answer::new("200 OK", &[("etag", "\"other\"")]);
    let shows_other = Handshake::always(site.authority.sign("example.net", &["example.net"]));
    let another = Edge::tls(shows_other, Conduct::Answer(other())).and_plain(Conduct::Answer(other()));
    let only_default = Edge::plain(Conduct::Answer(page(Answer::new("200 OK", &[]))));
    let by_name = vec![(SITE.to_owned(), Answer::new("200 OK", &[]))];
    let by_name = Edge::plain(Conduct::Hosts(by_name, Answer::new("404 Not Found", &[])));
    let asked = site.asked();
    let owned = [another.ip, only_default.ip, by_name.ip];
    let found = asked.check(&owned, &[]);
    // The same for every name: nobody can tell without a look at the front.
    found.assert_verdict(another.ip, "unclear");
    found.assert_verdict(only_default.ip, "unclear");
    found.assert_verdict(by_name.ip, "exposed");
    assert_eq!(asked.edge.connections(), 0);
    let found = asked.check(&owned, &["--probe-front"]);
    found.assert_verdict(another.ip, "not exposed");
    found.assert_verdict(only_default.ip, "exposed");
    found.assert_verdict(by_name.ip, "exposed");
    assert_eq!(asked.edge.connections(), 1);
}

/// CDN-7: a certificate that nobody vouches for is the origin's all the same, and the evidence says what it is.
#[test]
fn a_self_signed_certificate_of_the_site_is_the_site() {
    let site = Site::new();
    let answer = Conduct::Answer(Answer::new("302 Found", &[("location", "https://www.example.com/start")]));
    let origin = Edge::tls(Handshake::always(self_signed(SITE, &[SITE])), answer);
    let found = site.asked().check(&[origin.ip], &[]);
    found.assert_verdict(origin.ip, "exposed");
    let evidence = found.row(origin.ip)["evidence"].to_string();
    assert!(evidence.contains("nobody vouches for"), "{evidence}");
}

/// CDN-7: a zone that answers for every name has no hosts of those names.
#[test]
fn names_of_a_wildcard_are_named_once() {
    let site = Site::new();
    let origin = site.open_origin();
    let asked = site.with(|zone| zone.address("*.example.com", origin.ip)).asked();
    let found = asked.check(&[origin.ip], &[]);
    assert_eq!(found.from(origin.ip), ["--owned", "name *.example.com"]);
    assert!(found.summary["advice"].to_string().contains("*.example.com"), "{found:#?}");
}

/// CDN-7: a server that shakes hands for the site and for no other name knows it, whatever certificate it shows.
#[test]
fn a_server_that_knows_the_name_alone_is_the_origin() {
    let site = Site::new();
    let identity = site.authority.sign("internal.example.net", &["internal.example.net"]);
    let handshake = Handshake { nameless: None, named: vec![(SITE.to_owned(), identity)], others: None };
    let origin = Edge::tls(handshake, Conduct::Answer(Answer::new("200 OK", &[])));
    let found = site.asked().check(&[origin.ip], &[]);
    found.assert_verdict(origin.ip, "exposed");
    assert_eq!(origin.server_names(), [Some(SITE.to_owned()), Some("wirehaul-control.invalid".to_owned())]);
}

/// CDN-7: an alias tells whose edges a site is on where no list has them, and the front is asked there.
#[test]
fn an_alias_tells_who_stands_in_front() {
    let mut site = Site::new();
    let edge = Provider::Fastly.serve_answer(&site.authority, &[SITE], page(Provider::Fastly.answer()));
    let alias = Provider::Fastly.alias().unwrap();
    site.zone = Zone::new().alias(SITE, alias).address(alias, edge.ip);
    let origin = Edge::plain(Conduct::Answer(page(Answer::new("200 OK", &[]))));
    let found = site.asked().check(&[origin.ip], &["--probe-front"]);
    found.assert_verdict(origin.ip, "exposed");
    assert_eq!((&found.summary["providers"][0], edge.connections()), (&Value::from("fastly"), 1));
    assert!(found.summary["advice"].to_string().contains("public-ip-list"), "{found:#?}");
}

/// CDN-7: mail hosts, and SPF with includes that run in circles, lead to the origin.
#[test]
fn mail_and_spf_lead_to_the_origin() {
    let site = Site::new();
    let (mail, included, by_a) = (site.open_origin(), site.open_origin(), site.open_origin());
    let record = format!("v=spf1 include:example.com ip4:{} a:relay.example.net ~all", included.ip);
    let asked = site
        .with(|zone| {
            let zone = zone.mail(SITE, "post.example.net").address("post.example.net", mail.ip);
            let zone = zone.text("example.com", "v=spf1 include:_spf.example.net redirect=example.com");
            zone.text("example.com", "something else")
                .text("_spf.example.net", &record)
                .address("relay.example.net", by_a.ip)
        })
        .asked();
    let found = asked.check(&[mail.ip, included.ip, by_a.ip], &[]);
    assert_eq!(found.from(mail.ip), ["--owned", "mx post.example.net"]);
    assert_eq!(found.from(included.ip), ["--owned", &format!("spf ip4:{}", included.ip)]);
    assert_eq!(found.from(by_a.ip), ["--owned", "spf a:relay.example.net"]);
    assert_eq!(found.summary["exposed"], 3);
    assert_eq!(asked.resolver.times_asked("_spf.example.net"), 1);
}

/// CDN-7: an SPF record may need ten lookups and no more (RFC 7208, section 4.6.4).
#[test]
fn spf_without_end_ends() {
    let chain = |zone: Zone| {
        let zone = zone.text(SITE, "v=spf1 include:s0.example.net");
        (0..40).fold(zone, |zone, number| {
            zone.text(&format!("s{number}.example.net"), &format!("v=spf1 include:s{}.example.net", number + 1))
        })
    };
    let asked = Site::new().with(chain).asked();
    let found = asked.check(&["127.255.0.1".parse().unwrap()], &[]);
    assert!(found.summary["notes"].to_string().contains("more than ten lookups"), "{found:#?}");
    assert_eq!(asked.resolver.times_asked("s9.example.net"), 1);
    assert_eq!(asked.resolver.times_asked("s11.example.net"), 0);
}

/// CDN-7: headers that leak, redirects and certificates lead further, and what they lead to is contacted only if it is owned.
#[test]
fn answers_lead_to_more_candidates() {
    let mut site = Site::new();
    let (leaked, elsewhere, redirected) = (site.open_origin(), site.open_origin(), site.open_origin());
    let leaky = page(Provider::Cloudflare.answer())
        .with("x-origin-ip", &leaked.ip.to_string())
        .with("x-backend-server", "backend.example.net:8080");
    site.edge = Provider::Cloudflare.serve_answer(&site.authority, &[SITE], leaky);
    site.zone = Zone::new().address(SITE, site.edge.ip).address("backend.example.net", elsewhere.ip);
    site.zone = site.zone.address("start.example.org", redirected.ip);
    let to = Answer::new("301 Moved", &[("location", "https://start.example.org/")]);
    let sends_on = Edge::plain(Conduct::Answer(to));
    let asked = site.asked();
    let found = asked.check(&[leaked.ip, sends_on.ip, redirected.ip], &["--probe-front"]);
    assert!(found.from(leaked.ip).contains(&format!("header x-origin-ip: {}", leaked.ip).as_str()), "{found:#?}");
    found.assert_verdict(leaked.ip, "exposed");
    assert_eq!(found.from(elsewhere.ip), ["header x-backend-server: backend.example.net"]);
    found.assert_verdict(elsewhere.ip, "not tried");
    assert_eq!(elsewhere.connections(), 0);
    assert!(found.from(redirected.ip).contains(&"redirect to start.example.org"), "{found:#?}");
}

/// CDN-7: a name that only answers lead to is asked in a second round.
#[test]
fn a_candidate_that_an_answer_leads_to_is_contacted() {
    let site = Site::new();
    let hidden = site.open_origin();
    let to = Answer::new("301 Moved", &[("location", "https://hidden.example.org/")]);
    let first = Edge::plain(Conduct::Answer(to));
    let asked =
        site.with(|zone| zone.address("hidden.example.org", hidden.ip).address("old.example.com", first.ip)).asked();
    // A /27, so that its addresses are not looked at for being named; both servers are in it or in the next.
    let found = asked.check_prefixes(&[first.ip, hidden.ip]);
    assert_eq!(found.from(hidden.ip), ["redirect to hidden.example.org"]);
    found.assert_verdict(hidden.ip, "exposed");
}

impl Asked {
    fn check_prefixes(&self, within: &[IpAddr]) -> Found {
        let prefix = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => format!("{}/27", std::net::Ipv4Addr::from(u32::from(*ip) & !31)),
            IpAddr::V6(_) => unreachable!(),
        };
        let prefixes: Vec<String> = within.iter().map(prefix).collect();
        Found::of(&self.command(&["--json", "--owned", &prefixes.join(",")]).output().unwrap())
    }
}

/// CDN-7: without a CDN in front the site's own address answers, and the advice begins with that.
#[test]
fn a_site_without_a_cdn_is_exposed_by_itself() {
    let mut site = Site::new();
    let origin = site.open_origin();
    site.zone = Zone::new().address(SITE, origin.ip);
    let found = site.asked().check(&[origin.ip], &["--probe-front"]);
    found.assert_verdict(origin.ip, "exposed");
    assert_eq!(found.summary["providers"], serde_json::json!([]));
    assert!(found.summary["advice"][0].as_str().unwrap().starts_with("Put a CDN in front"), "{found:#?}");
    assert!(found.summary["notes"].to_string().contains("no address of the domain is a known edge"), "{found:#?}");
}

/// CDN-7: hostile servers get no hold of it.
#[test]
fn hostile_servers_end() {
    let site = Site::new();
    let conducts = [
        Conduct::EndlessHeaders,
        Conduct::EndlessHeader,
        Conduct::EndlessContinue,
        Conduct::Slowly(Answer::new("200 OK", &[])),
        Conduct::Garbage,
        Conduct::Silent,
    ];
    let servers: Vec<Edge> = conducts
        .into_iter()
        .map(|conduct| Edge::tls(Handshake::always(site.own_certificate()), conduct.clone()).and_plain(conduct))
        .collect();
    let owned: Vec<IpAddr> = servers.iter().map(|server| server.ip).collect();
    let found = site.asked().check(&owned, &[]);
    assert_eq!(found.summary["exposed"], 0, "{found:#?}");
    assert_eq!(found.summary["contacted"], servers.len());
}

/// CDN-7: a resolver that is silent, or that knows no such name, is a failure that says so.
#[test]
fn a_domain_that_cannot_be_looked_up_is_a_failure() {
    for (zone, message) in [
        (Zone::new().all(names::Conduct::Silent), "cannot look up www.example.com: timeout"),
        (Zone::new().all(names::Conduct::Failing), "the resolver failed"),
        (Zone::new(), "there is no www.example.com"),
    ] {
        let mut site = Site::new();
        site.zone = zone;
        let output = site.asked().command(&["--json", "--owned", "127.255.0.1"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let (found, remarks) = (Found::of(&output), String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(remarks.contains(message), "{remarks}");
        assert!(found.summary["error"].as_str().unwrap().contains(message));
    }
}

/// CDN-7: without --owned, or with what nobody owns, nothing is done.
#[test]
fn wrong_arguments_are_refused() {
    for (arguments, message) in [
        (&["origin", SITE][..], "--owned"),
        (&["origin", "--owned", "192.0.2.0/24"], "DOMAIN"),
        (&["origin", SITE, "--owned", "192.0.2.1/24"], "bits are set"),
        (&["origin", SITE, "--owned", "0.0.0.0/0"], "more than anybody owns"),
        (&["origin", SITE, "--owned", "everything"], "expected a prefix or an address of yours"),
        (&["origin", "https://www.example.com/", "--owned", "192.0.2.1"], "www.example.com"),
        (&["origin", "192.0.2.1", "--owned", "192.0.2.1"], "--owned"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_wirehaul")).args(arguments).output().unwrap();
        let remarks = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {remarks}");
        assert!(remarks.contains(message), "{arguments:?}: {remarks}");
    }
}

/// CDN-7: facts that are broken are refused, with the file.
#[test]
fn broken_facts_are_refused() {
    let asked = Site::new().asked();
    std::fs::write(asked.folder.path().join("ranges/cloudflare.txt"), "999.1.2.3/24\n").unwrap();
    let output = asked.command(&["--owned", "127.255.0.1"]).output().unwrap();
    let remarks = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(remarks.contains("cloudflare.txt"), "{remarks}");
}

/// CDN-7: people read the verdict first, and what to do last.
#[test]
fn the_text_says_what_is_exposed_and_what_to_do() {
    let site = Site::new();
    let origin = site.open_origin();
    let asked = site.with(|zone| zone.address("direct.example.com", origin.ip)).asked();
    let output = asked.command(&["--owned", &origin.ip.to_string()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("www.example.com: Cloudflare in front, at 127."), "{text}");
    assert!(text.contains(&format!("exposed      {}  (--owned, name direct.example.com", origin.ip)), "{text}");
    assert!(text.contains("EXPOSED: 1 of 1 address contacted"), "{text}");
    assert!(text.contains("  1. In the firewall, let only Cloudflare reach ports 80 and 443"), "{text}");
    let quiet = asked.command(&["-q", "--owned", &origin.ip.to_string()]).output().unwrap();
    assert_eq!((quiet.stdout.len(), quiet.status.code()), (0, Some(1)));
}

// --- registries ---

/// An RDAP service that answers by path, and the paths that it was asked for.
struct Rdap {
    url: String,
    asked: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Rdap {
    /// `answer` makes the answer of the service's own URL and the path: status line and headers, and the body. The thread ends with the
    /// test's process.
    fn serve(answer: impl Fn(&str, &str) -> (String, String) + Send + 'static) -> Self {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let own = url.clone();
        let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let paths = std::sync::Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let (head, body) = answer(&own, &path);
                paths.lock().unwrap().push(path);
                // A client that had enough is gone.
                let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { url, asked }
    }

    fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// CDN-7: name servers on record at the registry are candidates; a service for all registries sends to the one in charge.
#[test]
fn what_a_registry_has_on_record_leads_to_an_origin() {
    let site = Site::new();
    let origin = site.open_origin();
    let record = serde_json::json!({ "objectClassName": "domain", "nameservers": [
        { "objectClassName": "nameserver", "ldhName": "NS1.EXAMPLE.COM", "ipAddresses": { "v4": [origin.ip] } }] });
    let in_charge =
        Rdap::serve(move |_, _| ("200 OK\r\nContent-Type: application/rdap+json".to_owned(), record.to_string()));
    let location = format!("302 Found\r\nLocation: {}/v1/domain/example.com", in_charge.url);
    let of_all = Rdap::serve(move |_, _| (location.clone(), String::new()));
    let asked = site.asked();
    let command = |more: &[&str]| {
        let arguments = [&["--json", "--owned", "127.0.0.0/8"][..], more].concat();
        Found::of(&asked.command(&arguments).output().unwrap())
    };
    let found = command(&["--rdap", &of_all.url]);
    found.assert_verdict(origin.ip, "exposed");
    assert_eq!(found.from(origin.ip), ["registry ns1.example.com"]);
    assert_eq!(
        (of_all.paths(), in_charge.paths()),
        (vec!["/domain/example.com".to_owned()], vec!["/v1/domain/example.com".to_owned()])
    );
    // Nobody is asked unasked.
    let found = command(&[]);
    assert!(found.rows.iter().all(|row| row["ip"] != origin.ip.to_string()), "{found:#?}");
    assert_eq!(of_all.paths().len(), 1);
}

/// CDN-7: a registry that is of no use is a note, and the rest is found out all the same.
#[test]
fn a_registry_that_answers_nonsense_costs_nothing_else() {
    let site = Site::new();
    let origin = site.open_origin();
    let asked = site.asked();
    let endless = Rdap::serve(|own, path| (format!("302 Found\r\nLocation: {own}{path}"), String::new()));
    let nonsense = Rdap::serve(|_, _| ("200 OK".to_owned(), "<html>".to_owned()));
    let huge = Rdap::serve(|_, _| ("200 OK".to_owned(), " ".repeat(2 << 20)));
    let unknown = Rdap::serve(|_, _| ("404 Not Found".to_owned(), "{}".to_owned()));
    let moved_away =
        Rdap::serve(|_, path| (format!("301 Moved\r\nLocation: http://127.0.0.1:1/{path}"), String::new()));
    for (registry, is_noted) in
        [(&endless, true), (&nonsense, true), (&huge, true), (&moved_away, true), (&unknown, false)]
    {
        let found = asked.check(&[origin.ip], &["--rdap", &registry.url]);
        found.assert_verdict(origin.ip, "exposed");
        let notes = found.summary["notes"].to_string();
        assert_eq!(notes.contains("the registry at"), is_noted, "{notes}");
    }
    let output = asked.command(&["--owned", "127.0.0.1", "--rdap", "rdap.org"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("https://rdap.org"), "{output:?}");
}
