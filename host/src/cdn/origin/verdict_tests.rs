use super::*;

const DOMAIN: &str = "www.example.com";

fn answer(status: u16, headers: &[(&str, &str)]) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Response { status, headers }
}

fn shown(names: &[&str]) -> Result<Greeting, NotTried> {
    let alternative_names = names.iter().map(|name| (*name).to_owned()).collect();
    Ok(Greeting::Certificate(Shown { common_name: None, alternative_names, is_trusted: true }))
}

fn exchange(site: Response, control: Option<Response>) -> Exchange {
    Exchange { site: Ok(site), control: control.map(Ok) }
}

fn https(names: &[&str], exchange: Exchange) -> Seen {
    Seen { greeting: shown(names), https: Some(exchange), http: Err(NotTried::Refused) }
}

fn http(exchange: Exchange) -> Seen {
    Seen { greeting: Err(NotTried::Refused), https: None, http: Ok(exchange) }
}

fn verdict(seen: &Seen, front: Option<&Response>) -> Verdict {
    judge(DOMAIN, seen, front).verdict
}

#[test]
fn a_server_with_the_certificate_that_answers_is_exposed() {
    for names in [&["www.example.com"][..], &["*.example.com"], &["example.net", "WWW.Example.com"]] {
        assert_eq!(verdict(&https(names, exchange(answer(200, &[]), None)), None), Verdict::Exposed, "{names:?}");
    }
    // Nobody vouches for it: still the site.
    let mut seen = https(&["www.example.com"], exchange(answer(301, &[]), None));
    if let Ok(Greeting::Certificate(shown)) = &mut seen.greeting {
        shown.is_trusted = false;
    }
    assert_eq!(verdict(&seen, None), Verdict::Exposed);
}

#[test]
fn names_in_certificates_are_compared_by_labels() {
    for names in [&["*.com"][..], &["example.com"], &["*.www.example.com"], &["*.example.com.example.net"], &[]] {
        let seen = https(names, exchange(answer(200, &[]), Some(answer(200, &[]))));
        assert_eq!(verdict(&seen, None), Verdict::Unclear, "{names:?}");
    }
}

#[test]
fn a_server_that_refuses_is_not_exposed() {
    for status in [403, 421] {
        let seen = https(&[DOMAIN], exchange(answer(status, &[]), None));
        assert_eq!(verdict(&seen, None), Verdict::NotExposed, "{status}");
        assert_eq!(verdict(&seen, Some(&answer(200, &[]))), Verdict::NotExposed, "{status}");
    }
    // The certificate of the client is missing, or the name is unknown.
    let mut seen = https(&[DOMAIN], Exchange { site: Err(NotTried::BadAnswer), control: None });
    assert_eq!(verdict(&seen, None), Verdict::NotExposed);
    seen.greeting = Ok(Greeting::Alert);
    assert_eq!(verdict(&seen, None), Verdict::NotExposed);
    seen.greeting = Err(NotTried::BadAnswer);
    assert_eq!(verdict(&seen, None), Verdict::NotExposed);
}

#[test]
fn a_server_that_answers_the_domain_otherwise_than_others_is_exposed() {
    let site = answer(200, &[("last-modified", "Mon, 02 Nov 2026 00:00:00 GMT")]);
    assert_eq!(verdict(&http(exchange(site.clone(), Some(answer(404, &[])))), None), Verdict::Exposed);
    assert_eq!(verdict(&http(exchange(site.clone(), Some(answer(200, &[])))), None), Verdict::Exposed);
    let hangs_up = Exchange { site: Ok(site.clone()), control: Some(Err(NotTried::BadAnswer)) };
    assert_eq!(verdict(&http(hangs_up), None), Verdict::Exposed);
    let silent = Exchange { site: Ok(site), control: Some(Err(NotTried::Timeout)) };
    assert_eq!(verdict(&http(silent), None), Verdict::Unclear);
}

#[test]
fn redirects_of_every_name_tell_nothing() {
    let redirect = |host: &str| answer(301, &[("location", &format!("https://{host}/"))]);
    let alike = http(exchange(redirect(DOMAIN), Some(redirect(CONTROL))));
    assert_eq!(verdict(&alike, None), Verdict::NotExposed);
    let knows = http(exchange(redirect(DOMAIN), Some(answer(404, &[]))));
    assert_eq!(verdict(&knows, None), Verdict::Exposed);
}

#[test]
fn the_front_tells_a_site_from_another() {
    let tagged = |tag: &str| answer(200, &[("etag", tag)]);
    let alike = |tag: &str| http(exchange(tagged(tag), Some(tagged(tag))));
    assert_eq!(verdict(&alike("\"a\""), Some(&tagged("W/\"a\""))), Verdict::Exposed);
    assert_eq!(verdict(&alike("\"b\""), Some(&tagged("\"a\""))), Verdict::NotExposed);
    assert_eq!(verdict(&alike("\"b\""), Some(&answer(404, &[]))), Verdict::NotExposed);
    assert_eq!(verdict(&alike("\"b\""), Some(&answer(200, &[]))), Verdict::Unclear);
    assert_eq!(verdict(&alike("\"b\""), None), Verdict::Unclear);
}

#[test]
fn an_error_is_no_site_but_may_be_of_one() {
    let error = || answer(502, &[]);
    assert_eq!(verdict(&https(&[DOMAIN], exchange(error(), None)), None), Verdict::Unclear);
    assert_eq!(verdict(&https(&["example.net"], exchange(error(), Some(error()))), None), Verdict::NotExposed);
}

#[test]
fn closed_ports_are_closed() {
    for why in [NotTried::Timeout, NotTried::Refused, NotTried::Unreachable] {
        let seen = Seen { greeting: Err(why), https: None, http: Err(why) };
        assert_eq!(verdict(&seen, None), Verdict::Closed);
    }
    let seen = Seen { greeting: Err(NotTried::NotBuiltIn), https: None, http: Err(NotTried::NotBuiltIn) };
    assert_eq!(verdict(&seen, None), Verdict::NotTried);
}

#[test]
fn what_servers_say_does_not_reach_the_terminal_raw() {
    let seen = http(exchange(answer(200, &[("server", "a\u{1b}[2Jb\u{9b}c")]), None));
    let text = judge(DOMAIN, &seen, None).evidence.join(" ");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
