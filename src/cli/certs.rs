//! `keyporter certs`: development certificates.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand, value_parser};
use data_encoding::BASE64;
use rustls::pki_types::{InvalidDnsNameError, ServerName};

use crate::certificates::{self, DEFAULT_HOSTS, Outcome};

/// Development certificates: a CA, and a serving certificate that it signed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter certs generate")]
pub(super) struct Certs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(Generate),
}

/// Make what is missing or no longer valid: ca.crt, ca.key, tls.crt, tls.key
///
/// What is still good is kept, the CA above all, since webhook configurations carry it. Prints what was written, and
/// the CA as a webhook configuration takes it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter certs generate
  keyporter certs generate --directory /etc/keyporter/tls --host keyporter.example.com")]
struct Generate {
    /// Where the files go; made if absent
    #[arg(long, value_name = "PATH", default_value = "certs")]
    directory: PathBuf,

    /// A DNS name or IP address the serving certificate is for; may be repeated
    #[arg(long = "host", value_name = "NAME", value_parser = host, default_values = DEFAULT_HOSTS)]
    hosts: Vec<ServerName<'static>>,

    /// How long a new serving certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = value_parser!(u32).range(1..=3650))]
    days: u32,

    /// Make everything anew, whatever is there; who trusts the old CA must be told the new one
    #[arg(long)]
    force: bool,
}

impl Certs {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let Command::Generate(generate) = self.command;
        generate.run()
    }
}

impl Generate {
    fn run(self) -> Result<(), Box<dyn Error>> {
        let validity = Duration::from_hours(u64::from(self.days) * 24);
        let outcome = if self.force {
            certificates::generate(&self.directory, &self.hosts, validity)?
        } else {
            certificates::ensure(&self.directory, &self.hosts, validity)?
        };
        let authority = fs::read(&outcome.authority_certificate)?;
        report(&outcome, &authority, &mut io::stdout().lock())?;
        Ok(())
    }
}

fn report(outcome: &Outcome, authority: &[u8], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{outcome}, valid until {}", outcome.not_after.date())?;
    for path in outcome.written() {
        writeln!(out, "wrote {}", path.display())?;
    }
    writeln!(out, "\nFor clientConfig in a webhook configuration:")?;
    writeln!(out, "caBundle: {}", BASE64.encode(authority))
}

pub(super) fn host(name: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(name.to_owned())
}
