//! How to hide an origin behind the CDN that stands in front of it.

/// What a provider offers for that.
struct Offer {
    key: &'static str,
    /// Which addresses to let in.
    addresses: &'static str,
    /// What proves that a request comes through the CDN, and for this site.
    proof: &'static str,
}

const OFFERS: [Offer; 9] = [
    Offer {
        key: "cloudflare",
        addresses: "the prefixes of https://www.cloudflare.com/ips/",
        proof: "Authenticated Origin Pulls with a certificate of your own; or no open port at all with Cloudflare Tunnel",
    },
    Offer {
        key: "akamai",
        addresses: "those of Site Shield, or of the Origin IP Access Control List",
        proof: "mutual TLS to the origin (Mutual TLS Origin Keystore)",
    },
    Offer {
        key: "fastly",
        addresses: "the prefixes of https://api.fastly.com/public-ip-list, fewer with origin shielding",
        proof: "a client certificate of the service's host settings, or a secret header that the origin checks",
    },
    Offer {
        key: "cloudfront",
        addresses: "the managed prefix list com.amazonaws.global.cloudfront.origin-facing",
        proof: "a VPC origin, which needs no public address; or a secret header that the origin checks",
    },
    Offer {
        key: "google",
        addresses: "35.191.0.0/16 and 130.211.0.0/22, from which the load balancer comes",
        proof: "backends without external addresses",
    },
    Offer {
        key: "azure",
        addresses: "the service tag AzureFrontDoor.Backend",
        proof: "the header X-Azure-FDID with the id of your own profile; or Private Link",
    },
    Offer {
        key: "imperva",
        addresses: "the prefixes that Imperva publishes for its customers' allow-lists",
        proof: "mutual TLS to the origin",
    },
    Offer {
        key: "sucuri",
        addresses: "the prefixes that Sucuri lists under preventing firewall bypass",
        proof: "a secret header that the origin checks",
    },
    Offer {
        key: "bunny",
        addresses: "the edge servers that https://api.bunny.net/system/edgeserverlist lists, fewer with Origin Shield",
        proof: "a secret header that the origin checks",
    },
];

/// A provider that stands in front.
#[derive(Clone, Copy, Debug)]
pub struct InFront<'a> {
    /// Its key in the data.
    pub key: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What to do about exposed addresses, most important first. `names` are those in the domain's own zone that lead there.
#[must_use]
pub fn advice(in_front: &[InFront<'_>], names: &[&str]) -> Vec<String> {
    let mut advice = Vec::new();
    if in_front.is_empty() {
        advice.push(
            "Put a CDN in front first: the domain's own addresses are no edges of a CDN that is known here.".to_owned(),
        );
    }
    for provider in in_front {
        let offer = OFFERS.iter().find(|offer| offer.key == provider.key);
        let addresses = offer.map_or("the prefixes that it publishes for this", |offer| offer.addresses);
        let proof = offer.map_or("mutual TLS, or a secret header that the origin checks", |offer| offer.proof);
        advice.push(format!(
            "In the firewall, let only {} reach ports 80 and 443: {addresses}. Drop everything else.",
            provider.name
        ));
        advice.push(format!(
            "Others can be customers of {}, too, so have each request prove that it is yours: {proof}.",
            provider.name
        ));
    }
    if !names.is_empty() {
        advice.push(format!(
            "Take these names off the address, or put them behind the CDN as well: {}.",
            names.join(", ")
        ));
    }
    if !in_front.is_empty() {
        advice.push(
            "Then give the origin a new address: the old one is on record, in histories of DNS and of certificates."
                .to_owned(),
        );
    }
    advice
}

#[cfg(test)]
mod tests {
    use wirehaul_core::cdn_data::EMBEDDED;

    use super::*;

    #[test]
    fn offers_are_of_providers_that_are_known() {
        for offer in &OFFERS {
            assert!(EMBEDDED.providers.iter().any(|provider| provider.key == offer.key), "{}", offer.key);
        }
    }

    #[test]
    fn every_provider_gets_advice_and_so_does_a_domain_without_one() {
        for provider in EMBEDDED.providers {
            let in_front = InFront { key: provider.key, name: provider.name };
            let advice = advice(&[in_front], &["direct.example.com"]);
            assert_eq!(advice.len(), 4);
            assert!(advice[0].contains(provider.name) && advice[2].contains("direct.example.com"), "{advice:?}");
        }
        assert_eq!(advice(&[], &[]).len(), 1);
    }
}
