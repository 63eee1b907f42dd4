//! keyporter's own image, from `deploy/Dockerfile` and the program of this source tree.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::support::Result;

/// Its name.
pub(crate) const REPOSITORY: &str = "keyporter.test/keyporter";
/// Its tag.
pub(crate) const TAG: &str = "1";

/// Builds it.
pub(crate) const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/image/build.sh");

/// Builds what changed, and shows how far it is.
pub(crate) fn build() -> Result<()> {
    let start = Instant::now();
    let status = Command::new(SCRIPT).stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("{SCRIPT} failed: the image of keyporter is not built").into());
    }
    eprintln!("image ready after {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Where it is, as `docker save` writes it.
pub(crate) fn archive() -> Result<PathBuf> {
    let output = Command::new(SCRIPT).arg("--print-archive").output()?;
    let path = String::from_utf8(output.stdout)?;
    Ok(path.trim().into())
}

/// Builds it once more from the program that is there, into this file.
pub(crate) fn build_again(archive: &Path) -> Result<()> {
    let mut command = Command::new(SCRIPT);
    command.arg("--again").arg(archive).stdout(Stdio::null());
    if command.status()?.success() {
        return Ok(());
    }
    Err(format!("{SCRIPT} failed").into())
}
