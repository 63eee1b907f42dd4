//! Where Spark's `--conf key=value` options go in a container.

use std::borrow::Cow;

use crate::inject::annotations::Wishes;
use crate::inject::changes::Group;
use crate::inject::place::{containers, is_chosen};
use crate::inject::pod::{Container, Spec, Text};
use crate::inject::settings::Settings;

/// The container of drivers that Spark itself makes.
/// <https://spark.apache.org/docs/latest/running-on-kubernetes.html#container-spec>
const DRIVER: &str = "spark-kubernetes-driver";
/// Programs that take `--conf`.
/// <https://spark.apache.org/docs/latest/submitting-applications.html>
const LAUNCHERS: [&str; 5] = [
    "pyspark",
    "spark-shell",
    "spark-sql",
    "spark-submit",
    "sparkR",
];
/// The first argument of the entrypoint of Spark's image that makes it start `spark-submit` with all that follow.
/// <https://github.com/apache/spark/blob/master/resource-managers/kubernetes/docker/src/main/dockerfiles/spark/entrypoint.sh>
const DRIVER_ARGUMENT: &str = "driver";
/// Programs that read a text as a script, and would take options before it for their own.
const SHELLS: [&str; 6] = ["ash", "bash", "dash", "ksh", "sh", "zsh"];
/// An option of Spark, and its short form.
pub(super) const OPTIONS: [&str; 2] = ["--conf", "-c"];

/// A place for options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the command, before this element.
    Command(usize),
    /// In the arguments, before this element.
    Args(usize),
}

/// The containers that run Spark: those that the pod's annotation names, else Spark's own driver, else the only one.
/// `None`: nobody can tell.
pub(super) fn runners<'a>(
    spec: &'a Spec<'a>,
    wishes: &Wishes<'a>,
    settings: &Settings,
) -> Option<Vec<(Group, usize)>> {
    let chosen =
        || containers(spec).filter(|(_, _, container)| is_chosen(container, wishes, settings));
    let place = |(group, index, _): (Group, usize, &Container<'_>)| (group, index);
    let found: Vec<_> = if wishes.containers.is_some() {
        chosen().map(place).collect()
    } else if let Some(driver) = chosen().find(|(_, _, container)| container.name == *DRIVER) {
        vec![place(driver)]
    } else {
        let mut main = chosen().filter(|(group, _, _)| *group == Group::Main);
        let only = main.next().filter(|_| main.next().is_none());
        only.map(place).into_iter().collect()
    };
    (!found.is_empty()).then_some(found)
}

/// Where options go: behind the launcher, or else before all arguments, never behind those of the application. `None`: a
/// shell starts whatever there is.
pub(super) fn place(container: &Container<'_>) -> Option<Place> {
    let command = container.command.as_deref().unwrap_or_default();
    let args = container.args.as_deref().unwrap_or_default();
    if let Some(index) = command.iter().position(is_launcher) {
        return Some(Place::Command(index + 1));
    }
    if args.first().is_some_and(|first| *first == *DRIVER_ARGUMENT) {
        return Some(Place::Args(1));
    }
    if let Some(index) = args.iter().position(is_launcher) {
        return Some(Place::Args(index + 1));
    }
    let program = command.first().or(args.first());
    let is_shell = |program: &Text<'_>| SHELLS.contains(&base_name(program));
    (!program.is_some_and(is_shell)).then_some(Place::Args(0))
}

/// The value that the container gives a configuration key already.
pub(super) fn own_value<'a>(container: &'a Container<'a>, key: &str) -> Option<&'a str> {
    let lists = [&container.command, &container.args];
    let mut found = None;
    for list in lists.into_iter().flatten() {
        let texts = list.iter().map(Text::as_str);
        let after = list.iter().skip(1).map(Text::as_str);
        let separate = texts
            .clone()
            .zip(after)
            .filter(|(option, _)| OPTIONS.contains(option))
            .map(|(_, value)| value);
        let [option, _] = OPTIONS;
        let joined = texts.filter_map(|text| text.strip_prefix(option)?.strip_prefix('='));
        let values = separate.chain(joined);
        found = found.or_else(|| {
            values
                .filter_map(|value| value.strip_prefix(key)?.strip_prefix('='))
                .next_back()
        });
    }
    found
}

/// Puts options into a list.
pub(super) fn insert<'a>(list: &mut Vec<Cow<'a, str>>, at: usize, options: Vec<Cow<'a, str>>) {
    let at = at.min(list.len());
    list.splice(at..at, options);
}

fn is_launcher(program: &Text<'_>) -> bool {
    LAUNCHERS.contains(&base_name(program))
}

fn base_name<'a>(program: &'a Text<'_>) -> &'a str {
    let path = program.as_str();
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
