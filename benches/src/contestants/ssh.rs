//! `scp` and `rsync -e ssh` against an sshd of our own, with throwaway keys, AES-128-GCM and no other setting changed.

use std::fs;
use std::path::{Path, PathBuf};

use super::lab::DAEMON_TIMEOUT;
use super::{Contestant, ContestantError, Job, Lab, Measurement};
use crate::netns::Side;
use crate::process::{ProcessError, Program, is_installed};

/// The cipher of both: the fastest that OpenSSH has on this kind of machine.
const CIPHER: &str = "aes128-gcm@openssh.com";
/// sshd insists on being started by its full path; the usual places.
const SSHD_PATHS: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];
/// Where Debian's sshd keeps its unprivileged half; made by its service, which may never have run here.
const PRIVILEGE_SEPARATION_DIR: &str = "/run/sshd";

/// Which program copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copier {
    /// `scp`, with `-r` for a directory.
    Scp,
    /// `rsync -a -e ssh`.
    Rsync,
}

/// A copying program over ssh.
#[derive(Debug)]
pub struct Ssh {
    copier: Copier,
    sshd: PathBuf,
    user: String,
}

impl Ssh {
    /// One that copies with the given program.
    pub fn new(copier: Copier) -> Self {
        Self { copier, sshd: PathBuf::new(), user: String::new() }
    }

    fn directory(&self, lab: &Lab) -> PathBuf {
        lab.config_dir.join(format!("ssh-{}", self.name()))
    }

    /// The options that `ssh` and `scp` share.
    fn client_options(&self, lab: &Lab) -> Vec<String> {
        let key = self.directory(lab).join("user_key");
        let mut options = vec!["-F".to_owned(), "none".to_owned(), "-c".to_owned(), CIPHER.to_owned()];
        options.extend(["-i".to_owned(), key.display().to_string()]);
        let settings = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR"];
        options.extend(settings.iter().flat_map(|setting| ["-o".to_owned(), (*setting).to_owned()]));
        options
    }

    fn client(&self, lab: &Lab, port: u16, source: &Path, target: &str) -> Program {
        match self.copier {
            Copier::Scp => {
                let recursive = source.is_dir().then_some("-r");
                let program = Program::new("scp").arg("-q").args(recursive).args(self.client_options(lab));
                program.args(["-P", &port.to_string()]).arg(source).arg(target)
            }
            Copier::Rsync => {
                let quoted: Vec<String> =
                    self.client_options(lab).into_iter().map(|option| format!("'{option}'")).collect();
                let shell = format!("ssh -p {port} {}", quoted.join(" "));
                Program::new("rsync").args(["-a", "-e", &shell]).arg(source).arg(target)
            }
        }
    }
}

impl Contestant for Ssh {
    fn name(&self) -> &'static str {
        match self.copier {
            Copier::Scp => "scp",
            Copier::Rsync => "rsync",
        }
    }

    fn settings(&self) -> String {
        match self.copier {
            Copier::Scp => format!("OpenSSH, {CIPHER}, no sync"),
            Copier::Rsync => format!("rsync -a over OpenSSH, {CIPHER}, no sync"),
        }
    }

    fn prepare(&mut self, lab: &Lab) -> Result<(), ContestantError> {
        let client = self.name();
        for program in [client, "ssh", "ssh-keygen"] {
            if !is_installed(program.as_ref()) {
                return Err(ProcessError::NotInstalled(program.to_owned()).into());
            }
        }
        let sshd = SSHD_PATHS.iter().find(|path| is_installed(path.as_ref()));
        self.sshd = sshd.ok_or_else(|| ProcessError::NotInstalled("sshd".to_owned()))?.into();
        self.user = user_name();
        let directory = self.directory(lab);
        fs::create_dir_all(&directory).map_err(ContestantError::files("make", &directory))?;
        for key in ["host_key", "user_key"] {
            let path = directory.join(key);
            if path.exists() {
                continue;
            }
            let keygen = Program::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
            keygen.start(&lab.bed, Side::Source, None, &lab.config_dir)?.wait_for_success(DAEMON_TIMEOUT)?;
        }
        if nix::unistd::geteuid().is_root() {
            let path = Path::new(PRIVILEGE_SEPARATION_DIR);
            fs::create_dir_all(path).map_err(ContestantError::files("make", path))?;
        }
        Ok(())
    }

    fn run(&mut self, lab: &Lab, job: &Job) -> Result<Measurement, ContestantError> {
        let Job::Files { source, bytes, into } = job else {
            return Err(ContestantError::NotItsJob { contestant: self.name().to_owned() });
        };
        let endpoint = lab.bed.free_endpoint(Side::Destination);
        let endpoint = endpoint.map_err(ContestantError::files("find a free port on", "loopback".as_ref()))?;
        let config = self.directory(lab).join("sshd_config");
        let text = sshd_config(&self.directory(lab), &endpoint);
        fs::write(&config, text).map_err(ContestantError::files("write", &config))?;
        let mut run = lab.begin();
        let daemon = Program::new(&self.sshd).args(["-D", "-e", "-f"]).arg(&config);
        let mut daemon = run.start(Side::Destination, &daemon)?;
        daemon.wait_until_listening(endpoint.port(), DAEMON_TIMEOUT)?;
        run.start_clock()?;
        let target = format!("{}@{}:{}/", self.user, endpoint.ip(), into.display());
        let mut client = run.start(Side::Source, &self.client(lab, endpoint.port(), source, &target))?;
        run.finish(&mut client)?;
        let seconds = run.seconds();
        run.end(*bytes, seconds, vec![daemon])
    }
}

fn sshd_config(directory: &Path, endpoint: &std::net::SocketAddr) -> String {
    let directory = directory.display();
    format!(
        "ListenAddress {}\nPort {}\nHostKey \"{directory}/host_key\"\n\
         AuthorizedKeysFile \"{directory}/user_key.pub\"\nPermitRootLogin prohibit-password\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n\
         Subsystem sftp internal-sftp\n",
        endpoint.ip(),
        endpoint.port()
    )
}

/// The name of the user that runs the benchmark, who is also the one that logs in.
fn user_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok().flatten().map_or_else(|| "root".to_owned(), |user| user.name)
}
