//! What keyporter knows of the secrets of a cluster, or of a folder of files: metadata and key names, never a value.
//!
//! [`watch`] and [`files`] decode Secrets into [`WatchedSecret`], a type without a place for values, and put them into
//! a [`Catalog`]. The webhook asks the catalog one question: what may a pod of this namespace and owner see?
//!
//! Beside secrets it knows the [stores](crate::inject::store) of each namespace, known by their names alone, and the domain
//! that the namespace belongs to.
//!
//! - A catalog always answers, and always from complete lists: while a watch is down or lists anew, it answers with
//!   what it knew before.
//! - It runs a little behind the cluster. Whoever needs more than that has [`confirm`] make sure that it has caught up.
//! - It tells nobody's secrets to anybody else: user secrets stand on the shelf of their owner alone.

pub mod confirm;
mod counts;
mod decode;
pub mod files;
mod index;
mod item;
mod progress;
mod shelves;
mod stores;
#[cfg(test)]
mod testing;
mod told;
pub mod watch;

pub use counts::Counts;
pub use decode::{Flaw, WatchedSecret};
pub use index::{Catalog, Relist, Source};
pub use shelves::Shelves;
