//! References: places in a pod that name a secret, and what comes to stand there.
//!
//! ```text
//! env, command, args, keyporter.dev/files  ->  grammar  ->  resolve  ->  rewrite: what changes in each container
//! ```
//!
//! | form | where | meaning |
//! |---|---|---|
//! | `secret:NAME[?][/KEY]` | a whole env value | a key of the owner's own secret, else of the project's |
//! | `secret:NAME[?][/KEY]:/path` | the annotation `keyporter.dev/files` | a file at exactly that path |
//! | `${secrets.KEY[?]}` | env values, command, args; anywhere in them | a key of the store of the domain, else of the namespace |
//! | IOMETE's lists, see [`iomete`] | the annotations `keyporter.dev/env-secrets`, `keyporter.dev/spark-conf-secrets` | variables and Spark configuration from stores |
//!
//! A `?` makes a reference optional. References are not copies: no value is read here. A whole env value becomes a
//! `secretKeyRef`; text around a reference stays, and in the reference's place stands Kubernetes' own `$(VAR)` of a hidden
//! variable.

mod earlier;
mod grammar;
pub mod iomete;
mod refused;
mod resolve;
mod rewrite;
mod spark;
mod text;

pub use grammar::{Entry, Malformed, Named, Stored, entries, named};
pub use refused::Refused;
pub use resolve::{Resolver, Source, Target, Unresolved};
pub use rewrite::{KeyFile, References, Referral, Spot};
pub use text::{Piece, pieces};

pub(super) use earlier::earlier;
pub(super) use refused::entry;
pub(super) use rewrite::{HIDDEN, InContainer, any, is_hidden, resolve};
pub(super) use text::{may_refer, write};
