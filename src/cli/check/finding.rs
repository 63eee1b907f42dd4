//! What was found.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Ok,
    /// It could not be looked at.
    Unseen,
    Warning,
    Error,
}

impl Severity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unseen => "unseen",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One line of the report, and how to mend what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The subject, in one word.
    pub(super) check: &'static str,
    pub(super) severity: Severity,
    /// Kind and name, such as `Deployment keyporter-system/keyporter`.
    pub(super) object: String,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// Findings about one subject.
#[derive(Clone, Copy)]
pub(super) struct Subject(pub(super) &'static str);

impl Subject {
    pub(super) fn ok(self, object: impl Into<String>, message: impl Into<String>) -> Finding {
        self.found(Severity::Ok, object.into(), message.into(), None)
    }

    pub(super) fn warning(
        self,
        object: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        let advice = Some(advice.into());
        self.found(Severity::Warning, object.into(), message.into(), advice)
    }

    pub(super) fn error(
        self,
        object: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        let advice = Some(advice.into());
        self.found(Severity::Error, object.into(), message.into(), advice)
    }

    /// What could not be looked at, and the right that it takes.
    pub(super) fn unseen(self, object: impl Into<String>, unseen: &super::seen::Unseen) -> Finding {
        self.found(
            Severity::Unseen,
            object.into(),
            format!("could not be looked at: {}", unseen.reason),
            unseen
                .right
                .as_ref()
                .map(|right| format!("it takes the right to {right}")),
        )
    }

    fn found(
        self,
        severity: Severity,
        object: String,
        message: String,
        advice: Option<String>,
    ) -> Finding {
        Finding {
            check: self.0,
            severity,
            object,
            message,
            advice,
        }
    }
}
