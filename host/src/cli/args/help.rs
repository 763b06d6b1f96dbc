//! The examples and exit codes at the end of each command's `--help`.

use crate::cli::exit::EXIT_CODES;

pub(super) const MAIN: &str = "  wirehaul recv --dir inbox             on one host: prints a ticket
  wirehaul send photos/ wh1...          on the other, with that ticket
  wirehaul scan 192.168.1.0/24 -p 22    who listens on a port
  wirehaul cdn www.example.com          whose edge it is, if it is one
  wirehaul send --help                  more about a command";

pub(super) const SEND: &str =
    "  wirehaul send report.pdf photos/ wh1...           with the ticket that `wirehaul recv` printed
  wirehaul send --rate 800mbit backup.tar wh1...    leaving room for others
  wirehaul send logs/ backup.example                to a host whose key you trust
  wirehaul send --transport xdp big.tar wh1...      past the kernel: see `wirehaul doctor`
  wirehaul send --generate 10gib wh1...             how fast is it? to `wirehaul recv --discard`
  wirehaul send --tui photos/ wh1...                on a screen of its own: ? shows its keys";

pub(super) const RECV: &str = "  wirehaul recv                                 into this directory, until interrupted
  wirehaul recv --dir inbox --once              one transfer
  wirehaul recv --listen 192.0.2.1:9000         on one address and port
  wirehaul recv --advertise 203.0.113.5:7420    behind a NAT that forwards that port
  wirehaul recv --discard                       for a speed test, with `wirehaul send --generate`
  wirehaul recv --dir inbox --tui               on a screen of its own: ? shows its keys";

pub(super) const SERVE: &str = "  wirehaul serve --config serve.toml                   until it is stopped
  wirehaul serve --config serve.toml --check-config    is it right, and who may do what?
  wirehaul serve --config serve.toml --tui             on a screen of its own: ? shows its keys
  systemctl reload wirehaul                            after a change of /etc/wirehaul/serve.toml

A configuration; all but a directory may be left out:
  dir = \"/srv/inbox\"
  overwrite = false             # replace files that differ
  listen = \"[::]:7420\"
  transport = \"auto\"            # or xdp, xdp-copy, xdp-skb, udp; iface = \"eth0\" names the card
  io = \"auto\"                   # or uring, sync
  rate = \"2gbit\"                # of all together; left out: as fast as they can
  quota = \"1tib\"                # what each directory may hold; left out: what the disk holds
  max_transfers = 1024
  drain = \"30s\"                 # how long transfers go on after SIGTERM
  metrics = \"127.0.0.1:7421\"    # for Prometheus; false for none
  log = \"text\"                  # or json
  user = \"wirehaul\"             # left out: whoever starts it

  [peers.backup]                # left out: the values above, for every key that is trusted
  key = \"whk1...\"
  dir = \"/srv/backup\"
  quota = \"100gib\"
  rate = \"500mbit\"

Hosts are let in by their keys: those in the configuration, and those of `wirehaul key trust`
on this host. SIGHUP reads both again, SIGTERM drains, SIGTERM again and SIGINT interrupt.";

pub(super) const KEY: &str =
    "  wirehaul key show                             this host's public key, for others to trust
  wirehaul key trust backup.example whk1...     from now on, the host of that name has this key
  wirehaul key new --force                      a new key, after the old one became known";

pub(super) const DOCTOR: &str = "  wirehaul doctor                         the interface of the default route
  wirehaul doctor --iface eth0            this one
  wirehaul doctor --iface eth0 --json     a JSON line for each point that is looked at

It only looks, and changes nothing. It exits with 0 where AF_XDP will work on at least one of the
interfaces that were looked at, and with 4 where it will on none.";

pub(super) const TOPO: &str =
    "  wirehaul topo                           nodes, cards, and where packets would be worked on
  wirehaul topo --iface eth0 --json       one card; a JSON line for each node, card and place
  wirehaul topo --numa-node 1             what --numa-node 1 would do in a transfer
  wirehaul topo --check                   try it: threads and memory on every node
  wirehaul topo --synthetic \"pack:2 [numa(memory=32GB)] core:4 pu:2\"
  ssh server lstopo --of xml - | wirehaul topo --xml -

It only looks, and changes nothing (--check takes some megabytes of each node for a moment). What is not at its best place is marked with `!`.";

pub(super) const SCAN: &str = "  wirehaul scan 192.168.1.0/24 -p 22,80,443             who listens there
  wirehaul scan 10.0.0.0/8 -p icmp -o alive.csv         who answers to echo requests
  wirehaul scan fd00::/120 -p 1-1024,udp:53,123         IPv6, and UDP
  wirehaul scan -f hosts.txt --exclude-file no.txt -p 443 --rate 50k -o out.parquet
  wirehaul scan 192.168.1.0/24 -p 22 --dry-run | head   what would be sent, in which order
  wirehaul scan 10.0.0.0/8 -p 80 --shard 2/7 --seed 1 -o part2.jsonl
  wirehaul scan 10.0.0.0/8 -p 80 -o out.jsonl --resume out.jsonl.checkpoint
  wirehaul scan 203.0.113.0/24 -p 443 --allow-file ours.txt --contact noc@example.net
  wirehaul scan 10.0.0.0/16 -p 443 -o out.csv --tui       on a screen of its own

Columns of text: address, port, class (open or alive; with --show all also closed, filtered,
unreachable and time-exceeded), and whose CDN edge it is. Private addresses are asked when they are
named. Public ones are asked only if an allow-list has them:
  owner: Example Ltd
  authorisation: ticket 4711, Jane Doe
  expires: 2026-12-31
  198.51.100.0/24

It needs the privileges to send packets of its own: run it as root, or give the program
CAP_NET_RAW and CAP_NET_ADMIN. --dry-run needs none.";

pub(super) const CDN: &str = "  wirehaul cdn 104.16.0.1 www.example.com         an address, and a name with its aliases
  wirehaul cdn --explain https://example.com/     with what speaks for it, who says so and when
  wirehaul cdn --probe all example.com:8443       ask DNS, a web server and for a certificate
  wirehaul cdn --ranges 104.0.0.0/8               which parts of a prefix are whose
  wirehaul cdn --json < addresses.txt             a line of JSON for each, as fast as they come
  wirehaul cdn --asn-db GeoLite2-ASN.mmdb -f hosts.txt
  wirehaul cdn update --from ip-ranges.json --db facts && wirehaul cdn --db facts 3.164.1.1

Columns: what was asked, provider, kind (cdn, waf or cloud), probability, network, which signals
speak for it, and the address of a name. Without --probe names are looked up in DNS, and nobody
else is contacted. Empty lines and those that begin with # are left out. A line that is no item
gets a row that says so; the others go on, and the exit code is 1.";

pub(super) const CDN_UPDATE: &str =
    "It reads files and fetches none. Providers publish these; what each is is told by its content:
  Amazon CloudFront   ip-ranges.json of AWS
  Google Cloud CDN    cloud.json of Google Cloud
  Azure Front Door    ServiceTags_Public_DATE.json of Azure
  Cloudflare          ips-v4 and ips-v6, or the answer of its API at client/v4/ips
  Fastly              the answer of its API at public-ip-list
  any other           a list of prefixes, a line each; the file's name says whose it is: imperva.txt, gcore-v6.txt

Examples:
  wirehaul cdn update --from ip-ranges.json cloud.json --db facts
  wirehaul cdn update --from downloads/ --db facts     every file in a folder
  wirehaul cdn --db facts 3.164.1.1

The new folder is checked before it takes the place of the old one, at once. A list that is empty or
has lost more than a fifth of its addresses is refused, and nothing changes.";

pub(super) const ORIGIN: &str =
    "  wirehaul origin www.example.com --owned 198.51.100.0/24      could the origin be in there?
  wirehaul origin www.example.com --owned 198.51.100.7         does this address give it away?
  wirehaul origin www.example.com --owned 198.51.100.0/24 2001:db8::/48 --probe-front --json

Candidates are the addresses of the domain and of common names next to it, its mail hosts, its
SPF record, and what answers name: redirects, headers that leak, names in certificates. Only
addresses inside --owned are contacted, each with a few TLS handshakes and HEAD requests to /;
with --probe-front also one edge of the CDN, and with --rdap the registry's service.

It exits with 0 where no address gives the site away, and with 1 where one does or may, or where
the domain cannot be looked up.";

pub(super) const COMPLETIONS: &str = "  wirehaul completions bash > ~/.local/share/bash-completion/completions/wirehaul
  wirehaul completions zsh > ~/.zfunc/_wirehaul         a directory of fpath, before compinit runs
  wirehaul completions fish > ~/.config/fish/completions/wirehaul.fish

The Debian package brings all three.";

pub(super) const MAN: &str = "  wirehaul man | man -l -                         the main page
  wirehaul man --dir ~/.local/share/man/man1      all of them, for man wirehaul-send and so on

The Debian package brings them.";

/// The end of a command's help.
pub(super) fn ending(examples: &str) -> String {
    format!("Examples:\n{examples}\n\n{EXIT_CODES}")
}
