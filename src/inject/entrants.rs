//! Who may enter the running pods of others, beside those who may act for their owner: the operator names them.
//!
//! Whoever enters a pod reads its secrets, so a name here is exact and stands for somebody in particular: never for
//! everybody.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::str::FromStr;

use thiserror::Error;

use super::everybody::{ANONYMOUS, holds_everybody};

/// Users and groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entrants {
    /// The users.
    pub users: BTreeSet<Username>,
    /// The groups.
    pub groups: BTreeSet<Group>,
}

impl Entrants {
    /// Whether a user with these groups is one of them.
    #[must_use]
    pub fn include(&self, username: &str, groups: &[String]) -> bool {
        self.users.contains(username)
            || groups
                .iter()
                .any(|group| self.groups.contains(group.as_str()))
    }
}

/// The name of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Username(String);

/// The name of a group that does not hold everybody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(String);

/// Why a name is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NobodyInParticular {
    /// No name.
    #[error("a name is not empty")]
    Empty,
    /// The user that stands for all who are not authenticated.
    #[error("{ANONYMOUS} is anybody, and nobody's pods would be their own: name users")]
    Anybody,
    /// A group of everybody.
    #[error(
        "the group {0} holds everybody, and nobody's pods would be their own: name a smaller one, such as \
         system:serviceaccounts:NAMESPACE"
    )]
    Everybody(String),
}

impl FromStr for Username {
    type Err = NobodyInParticular;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            ANONYMOUS => Err(NobodyInParticular::Anybody),
            name if name.trim().is_empty() => Err(NobodyInParticular::Empty),
            name => Ok(Self(name.to_owned())),
        }
    }
}

impl FromStr for Group {
    type Err = NobodyInParticular;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.trim().is_empty() {
            return Err(NobodyInParticular::Empty);
        }
        if holds_everybody(name) {
            return Err(NobodyInParticular::Everybody(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Borrow<str> for Username {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Group {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("oncall")]
    #[case("system:masters")]
    #[case("system:serviceaccounts:vision")]
    fn groups_of_somebody(#[case] name: &str) {
        name.parse::<Group>().unwrap();
    }

    #[rstest]
    #[case("", "a name is not empty")]
    #[case(" ", "a name is not empty")]
    #[case(
        "system:authenticated",
        "the group system:authenticated holds everybody"
    )]
    #[case(
        "system:unauthenticated",
        "the group system:unauthenticated holds everybody"
    )]
    #[case(
        "system:serviceaccounts",
        "the group system:serviceaccounts holds everybody"
    )]
    fn groups_of_everybody(#[case] name: &str, #[case] beginning: &str) {
        let error = name.parse::<Group>().unwrap_err().to_string();
        assert!(error.starts_with(beginning), "{error}");
    }

    #[rstest]
    #[case("", NobodyInParticular::Empty)]
    #[case("system:anonymous", NobodyInParticular::Anybody)]
    fn users_who_are_nobody(#[case] name: &str, #[case] expected: NobodyInParticular) {
        assert_eq!(name.parse::<Username>().unwrap_err(), expected);
    }

    #[rstest]
    #[case::by_name("dora", &[], true)]
    #[case::by_group("eve", &["system:authenticated", "oncall"], true)]
    #[case::nobody("eve", &["system:authenticated"], false)]
    #[case::a_user_called_as_the_group("oncall", &[], false)]
    #[case::a_group_called_as_the_user("eve", &["dora"], false)]
    #[case::case_matters("Dora", &["Oncall"], false)]
    #[case::a_part_is_not_enough("dor", &["oncall2"], false)]
    fn names_are_exact(#[case] user: &str, #[case] groups: &[&str], #[case] expected: bool) {
        let entrants = Entrants {
            users: [Username("dora".to_owned())].into(),
            groups: [Group("oncall".to_owned())].into(),
        };
        let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
        assert_eq!(entrants.include(user, &groups), expected);
    }
}
