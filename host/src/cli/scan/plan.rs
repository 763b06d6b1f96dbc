//! From the command line to what will be done: whom to ask, in which order, and whether that may be.

#[cfg(target_os = "linux")]
use std::collections::HashMap;
#[cfg(target_os = "linux")]
use std::net::IpAddr;

use wirehaul_core::cdn::Date;
use wirehaul_core::scan::policy::{self, Circumstances};
use wirehaul_core::scan::{AllowList, Cap, Course, CourseError, Refusal, Refused, Shard, Targets};

use super::names::{self, Collapsed, NameError, Resolved};
use crate::cdn::day::day_of_unix;
use crate::cli::args::scan::ScanArgs;
use crate::cli::exit::Exit;
use crate::clock::unix_seconds;
use crate::crypto::NoRandomness;
use crate::scan::cdn::list_version;
use crate::scan::checkpoint::{Checkpoint, CheckpointError, Identity};
use crate::scan::metadata::{Allowed, Asked, Digest};
use crate::scan::{Addresses, AllowFile, ExcludeFiles, ExpressionError, FileError, TargetList, TargetRuns};
use crate::units::{format_cap, format_rate};

/// Packets a second that are reckoned with where there is no cap on them, to spread retries.
const RECKONED_RATE: u64 = 1_000_000;
/// Bytes of a frame that are reckoned with where the cap is on bits.
const RECKONED_BYTES: u64 = 74;

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error("`{text}`: {reason}")]
    Target { text: String, reason: ExpressionError },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0}")]
    Refused(Refused),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{0}; give fewer addresses, fewer ports, or a shard of them")]
    Course(CourseError),
    #[error("there is no shard {shard}: {elements} probes are fewer than that")]
    EmptyShard { shard: Shard, elements: u128 },
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error("this machine's clock is beyond the year 9999; set it, since allow-lists expire")]
    NoDay,
}

impl PlanError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::File(FileError::Read { .. }) | Self::Checkpoint(CheckpointError::Read { .. }) => Exit::Failed,
            Self::Name(_) | Self::NoRandomness(_) | Self::NoDay => Exit::Failed,
            Self::Refused(_) => Exit::Refused,
            Self::Target { .. } | Self::File(_) | Self::Checkpoint(_) => Exit::Usage,
            Self::Course(_) | Self::EmptyShard { .. } => Exit::Usage,
        }
    }
}

/// What will be done.
#[derive(Debug)]
pub(super) struct Plan {
    runs: TargetRuns,
    /// The way through all of it.
    pub course: Course,
    /// Where it goes on from, if it does.
    pub resumed: Option<Checkpoint>,
    /// Names that are not asked, since another one is the same edge.
    pub collapsed: Vec<Collapsed>,
    /// For metadata and audit.
    pub asked: Asked,
    /// What a dry run does without.
    #[cfg(target_os = "linux")]
    pub sending: Sending,
}

/// What only a survey that is sent has to know: nothing is sent but on Linux.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Sending {
    /// Whom to ask, what is excluded left out.
    pub addresses: Addresses,
    /// What is excluded, and the files that say so, to be read again.
    pub excluded: ExcludeFiles,
    /// What makes it this scan and no other.
    pub identity: Identity,
    /// Which part of it.
    pub shard: Shard,
    /// Which address is from which name.
    pub names: HashMap<IpAddr, String>,
}

impl Plan {
    /// Reads all that is named, looks names up, and asks the policy. `is_loopback`: packets will leave through `lo`.
    pub(super) fn make(args: &ScanArgs, is_loopback: bool) -> Result<Self, PlanError> {
        let excluded = ExcludeFiles::read(args.exclude_file.iter().cloned())?;
        let allow_files = args.allow_file.iter().map(|path| AllowFile::read(path)).collect::<Result<Vec<_>, _>>()?;
        let (named, resolved) = targets_of(args)?;
        let left = named.minus(excluded.addresses());
        let runs = TargetRuns::of(&left);
        let targets = runs.targets();
        let has_public = decide(&targets, &allow_files, is_loopback)?;
        let resumed = args.resume.as_deref().map(Checkpoint::read).transpose()?;
        let shard = args.shard.or_else(|| Shard::parse(&resumed.as_ref()?.identity.shard).ok()).unwrap_or(Shard::WHOLE);
        let seed = match args.seed.or_else(|| Some(resumed.as_ref()?.identity.seed)) {
            Some(seed) => seed,
            None => u64::from_le_bytes(crate::crypto::random_bytes()?),
        };
        let attempts = args.retries.saturating_add(1);
        let spacing = resumed.as_ref().map_or_else(|| spacing(args), |checkpoint| checkpoint.identity.spacing);
        // Both fit: 2^128 - 1 addresses stand for more, which no course has.
        let elements = targets.addresses().saturating_mul(args.ports.probes.len() as u128);
        let course = Course::new(elements, seed, shard, attempts, spacing).map_err(PlanError::Course)?;
        if course.elements() == 0 {
            return Err(PlanError::EmptyShard { shard, elements });
        }
        let digest = digest_of(&left);
        let identity = Identity {
            targets: digest.blake3.clone(),
            ports: digest_of_ports(args),
            seed,
            shard: shard.to_string(),
            attempts,
            spacing,
        };
        if let (Some(checkpoint), Some(path)) = (&resumed, &args.resume) {
            checkpoint.check(&identity, path)?;
        }
        let started_unix = resumed.as_ref().map_or_else(unix_seconds, |checkpoint| checkpoint.started_unix);
        let scan_id = args.scan_id.clone().or_else(|| Some(resumed.as_ref()?.scan_id.clone()));
        let asked = Asked {
            scan_id: scan_id.unwrap_or_else(|| id_of(&identity)),
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            targets: digest,
            exclusions: digest_of(excluded.addresses()),
            has_public,
            allowed: allow_files.iter().map(allowed).collect(),
            ports: args.ports.text.clone(),
            ports_blake3: identity.ports.clone(),
            probes: args.ports.probes.len() as u64,
            seed,
            shard: identity.shard.clone(),
            attempts,
            rate: format_cap(args.rate),
            subnet_rate: format_cap(args.subnet_rate),
            contact: args.contact.clone(),
            list_version: args.detects_edges().then(|| list_version().to_owned()),
            skips_edges: args.skip_cdn,
            format: args.format().name(),
            started_unix,
        };
        Ok(Self {
            runs,
            course,
            resumed,
            collapsed: resolved.collapsed,
            asked,
            #[cfg(target_os = "linux")]
            sending: Sending { addresses: left, excluded, identity, shard, names: resolved.names },
        })
    }

    /// Whom to ask.
    pub(super) fn targets(&self) -> Targets<'_> {
        self.runs.targets()
    }

    /// What will be done, at most how fast, and how to do the same again: a line that is said before it begins.
    pub(super) fn in_words(&self, args: &ScanArgs) -> String {
        let per_second = |rate: Cap| match rate {
            Cap::Packets(packets) => format!("{packets} packets/s"),
            Cap::Bits(rate) => format_rate(rate),
            Cap::Unlimited => "as much as goes".to_owned(),
        };
        let from = match self.resumed {
            Some(_) => format!(", from step {} of {} on", self.from(), self.course.steps()),
            None => String::new(),
        };
        let addresses = match self.asked.targets.addresses {
            1 => "1 address".to_owned(),
            addresses => format!("{addresses} addresses"),
        };
        let probes = match self.asked.probes {
            1 => "1 probe".to_owned(),
            probes => format!("{probes} probes"),
        };
        format!(
            "{addresses}, {probes} each, shard {}, seed {}{from}; at most {}, {} to a /24 or /48",
            self.asked.shard,
            self.asked.seed,
            per_second(args.rate),
            per_second(args.subnet_rate),
        )
    }

    /// The step to go on from.
    pub(super) fn from(&self) -> u64 {
        self.resumed.as_ref().map_or(0, |checkpoint| checkpoint.done_before)
    }
}

/// All that is named, on the command line and in files, with the names among it looked up.
fn targets_of(args: &ScanArgs) -> Result<(Addresses, Resolved), PlanError> {
    let mut listed = TargetList::default();
    for text in &args.targets {
        listed.add(text).map_err(|reason| PlanError::Target { text: text.clone(), reason })?;
    }
    args.targets_file.iter().try_for_each(|path| listed.read(path))?;
    let resolved = names::resolve(&listed.names, args.detects_edges() && !args.ignore_cdn_detection)?;
    let mut spans = listed.spans;
    resolved.names.keys().for_each(|ip| spans.push_ip(*ip));
    Ok((spans.joined(), resolved))
}

/// Asks the policy. Returns whether public addresses are among the targets.
fn decide(targets: &Targets<'_>, files: &[AllowFile], is_loopback: bool) -> Result<bool, PlanError> {
    let today: Date = day_of_unix(unix_seconds()).ok_or(PlanError::NoDay)?;
    let allowed: Vec<AllowList<'_>> = files.iter().map(AllowFile::list).collect();
    policy::decide(targets, &Circumstances { allowed: &allowed, today, is_loopback }).map_err(PlanError::Refused)?;
    // What would be refused without a list is public.
    let without = policy::decide(targets, &Circumstances { allowed: &[], today, is_loopback });
    Ok(without.is_err_and(|refused| refused.refusal == Refusal::NoAllowList))
}

fn allowed(file: &AllowFile) -> Allowed {
    Allowed {
        path: file.path.clone(),
        digest: digest_of(&file.addresses),
        owner: file.owner.clone(),
        authorisation: file.authorisation.clone(),
        expires: file.expires.to_string(),
    }
}

/// Steps between two attempts, so that they are about as far apart as was asked for.
fn spacing(args: &ScanArgs) -> u64 {
    let per_second = match args.rate {
        Cap::Packets(packets) => packets,
        Cap::Bits(rate) => rate.as_bits_per_sec() / (8 * RECKONED_BYTES),
        Cap::Unlimited => RECKONED_RATE,
    };
    let steps = u128::from(args.retry_after.as_nanos()) * u128::from(per_second) / 1_000_000_000;
    u64::try_from(steps).unwrap_or(u64::MAX).max(1)
}

// --- digests ---

/// Of joined spans: the same for every way to write the same addresses.
fn digest_of(addresses: &Addresses) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let mut count = 0_u128;
    hasher.update(b"v4");
    for span in addresses.v4() {
        hasher.update(&span.first.to_be_bytes()).update(&span.last.to_be_bytes());
        count = count.saturating_add(u128::from(span.last - span.first) + 1);
    }
    hasher.update(b"v6");
    for span in addresses.v6() {
        hasher.update(&span.first.to_be_bytes()).update(&span.last.to_be_bytes());
        count = count.saturating_add((span.last - span.first).saturating_add(1));
    }
    Digest { blake3: hasher.finalize().to_hex().to_string(), addresses: count }
}

fn digest_of_ports(args: &ScanArgs) -> String {
    let mut hasher = blake3::Hasher::new();
    for probe in args.ports.probes.iter() {
        hasher.update(probe.protocol.name().as_bytes()).update(&probe.port.to_be_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// A name for a scan without one: the same for all its shards, where they are given the same seed.
fn id_of(identity: &Identity) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(identity.targets.as_bytes()).update(identity.ports.as_bytes()).update(&identity.seed.to_le_bytes());
    hasher.finalize().to_hex().get(..16).unwrap_or_default().to_owned()
}
