//! Files as Kubernetes people write them: several YAML or JSON documents in one text.
//!
//! A text is [split](Documents::split) into documents that keep their place and their exact text, a document is
//! [read](Document::value) as kubectl would read it, and a changed one is [written](to_yaml) so that kubectl reads the
//! same back. What did not change is printed byte for byte.
//!
//! Nothing here reads a file, and no error quotes the text: it may be a file of secrets.
//!
//! ```
//! use keyporter::documents::{Documents, to_yaml};
//!
//! let documents = Documents::split("# first\nkind: Pod\n---\nkind: Job\n");
//! let printed = documents.print(|document| {
//!     let mut value = document.value("jobs.yaml").ok()?;
//!     (value["kind"] == "Job").then(|| {
//!         value["spec"] = serde_json::json!({"suspend": true});
//!         to_yaml(&value)
//!     })
//! });
//! assert_eq!(printed, "# first\nkind: Pod\n---\nkind: Job\nspec:\n  suspend: true\n");
//! ```

mod json;
mod objects;
mod read;
mod split;
mod write;

pub use objects::objects;
pub use read::DocumentError;
pub use split::{Document, Documents};
pub use write::to_yaml;
