//! keyporter: a Kubernetes admission webhook that gives every pod the secrets of its authenticated owner and project.
//!
//! # Data flow
//!
//! ```text
//!  Secrets in the API server, or in files
//!        | watch / load: metadata and key names; values are skipped while decoding
//!        v
//!   catalog ------------- what one owner may see in a namespace ------.
//!                                                                     v
//!  AdmissionReview --> server (TLS) --> webhook (decode) --> inject (decide) --> webhook (answer)
//!
//!  Konduktor's Secret with payload.zip --> webhook --> folder (unpack) --> webhook (the files, as keys of that Secret)
//! ```
//!
//! # Who may depend on whom
//!
//! `main -> cli -> {server, access, admin, offline}`; `{webhook, offline} -> {inject, catalog}`;
//! `webhook -> {access, events, ownership}`; `{events, ownership} -> referents`;
//! `{cli, webhook} -> folder`; `{access, catalog, events, folder, ownership} -> inject`; `server -> certificates`;
//! `{certificates, ownership, server}` tell [`admin`] whether they are ready. Everything may use [`metrics`]. [`inject`]
//! depends on nothing of the crate and does no I/O: a test reads its imports.
//!
//! # Invariants
//!
//! - A value of a secret is in no type of the webhook: none can be logged, patched or counted. There is one exception.
//!   Where a Secret comes with a folder that Konduktor's client packed, [`folder`] reads that Secret's values and answers with
//!   the files, to the API server that sent them. Its types show no value and zero what they own; the bytes of the review
//!   and of the answer, and the insides of decompression, are freed as they are.
//! - A patch of a pod or workload only adds, always applies, and a second pass over its result is empty. That of a folder also
//!   removes the keys of files that are gone; they are keys that an earlier one added.
//! - An ordinary admission, that of a pod which a trusted controller creates, makes no call. For a pod that somebody creates
//!   directly, one list that all who wait share [confirms](catalog::confirm) that the catalog has caught up.
//! - The same input gives the same bytes.
//!
//! # What is deliberately absent
//!
//! A label selector for owners (an owner is whom the API server authenticated), a proxy for values (the kubelet reads
//! them), a cache of answers (a decision takes microseconds).
//!
//! # Example
//!
//! ```
//! use keyporter::inject::{
//!     self, Decision, Request,
//!     owner::{self, Ownership},
//!     pod::Pod,
//!     secret::Description,
//!     select::{Shelf, Visible},
//!     settings::Settings,
//!     store::Stores,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
//! let secret = Description {
//!     namespace: "vision".to_owned(),
//!     object: "hugging-face".to_owned(),
//!     labels: vec![label("keyporter.dev/kind", "env"), label("keyporter.dev/scope", "project")],
//!     ..Description::default()
//! };
//! let secret = secret.read().ok_or("not one of keyporter's")?.map_err(|broken| broken.problem)?;
//! let project = Shelf { secrets: vec![secret.into()], ..Shelf::default() };
//! let visible = Visible { project: &project, user: &Shelf::default(), stores: &Stores::default() };
//!
//! let pod: Pod<'_> = serde_json::from_str(r#"{"spec": {"containers": [{"name": "train"}]}}"#)?;
//! let request = Request { requester: "alice", person: Some("alice"), groups: &[], namespace: "vision" };
//! let settings = Settings::default();
//! let Ownership::Known(owner) = owner::of_pod(request, &pod, None, &settings) else { return Err("not hers".into()) };
//! let decision = inject::decide(request, &pod, owner, visible, &settings);
//! let Decision::Inject(plan) = decision else { return Err("nothing to inject".into()) };
//! let patch = serde_json::to_value(inject::patch::write(&plan, ""))?;
//! assert_eq!(patch[1]["path"], "/spec/containers/0/envFrom");
//! # Ok(())
//! # }
//! ```

pub mod access;
pub mod admin;
pub mod catalog;
mod causes;
pub mod certificates;
pub mod cli;
pub mod documents;
pub mod events;
pub mod folder;
pub mod inject;
mod json;
pub mod metrics;
pub mod offline;
mod own_secret;
pub mod ownership;
mod recent;
pub mod referents;
pub mod server;
pub mod telemetry;
pub mod webhook;
