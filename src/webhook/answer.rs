//! Writing the answer to an AdmissionReview.
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response>

use std::fmt::Display;
use std::mem;

use base64_simd::STANDARD;
use serde::Serialize;
use zeroize::Zeroize as _;

use crate::folder::Change;
use crate::inject::patch::Operation;
use crate::json::write;

/// The most warnings in one answer. The API server cuts them at 4,096 characters together, somewhere.
const WARNINGS: usize = 20;
/// The longest warning that it passes on whole when there are many.
const WARNING_LENGTH: usize = 256;
/// What an answer takes beside its patch, mostly.
const ROOM: usize = 512;
/// What a patch takes, mostly.
const PATCH_ROOM: usize = 8 * 1024;

/// What the API server is told.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    pub(super) uid: &'a str,
    pub(super) denied: Option<String>,
    pub(super) patch: Vec<Operation<'a>>,
    /// The rest of the patch: values that came in this very review, in an archive.
    pub(super) files: Vec<Change>,
    pub(super) warnings: Vec<String>,
    pub(super) audit: Audit<'a>,
}

/// Audit annotations. The API server puts the webhook's name before each key.
#[derive(Debug, Default, Serialize)]
pub(super) struct Audit<'a> {
    pub(super) decision: &'static str,
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<&'a str>,
    /// The rule of ownership that named the owner, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) injected: Option<String>,
    /// How many files came out of an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<String>,
}

/// The answer but for the patch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    audit_annotations: &'a Audit<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

impl Answer<'_> {
    /// The body of the answer.
    pub(super) fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let response = Response {
            uid: self.uid,
            allowed: self.denied.is_none(),
            status: self.denied.as_deref().map(|message| Status {
                code: 403,
                reason: "Forbidden",
                message,
            }),
            audit_annotations: &self.audit,
            warnings: &self.warnings,
        };
        let mut body = Vec::with_capacity(ROOM);
        body.extend_from_slice(
            br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":"#,
        );
        write::append(&mut body, &response)?;
        if !self.patch.is_empty() || !self.files.is_empty() {
            // The patch is most of the answer, and nothing in base64 needs an escape: it goes in by hand, as the last
            // member of the response.
            body.pop();
            body.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
            let mut patch = Vec::with_capacity(PATCH_ROOM);
            self.append_patch(&mut patch)?;
            // Room for what ends the answer, too.
            body.reserve(STANDARD.encoded_length(patch.len()) + 8);
            STANDARD.encode_append(&patch, &mut body);
            if !self.files.is_empty() {
                patch.zeroize();
            }
            body.extend_from_slice(br#""}"#);
        }
        body.push(b'}');
        Ok(body)
    }

    /// Appends both parts of the patch as one.
    fn append_patch(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let mut begin = b'[';
        for operation in &self.patch {
            out.push(mem::replace(&mut begin, b','));
            operation.append(out)?;
        }
        for change in &self.files {
            out.push(mem::replace(&mut begin, b','));
            write::append(out, change)?;
        }
        out.push(b']');
        Ok(())
    }
}

/// Warnings as the person sees them, not too many and not too long.
pub(super) fn warnings<W: Display>(warnings: &[W]) -> Vec<String> {
    let mut texts: Vec<_> = warnings
        .iter()
        .take(WARNINGS)
        .map(|warning| shortened(format!("keyporter: {warning}")))
        .collect();
    if let Some(more) = warnings
        .len()
        .checked_sub(WARNINGS)
        .filter(|more| *more > 0)
    {
        texts.push(format!("keyporter: and {more} more warnings"));
    }
    texts
}

fn shortened(text: String) -> String {
    if text.chars().count() <= WARNING_LENGTH {
        return text;
    }
    text.chars().take(WARNING_LENGTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_warnings_are_counted_and_long_ones_cut() {
        let texts = warnings(&vec!["x".repeat(1000); 25]);
        assert_eq!(texts.len(), 21);
        assert!(
            texts
                .iter()
                .all(|text| text.chars().count() <= WARNING_LENGTH)
        );
        assert_eq!(texts.last().unwrap(), "keyporter: and 5 more warnings");
    }

    #[test]
    fn a_denial_has_the_real_uid_and_no_patch() {
        let answer = Answer {
            uid: "7",
            denied: Some("no".into()),
            ..Answer::default()
        };
        let json: serde_json::Value = serde_json::from_slice(&answer.write().unwrap()).unwrap();
        assert_eq!(json["response"]["uid"], "7");
        assert_eq!(json["response"]["allowed"], false);
        assert_eq!(json["response"]["status"]["message"], "no");
        assert!(json["response"].get("patch").is_none());
    }
}
