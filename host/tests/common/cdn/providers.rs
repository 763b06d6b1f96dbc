//! Edges as the providers run them: the headers of their answers, and what they show to clients that name no host.

use super::certificates::{Authority, Identity};
use super::web::{Answer, Conduct, Edge, Handshake};

/// Somebody whose edges are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    Cloudflare,
    Akamai,
    Fastly,
    CloudFront,
    Google,
    Azure,
    Imperva,
    Sucuri,
    Bunny,
    Cdn77,
    KeyCdn,
    Gcore,
    CacheFly,
    ArvanCloud,
    GoCache,
    Azion,
    Edgecast,
    Tencent,
    Netlify,
    Vercel,
}

/// How edges of a provider look.
struct Looks {
    key: &'static str,
    /// An alias as its customers point their names at.
    alias: &'static str,
    headers: &'static [(&'static str, &'static str)],
    nameless: Nameless,
}

/// What a client gets that names no host.
enum Nameless {
    Alert,
    Shows { common_name: &'static str, names: &'static [&'static str] },
}

impl Provider {
    /// The six that CDN-1 names.
    pub const NAMED: [Self; 6] =
        [Self::Cloudflare, Self::Akamai, Self::Fastly, Self::CloudFront, Self::Google, Self::Azure];

    /// All.
    pub const ALL: [Self; 20] = [
        Self::Cloudflare,
        Self::Akamai,
        Self::Fastly,
        Self::CloudFront,
        Self::Google,
        Self::Azure,
        Self::Imperva,
        Self::Sucuri,
        Self::Bunny,
        Self::Cdn77,
        Self::KeyCdn,
        Self::Gcore,
        Self::CacheFly,
        Self::ArvanCloud,
        Self::GoCache,
        Self::Azion,
        Self::Edgecast,
        Self::Tencent,
        Self::Netlify,
        Self::Vercel,
    ];

    /// Its key in the data.
    pub fn key(self) -> &'static str {
        self.looks().key
    }

    /// A name below its domain, as aliases of its customers lead to; `Some` for those that have such.
    pub fn alias(self) -> Option<&'static str> {
        Some(self.looks().alias).filter(|alias| !alias.is_empty())
    }

    /// What its edges answer.
    pub fn answer(self) -> Answer {
        Answer::new("200 OK", &[("content-type", "text/html")]).with_all(self.looks().headers)
    }

    /// The certificate that clients get that name no host; `None` for an alert.
    pub fn nameless(self, authority: &Authority) -> Option<Identity> {
        match self.looks().nameless {
            Nameless::Alert => None,
            Nameless::Shows { common_name, names } => Some(authority.sign(common_name, names)),
        }
    }

    /// An edge for these sites, with certificates that this authority signs.
    pub fn serve(self, authority: &Authority, sites: &[&str]) -> Edge {
        self.serve_answer(authority, sites, self.answer())
    }

    /// The same with another answer.
    pub fn serve_answer(self, authority: &Authority, sites: &[&str], answer: Answer) -> Edge {
        let nameless = self.nameless(authority);
        let named = sites.iter().map(|site| ((*site).to_owned(), authority.sign(site, &[site]))).collect();
        // Who answers nameless clients with a certificate shows the same for names that are none of its customers'.
        let handshake = Handshake { others: nameless.clone(), nameless, named };
        Edge::tls(handshake, Conduct::Answer(answer.clone())).and_plain(Conduct::Answer(answer))
    }

    fn looks(self) -> Looks {
        let shows = |common_name, names| Nameless::Shows { common_name, names };
        // What a server shows of whose default certificate no fact is known.
        let unknown = || shows("default.invalid", &["default.invalid"]);
        match self {
            Self::Cloudflare => Looks {
                key: "cloudflare",
                alias: "www.example.com.cdn.cloudflare.net",
                headers: &[
                    ("server", "cloudflare"),
                    ("cf-ray", "8f1c2d3e4f5a6b7c-FRA"),
                    ("cf-cache-status", "DYNAMIC"),
                ],
                nameless: Nameless::Alert,
            },
            Self::Akamai => Looks {
                key: "akamai",
                alias: "e1234.a.akamaiedge.net",
                headers: &[("server", "AkamaiGHost"), ("akamai-grn", "0.1234c817.1732250000.abcdef0")],
                nameless: shows("a248.e.akamai.net", &["a248.e.akamai.net", "*.akamaized.net", "*.akamaihd.net"]),
            },
            Self::Fastly => Looks {
                key: "fastly",
                alias: "example.map.fastly.net",
                headers: &[
                    ("via", "1.1 varnish"),
                    ("x-served-by", "cache-fra-eddf8230099-FRA"),
                    ("x-timer", "S1732250000.123456,VS0,VE1"),
                    ("x-cache", "HIT"),
                ],
                nameless: shows("default.ssl.fastly.net", &["default.ssl.fastly.net"]),
            },
            Self::CloudFront => Looks {
                key: "cloudfront",
                alias: "d111111abcdef8.cloudfront.net",
                headers: &[
                    ("x-cache", "Miss from cloudfront"),
                    ("via", "1.1 0123456789abcdef0123456789abcdef.cloudfront.net (CloudFront)"),
                    ("x-amz-cf-pop", "FRA56-P1"),
                    ("x-amz-cf-id", "Zm9yIGEgdGVzdCBvbmx5LCBub3RoaW5nIHJlYWw="),
                ],
                nameless: shows("*.cloudfront.net", &["cloudfront.net", "*.cloudfront.net"]),
            },
            Self::Google => Looks {
                key: "google",
                alias: "",
                headers: &[("via", "1.1 google"), ("x-goog-cache-status", "hit")],
                nameless: shows("invalid2.invalid", &["invalid2.invalid"]),
            },
            Self::Azure => Looks {
                key: "azure",
                alias: "example-abc.z01.azurefd.net",
                headers: &[("x-azure-ref", "20261122T000000Z-r1ABCDEF"), ("x-cache", "TCP_MISS")],
                nameless: shows("*.azureedge.net", &["*.azureedge.net", "*.azurefd.net", "*.vo.msecnd.net"]),
            },
            Self::Imperva => Looks {
                key: "imperva",
                alias: "abcdef.x.incapdns.net",
                headers: &[
                    ("x-iinfo", "1-12345-0 0NNN RT(1732250000000 0) q(0 -1 -1 -1) r(0 -1)"),
                    ("x-cdn", "Imperva"),
                    ("set-cookie", "visid_incap_1234=abc; path=/; Domain=.example.com"),
                ],
                nameless: shows("imperva.com", &["imperva.com"]),
            },
            Self::Sucuri => Looks {
                key: "sucuri",
                alias: "example.sucuri.net",
                headers: &[("server", "Sucuri/Cloudproxy"), ("x-sucuri-id", "18005"), ("x-sucuri-cache", "HIT")],
                nameless: unknown(),
            },
            Self::Bunny => Looks {
                key: "bunny",
                alias: "example.b-cdn.net",
                headers: &[("server", "BunnyCDN-DE1-1048"), ("cdn-cache", "HIT")],
                nameless: shows("*.b-cdn.net", &["*.b-cdn.net", "b-cdn.net"]),
            },
            Self::Cdn77 => Looks {
                key: "cdn77",
                alias: "1234567890.rsc.cdn77.org",
                headers: &[("server", "CDN77-Turbo"), ("x-77-nzt", "EwgBw7WvEQFBDA")],
                nameless: shows("*.rsc.cdn77.org", &["*.rsc.cdn77.org"]),
            },
            Self::KeyCdn => Looks {
                key: "keycdn",
                alias: "example-1a2b.kxcdn.com",
                headers: &[("server", "keycdn-engine"), ("x-edge-location", "defr")],
                nameless: shows("*.kxcdn.com", &["*.kxcdn.com"]),
            },
            Self::Gcore => Looks {
                key: "gcore",
                alias: "cl-1a2b3c.gcdn.co",
                headers: &[("server", "nginx"), ("x-id", "fr5-hw-edge-gc12"), ("x-id-fe", "fr5-hw-edge-gc12")],
                nameless: shows("*.gcdn.co", &["*.gcdn.co", "gcdn.co"]),
            },
            Self::CacheFly => Looks {
                key: "cachefly",
                alias: "example.cachefly.net",
                headers: &[("server", "CFS 1124"), ("x-cf1", "1:fA.fra1:co:1124:cacheN.fra1-01:H")],
                nameless: unknown(),
            },
            Self::ArvanCloud => Looks {
                key: "arvancloud",
                alias: "example.arvancdn.ir",
                headers: &[("server", "ArvanCloud")],
                nameless: unknown(),
            },
            Self::GoCache => Looks {
                key: "gocache",
                alias: "example.cdn.gocache.net",
                headers: &[("server", "gocache")],
                nameless: unknown(),
            },
            Self::Azion => Looks {
                key: "azion",
                alias: "1234a.ha.azioncdn.net",
                headers: &[("server", "Azion Technologies")],
                nameless: unknown(),
            },
            Self::Edgecast => Looks {
                key: "edgio_edgecast",
                alias: "cs1.wpc.edgecastcdn.net",
                headers: &[("server", "ECS (fra/1A2B)"), ("x-cache", "HIT")],
                nameless: unknown(),
            },
            Self::Tencent => Looks {
                key: "tencent",
                alias: "www.example.com.cdn.dnsv1.com",
                headers: &[("server", "TencentEdgeOne")],
                nameless: unknown(),
            },
            Self::Netlify => Looks {
                key: "netlify",
                alias: "example.netlify.com",
                headers: &[("server", "Netlify"), ("x-nf-request-id", "01JD0000000000000000000000")],
                nameless: unknown(),
            },
            Self::Vercel => Looks {
                key: "vercel",
                alias: "",
                headers: &[("server", "Vercel"), ("x-vercel-id", "fra1::abcde-1732250000000-0123456789ab")],
                nameless: unknown(),
            },
        }
    }
}

/// A certificate with so many names that its chain takes many records.
pub fn huge_certificate(authority: &Authority) -> Identity {
    let names: Vec<String> = (0..900).map(|number| format!("host-{number}.of-somebody.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    authority.sign("of-somebody.example", &names)
}

impl Answer {
    /// With these headers, too.
    #[must_use]
    pub fn with_all(self, headers: &[(&str, &str)]) -> Self {
        headers.iter().fold(self, |answer, (name, value)| answer.with(name, value))
    }
}
