//! What the README shows is what the program prints.

use crate::program::run;

const README: &str = include_str!("../../README.md");
const COMMAND: &str =
    "inject -f deploy/examples/job.yaml --secrets deploy/examples/secrets.yaml --as alice";

#[test]
fn the_readme_shows_what_the_command_prints() {
    assert!(README.contains(&format!("cargo run --release -- {COMMAND}\n")));
    let arguments: Vec<_> = COMMAND.split(' ').collect();
    let shown = run(&arguments);
    assert!(
        README.contains(&format!("```text\n{}```", shown.stderr)),
        "{}",
        shown.stderr
    );
    let printed = shown.printed();
    assert!(
        README.contains(&format!("```yaml\n{printed}```")),
        "{printed}"
    );
}

#[test]
fn the_readme_shows_the_explanation() {
    let mut arguments: Vec<_> = COMMAND.split(' ').collect();
    arguments.extend(["-o", "explain"]);
    let explained = run(&arguments).printed();
    let explained = explained.trim_end();
    assert!(
        README.contains(&format!("```text\n{explained}\n```")),
        "{explained}"
    );
}
