//! Reading an AdmissionReview, once and borrowing.
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request>

pub(super) mod secret;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::error::Category;
use thiserror::Error;

use crate::access::User;
use crate::inject::json_object::from_json_object;
use crate::inject::pod::{Pod, Text};
use crate::inject::{self, object, quote};
use crate::json::{self, managed_fields};

const API_VERSION: &str = "admission.k8s.io/v1";

/// A review that can be answered.
#[derive(Debug)]
pub(super) struct Reviewed<'a> {
    pub(super) head: Head<'a>,
    pub(super) subject: Subject<'a>,
}

/// A body. To look once whether all of it is text costs a fraction of looking at each string in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    bytes: &'a [u8],
    text: Option<&'a str>,
}

impl<'a> From<&'a [u8]> for Body<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        let text = str::from_utf8(bytes).ok();
        Self { bytes, text }
    }
}

impl<'a> From<&'a str> for Body<'a> {
    fn from(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            text: Some(text),
        }
    }
}

impl<'a> Body<'a> {
    /// Reads JSON. Where it is not text, what is skipped may still be anything.
    fn read<T: Deserialize<'a>>(self) -> serde_json::Result<T> {
        match self.text {
            Some(text) => json::read::from_str(text).or_else(|_| serde_json::from_str(text)),
            None => serde_json::from_slice(self.bytes),
        }
    }
}

/// Who asks for what, and where.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) uid: Text<'a>,
    pub(super) group: Text<'a>,
    pub(super) kind: Text<'a>,
    pub(super) namespace: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) requester: Text<'a>,
    pub(super) groups: Vec<Text<'a>>,
    /// Whether nothing is to come of it.
    pub(super) dry_run: bool,
}

impl Head<'_> {
    /// Who asks, and where; the object is to be this person's.
    pub(super) fn request<'a>(&'a self, person: Option<&'a str>) -> inject::Request<'a> {
        inject::Request {
            requester: self.requester.as_str(),
            person,
            groups: &self.groups,
            namespace: self.namespace.as_str(),
        }
    }

    /// The kind of what is asked for.
    pub(super) fn object_kind(&self) -> object::Kind<'_> {
        object::Kind {
            group: self.group.as_str(),
            kind: self.kind.as_str(),
        }
    }
}

/// What a review is about.
#[derive(Debug)]
pub(super) enum Subject<'a> {
    /// The creation of a pod.
    Pod(Pod<'a>),
    /// The creation (`old` is `None`) or update of another object.
    Object { new: Value, old: Option<Value> },
    /// Somebody enters a running pod: exec, attach or port-forward. The review does not hold the pod.
    Entry,
    /// Somebody puts an ephemeral container into a running pod.
    Debug(Pod<'a>),
    /// Something that keyporter has nothing to say about. The object was not read.
    Other,
    /// An object that is not what its kind says.
    Unreadable,
}

/// Why a body is no AdmissionReview that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum BadReview {
    #[error("the body is empty; an AdmissionReview of {API_VERSION} is expected")]
    Empty,
    #[error("the body is not UTF-8 (after byte {0})")]
    NotUtf8(usize),
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson { line: usize, column: usize },
    #[error("the body ends in the middle of its JSON (line {line}, column {column})")]
    Truncated { line: usize, column: usize },
    #[error("a field of the AdmissionReview has a wrong type (line {line}, column {column})")]
    WrongType { line: usize, column: usize },
    #[error("the body is not an AdmissionReview; its kind is {0:?}")]
    NotAReview(String),
    #[error("the AdmissionReview is of {0:?}; only {API_VERSION} is understood")]
    WrongVersion(String),
    #[error("the AdmissionReview has no request")]
    NoRequest,
    #[error("the request of the AdmissionReview has no uid")]
    NoUid,
    #[error(
        "the request of the AdmissionReview does not say who sent it: userInfo.username is missing"
    )]
    NoUser,
}

from_json_object!(Review<New, Old>, Request<New, Old>, Kind, UserInfo);

#[derive(Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
#[serde(bound(deserialize = "New: Deserialize<'de>, Old: Deserialize<'de>"))]
struct Review<'a, New, Old> {
    #[serde(borrow, default)]
    api_version: Option<Text<'a>>,
    #[serde(borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default = "none")]
    request: Option<Request<'a, New, Old>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
#[serde(bound(deserialize = "New: Deserialize<'de>, Old: Deserialize<'de>"))]
struct Request<'a, New, Old> {
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    kind: Kind<'a>,
    #[serde(borrow, default)]
    sub_resource: Option<Text<'a>>,
    #[serde(borrow, default)]
    namespace: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    operation: Text<'a>,
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(borrow, default)]
    user_info: UserInfo<'a>,
    #[serde(default = "none")]
    object: Option<New>,
    #[serde(default = "none")]
    old_object: Option<Old>,
}

#[derive(Default, Deserialize)]
#[serde(remote = "Self")]
struct Kind<'a> {
    #[serde(borrow, default)]
    group: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(remote = "Self")]
struct UserInfo<'a> {
    #[serde(borrow, default)]
    username: Text<'a>,
    #[serde(borrow, default)]
    groups: Option<Vec<Text<'a>>>,
}

fn none<T>() -> Option<T> {
    None
}

/// Reads a body.
///
/// Pods are most of what comes, so the body is read as a review of a pod first. Only where it is none is it read again:
/// whole for a workload, and without its object to tell a review of something unreadable from no review at all.
pub(super) fn read(body: Body<'_>) -> Result<Reviewed<'_>, BadReview> {
    if let Ok(review) = body.read::<Review<'_, Pod<'_>, IgnoredAny>>() {
        let mut request = checked(review)?;
        let object = request.object.take();
        if request.kind.is_pod() {
            let sub_resource = request.sub_resource.as_ref().map(Text::as_str);
            let subject = match (object, request.operation.as_str(), sub_resource) {
                (Some(pod), "CREATE", None) => Subject::Pod(pod),
                (Some(pod), "UPDATE", Some("ephemeralcontainers")) => Subject::Debug(pod),
                _ => Subject::Other,
            };
            return Ok(request.reviewed(subject));
        }
        return Ok(read_object(body, request));
    }
    let review = body.read::<Review<'_, IgnoredAny, IgnoredAny>>();
    let review = review.map_err(|error| why(body.bytes, &error))?;
    let request = checked(review)?;
    if request.kind.is_pod() {
        return Ok(request.reviewed(Subject::Unreadable));
    }
    Ok(read_object(body, request))
}

/// Who sent a review, with groups and all: read only where somebody is to be asked about them.
pub(super) fn user(body: &[u8]) -> User {
    #[derive(Deserialize)]
    struct Review {
        request: Request,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        user_info: User,
    }
    serde_json::from_slice::<Review>(body)
        .map_or_else(|_| User::default(), |review| review.request.user_info)
}

/// Reads the object of a review that is not about a pod. A Secret is never read: its values are none of our business.
fn read_object<'a, New, Old>(body: Body<'a>, request: Request<'a, New, Old>) -> Reviewed<'a> {
    if request.operation == *"CONNECT" && request.enters_a_pod() {
        return request.reviewed(Subject::Entry);
    }
    let create = request.operation == *"CREATE";
    let update = request.operation == *"UPDATE";
    if request.sub_resource.is_some() || !(create || update) || request.kind.is_secret() {
        return request.reviewed(Subject::Other);
    }
    let lean = managed_fields::left_out(body.bytes);
    let review = Body::from(&*lean).read::<Review<'_, Value, Value>>();
    let subject = match review.map(|review| review.request) {
        Ok(Some(Request {
            object: Some(new),
            old_object,
            ..
        })) => Subject::Object {
            new,
            old: old_object.filter(|_| update),
        },
        Ok(_) => Subject::Other,
        Err(_) => Subject::Unreadable,
    };
    request.reviewed(subject)
}

fn checked<New, Old>(review: Review<'_, New, Old>) -> Result<Request<'_, New, Old>, BadReview> {
    let text = |text: &Option<Text<'_>>| text.as_ref().map_or("", Text::as_str).to_owned();
    if text(&review.kind) != "AdmissionReview" {
        return Err(BadReview::NotAReview(shortened(&text(&review.kind))));
    }
    if text(&review.api_version) != API_VERSION {
        return Err(BadReview::WrongVersion(shortened(&text(
            &review.api_version,
        ))));
    }
    let request = review.request.ok_or(BadReview::NoRequest)?;
    if request.uid.as_str().is_empty() {
        return Err(BadReview::NoUid);
    }
    // Everybody has a name to the API server. Without one, a stamp would be for nobody, and proved.
    if request.user_info.username.as_str().is_empty() {
        return Err(BadReview::NoUser);
    }
    Ok(request)
}

/// What a stranger wrote, as far as it helps.
fn shortened(text: &str) -> String {
    let head = quote::head(text, 64);
    let sign = if head.len() < text.len() { "…" } else { "" };
    [head, sign].concat()
}

/// Places, not texts: a message of the JSON reader may quote what it found, and that may be a value.
fn why(body: &[u8], error: &serde_json::Error) -> BadReview {
    if body.iter().all(u8::is_ascii_whitespace) {
        return BadReview::Empty;
    }
    if let Err(error) = std::str::from_utf8(body) {
        return BadReview::NotUtf8(error.valid_up_to());
    }
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Eof => BadReview::Truncated { line, column },
        Category::Data => BadReview::WrongType { line, column },
        Category::Syntax | Category::Io => BadReview::NotJson { line, column },
    }
}

impl Kind<'_> {
    fn is_pod(&self) -> bool {
        self.group == *"" && self.kind == *"Pod"
    }

    fn is_secret(&self) -> bool {
        self.group == *"" && self.kind == *"Secret"
    }
}

impl<'a, New, Old> Request<'a, New, Old> {
    fn enters_a_pod(&self) -> bool {
        let kinds = [
            "PodExecOptions",
            "PodAttachOptions",
            "PodPortForwardOptions",
        ];
        self.kind.group == *"" && kinds.contains(&self.kind.kind.as_str())
    }

    fn reviewed(self, subject: Subject<'a>) -> Reviewed<'a> {
        let head = Head {
            uid: self.uid,
            group: self.kind.group,
            kind: self.kind.kind,
            namespace: self.namespace.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            requester: self.user_info.username,
            groups: self.user_info.groups.unwrap_or_default(),
            dry_run: self.dry_run == Some(true),
        };
        Reviewed { head, subject }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty("", BadReview::Empty)]
    #[case::blank(" \n", BadReview::Empty)]
    #[case::no_json("<html>", BadReview::NotJson { line: 1, column: 1 })]
    #[case::truncated(r#"{"kind": "AdmissionReview", "requ"#, BadReview::Truncated { line: 1, column: 33 })]
    #[case::an_array("[]", BadReview::WrongType { line: 1, column: 0 })]
    #[case::trailing("{} {}", BadReview::NotJson { line: 1, column: 4 })]
    #[case::no_kind("{}", BadReview::NotAReview(String::new()))]
    #[case::another_kind(r#"{"kind": "Pod", "apiVersion": "v1"}"#, BadReview::NotAReview("Pod".into()))]
    #[case::old_version(
        r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "1"}}"#,
        BadReview::WrongVersion("admission.k8s.io/v1beta1".into())
    )]
    #[case::no_request(
        r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}"#,
        BadReview::NoRequest
    )]
    #[case::no_uid(
        r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {}}"#,
        BadReview::NoUid
    )]
    #[case::no_user(
        r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "1"}}"#,
        BadReview::NoUser
    )]
    #[case::an_empty_user(
        r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "userInfo": {"username": ""}}}"#,
        BadReview::NoUser
    )]
    #[case::a_request_that_is_a_list(
        r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": ["1"]}"#,
        BadReview::WrongType { line: 1, column: 76 }
    )]
    fn bad_reviews(#[case] body: &str, #[case] expected: BadReview) {
        assert_eq!(read(body.into()).unwrap_err(), expected);
    }

    #[test]
    fn bytes_that_are_no_text() {
        assert_eq!(
            read(b"{\"kind\": \"\xff\"}".as_slice().into()).unwrap_err(),
            BadReview::NotUtf8(10)
        );
    }

    fn review(kind: &str, operation: &str, object: &str) -> String {
        format!(
            r#"{{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {{
                "uid": "7", "kind": {{"group": "", "version": "v1", "kind": "{kind}"}}, "namespace": "vision",
                "operation": "{operation}", "userInfo": {{"username": "alice"}}, "object": {object}, "oldObject": null}}}}"#
        )
    }

    #[rstest]
    #[case("Pod", "CREATE", r#"{"spec": {"containers": []}}"#, "pod")]
    #[case("Pod", "CREATE", r#"{"spec": {"containers": 7}}"#, "unreadable")]
    #[case(
        "Pod",
        "CREATE",
        r#"{"metadata": [], "spec": {"containers": []}}"#,
        "unreadable"
    )]
    #[case("Pod", "UPDATE", r#"{"spec": {"containers": []}}"#, "other")]
    #[case("Pod", "DELETE", "null", "other")]
    #[case("Job", "CREATE", "{}", "object")]
    #[case("Job", "DELETE", "{}", "other")]
    #[case("Widget", "CREATE", r#"{"spec": {"containers": 7}}"#, "object")]
    #[case(
        "PodExecOptions",
        "CONNECT",
        r#"{"container": "c", "command": ["sh"]}"#,
        "entry"
    )]
    #[case("PodPortForwardOptions", "CONNECT", r#"{"ports": [80]}"#, "entry")]
    #[case("NodeProxyOptions", "CONNECT", "{}", "other")]
    #[case("Secret", "CREATE", r#"{"data": {"a": "dg=="}}"#, "other")]
    fn subjects(
        #[case] kind: &str,
        #[case] operation: &str,
        #[case] object: &str,
        #[case] expected: &str,
    ) {
        let body = review(kind, operation, object);
        let reviewed = read(body.as_str().into()).unwrap();
        let subject = match reviewed.subject {
            Subject::Pod(_) => "pod",
            Subject::Object { .. } => "object",
            Subject::Entry => "entry",
            Subject::Debug(_) => "debug",
            Subject::Other => "other",
            Subject::Unreadable => "unreadable",
        };
        assert_eq!(subject, expected);
        assert_eq!(reviewed.head.uid, *"7");
        assert_eq!(reviewed.head.requester, *"alice");
    }
}
