//! A file over HTTPS: nginx sends, curl receives.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::lab::DAEMON_TIMEOUT;
use super::{Contestant, ContestantError, Job, Lab, Measurement};
use crate::netns::Side;
use crate::process::{ProcessError, Program, is_installed};

/// The cipher suite of both ends.
const SUITE: &str = "TLS_AES_128_GCM_SHA256";
/// nginx is outside the ordinary user's search path on Debian.
const NGINX_PATHS: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];

/// nginx with a configuration, a certificate and directories of its own.
#[derive(Debug, Default)]
pub struct Nginx {
    nginx: PathBuf,
}

impl Nginx {
    fn directory(lab: &Lab) -> PathBuf {
        lab.config_dir.join("nginx")
    }
}

impl Contestant for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn settings(&self) -> String {
        format!("HTTPS, TLS 1.3 {SUITE}, sendfile on, fetched by curl to a file, no sync")
    }

    fn prepare(&mut self, lab: &Lab) -> Result<(), ContestantError> {
        if !is_installed("curl".as_ref()) {
            return Err(ProcessError::NotInstalled("curl".to_owned()).into());
        }
        let nginx = NGINX_PATHS.iter().find(|path| is_installed(path.as_ref()));
        self.nginx = nginx.ok_or_else(|| ProcessError::NotInstalled("nginx".to_owned()))?.into();
        let directory = Self::directory(lab);
        fs::create_dir_all(&directory).map_err(ContestantError::files("make", &directory))?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        for (name, text) in [("certificate.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())] {
            let path = directory.join(name);
            fs::write(&path, text).map_err(ContestantError::files("write", &path))?;
        }
        Ok(())
    }

    fn run(&mut self, lab: &Lab, job: &Job) -> Result<Measurement, ContestantError> {
        let (Job::Files { source, bytes, into }, Some(name)) = (job, job_file_name(job)) else {
            return Err(ContestantError::NotItsJob { contestant: self.name().to_owned() });
        };
        let endpoint = lab.bed.free_endpoint(Side::Source);
        let endpoint = endpoint.map_err(ContestantError::files("find a free port on", "loopback".as_ref()))?;
        let directory = Self::directory(lab);
        let config = directory.join("nginx.conf");
        let root = source.parent().unwrap_or(Path::new("/"));
        let text = nginx_config(&directory, root, &endpoint);
        fs::write(&config, text).map_err(ContestantError::files("write", &config))?;
        let mut run = lab.begin();
        let daemon = Program::new(&self.nginx).arg("-e").arg(directory.join("error.log")).arg("-c").arg(&config);
        let mut daemon = run.start(Side::Source, &daemon)?;
        daemon.wait_until_listening(endpoint.port(), DAEMON_TIMEOUT)?;
        run.start_clock()?;
        let client = Program::new("curl").args(["-q", "-k", "-s", "-S", "-f", "--tls13-ciphers", SUITE, "-o"]);
        let client = client.arg(into.join(name)).arg(format!("https://{endpoint}/{name}"));
        let mut client = run.start(Side::Destination, &client)?;
        run.finish(&mut client)?;
        let seconds = run.seconds();
        run.end(*bytes, seconds, vec![daemon])
    }
}

/// The name of the file of a job for one file; nginx has no answer to directories.
fn job_file_name(job: &Job) -> Option<&str> {
    match job {
        Job::Files { source, .. } if source.is_file() => source.file_name()?.to_str(),
        _ => None,
    }
}

fn nginx_config(directory: &Path, root: &Path, endpoint: &SocketAddr) -> String {
    let (directory, root) = (directory.display(), root.display());
    // The run's own directories are readable for the user alone; as root the workers must stay root to read them.
    let user = if nix::unistd::geteuid().is_root() { "user root;\n" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path \"{directory}/{kind}\";\n"))
        .collect();
    format!(
        "{user}daemon off;\nworker_processes auto;\npid \"{directory}/nginx.pid\";\n\
         error_log \"{directory}/error.log\";\nevents {{}}\nhttp {{\n{temporary}  access_log off;\n\
         \x20 sendfile on;\n  tcp_nopush on;\n  types {{}}\n  default_type application/octet-stream;\n\
         \x20 server {{\n    listen {endpoint} ssl;\n    root \"{root}\";\n\
         \x20   ssl_certificate \"{directory}/certificate.pem\";\n    ssl_certificate_key \"{directory}/key.pem\";\n\
         \x20   ssl_protocols TLSv1.3;\n    ssl_conf_command Ciphersuites {SUITE};\n  }}\n}}\n"
    )
}
