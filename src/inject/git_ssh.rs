//! The environment in which git finds the private key of a secret of kind `git-ssh`.
//!
//! ssh wants a key file that only its user can read. A Secret volume cannot give that to everybody: `fsGroup` turns mode
//! 0400 into 0440, which ssh refuses for root, and a root-owned 0400 file is unreadable for others. So each call of ssh
//! works on a private copy (`mktemp` makes it 0600) in a memory-backed emptyDir, which also holds the `known_hosts` that
//! ssh writes, so that it works on a read-only root file system too.
//!
//! git runs the value of `GIT_SSH_COMMAND` in a shell and appends `"$@"`: hence a shell function. Kubernetes expands
//! `$(NAME)` in values and turns `$$` into `$`; the command holds neither.
//! <https://git-scm.com/docs/git#Documentation/git.txt-codeGITSSHCOMMANDcode>

use super::secret::Secret;

/// Names of the data key that holds the private key: Konduktor's, then that of type `kubernetes.io/ssh-auth`.
pub const KEY_NAMES: [&str; 2] = ["gitkey", "ssh-privatekey"];
/// Data key that holds the host keys to trust.
pub const KNOWN_HOSTS: &str = "known_hosts";

/// Where the Secret is mounted.
pub const KEY_FOLDER: &str = "/run/konduktor/git-ssh-secret";
/// The key's file name there.
pub const KEY_FILE: &str = "gitkey";
/// Where the emptyDir for private copies is mounted.
pub const WORK_FOLDER: &str = "/run/konduktor/git-ssh-work";
/// The emptyDir's volume name.
pub const WORK_VOLUME: &str = "keyporter-git-ssh-work";
/// Mode of the files of the Secret volume: readable for whatever user the container runs as.
pub const KEY_MODE: u32 = 0o444;

/// The variable with the command.
pub const COMMAND_VARIABLE: &str = "GIT_SSH_COMMAND";
/// The older variable that names a program only. A container that sets it has an ssh of its own.
pub const PROGRAM_VARIABLE: &str = "GIT_SSH";
/// The variable that tells git which options its ssh knows; it cannot guess that from a shell function.
pub const VARIANT_VARIABLE: &str = "GIT_SSH_VARIANT";
/// The value of [`VARIANT_VARIABLE`].
pub const VARIANT: &str = "ssh";

/// With known hosts in the secret: those and no others.
const COMMAND_STRICT: &str = concat!(
    "keyporter_ssh() { ",
    "key=`mktemp -p /run/konduktor/git-ssh-work` || return 1; ",
    "trap 'rm -f \"$key\"' EXIT; ",
    "{ cat /run/konduktor/git-ssh-secret/gitkey; echo; } > \"$key\" && ",
    "ssh -i \"$key\" -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes ",
    "-o UserKnownHostsFile=/run/konduktor/git-ssh-secret/known_hosts -o GlobalKnownHostsFile=/dev/null \"$@\"; ",
    "}; keyporter_ssh",
);

/// Without: a host's key is remembered at first sight, and a changed one is refused.
const COMMAND_ACCEPT_NEW: &str = concat!(
    "keyporter_ssh() { ",
    "key=`mktemp -p /run/konduktor/git-ssh-work` || return 1; ",
    "trap 'rm -f \"$key\"' EXIT; ",
    "{ cat /run/konduktor/git-ssh-secret/gitkey; echo; } > \"$key\" && ",
    "ssh -i \"$key\" -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new ",
    "-o UserKnownHostsFile='/run/konduktor/git-ssh-work/known_hosts ~/.ssh/known_hosts' \"$@\"; ",
    "}; keyporter_ssh",
);

/// The value of `GIT_SSH_COMMAND` for this secret.
#[must_use]
pub fn command(secret: &Secret) -> &'static str {
    if secret.has_key(KNOWN_HOSTS) {
        COMMAND_STRICT
    } else {
        COMMAND_ACCEPT_NEW
    }
}

/// The data key that holds the private key.
#[must_use]
pub fn key_name(secret: &Secret) -> &'static str {
    KEY_NAMES
        .into_iter()
        .find(|name| secret.has_key(name))
        .unwrap_or(KEY_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_expands_nothing_in_the_commands() {
        for command in [COMMAND_STRICT, COMMAND_ACCEPT_NEW] {
            assert!(
                !command.contains("$$") && !command.contains("$("),
                "{command}"
            );
            assert!(
                command.contains(KEY_FOLDER)
                    && command.contains(WORK_FOLDER)
                    && command.contains(KEY_FILE)
            );
        }
    }
}
