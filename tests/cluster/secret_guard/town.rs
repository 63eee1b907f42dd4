//! The people of a namespace, and requests in their names.

use axum::http::{HeaderValue, Request};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    canary,
    harness::Cluster,
    project::user_object,
    support::{Result, control_plane::ADMIN, objects, policies},
};

/// Kubernetes' own controllers pass: so a Secret can be as old as the installation is not.
const BEFORE_INSTALLATION: &str = "system:kube-controller-manager";

/// Who tries something. The order is that of the columns of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Person {
    /// Owns the secrets that are tried; role `edit`.
    Alice,
    /// Role `edit`.
    Bob,
    /// Role `admin` in the namespace.
    Carol,
    /// A service account of the namespace with role `edit`.
    Account,
    /// Of the group `system:masters`.
    Admin,
}

/// Everybody.
pub(super) const EVERYBODY: [Person; 5] = [
    Person::Alice,
    Person::Bob,
    Person::Carol,
    Person::Account,
    Person::Admin,
];

/// A namespace in which they work.
pub(super) struct Town {
    /// The namespace.
    pub(super) name: String,
    /// May do everything, also in another's name.
    pub(super) admin: Client,
}

/// One request for Secrets.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: &'static str,
    /// With the object's name in the path.
    named: bool,
    query: String,
    content: &'static str,
    body: Value,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The object, or the status of a deletion.
    Done(Value),
    /// The sentence.
    Refused(String),
}

impl Town {
    /// Makes the namespace with its people.
    pub(super) async fn new(cluster: &Cluster, name: &str, labels: Value) -> Result<Self> {
        let admin = cluster.admin();
        objects::create_namespace(&admin, name, labels, cluster.has_controllers()).await?;
        let town = Self {
            name: name.to_owned(),
            admin,
        };
        for person in [Person::Alice, Person::Bob, Person::Carol, Person::Account] {
            objects::allow_edit(&town.admin, name, &town.username(person)).await?;
        }
        // What makes `admin` of `edit`, as far as Secrets go: this one and the roles of the namespace.
        policies::allow_project_secrets(&town.admin, name, "carol").await?;
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"namespace": name, "name": "carol-admin"},
            "roleRef": {"kind": "ClusterRole", "name": "system:aggregate-to-admin", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [objects::subject("carol")],
        });
        objects::create(&town.admin, role).await?;
        let roles = ("create", "rbac.authorization.k8s.io", "roles");
        objects::wait_until_allowed(&town.admin, name, "carol", roles).await?;
        Ok(town)
    }

    /// What the API server calls a person.
    pub(super) fn username(&self, person: Person) -> String {
        match person {
            Person::Alice => "alice".to_owned(),
            Person::Bob => "bob".to_owned(),
            Person::Carol => "carol".to_owned(),
            Person::Account => format!("system:serviceaccount:{}:ci", self.name),
            Person::Admin => ADMIN.to_owned(),
        }
    }

    /// Does it as a person.
    pub(super) async fn ask(&self, person: Person, object: &str, call: &Call) -> Result<Answer> {
        let user = self.username(person);
        let user = (person != Person::Admin).then_some(user.as_str());
        self.ask_as(user, object, call).await
    }

    /// Does it as `user`; the administrator's own rights are those of nobody else.
    ///
    /// `$WHO` in the body is the requester's name, `$NAME` that of the object.
    pub(super) async fn ask_as(
        &self,
        user: Option<&str>,
        object: &str,
        call: &Call,
    ) -> Result<Answer> {
        let mut path = format!("/api/v1/namespaces/{}/secrets", self.name);
        if call.named {
            path.push('/');
            path.push_str(object);
        }
        path.push_str(&call.query.replace("$NAME", object));
        let body = call.body.to_string();
        let body = body
            .replace("$WHO", user.unwrap_or(ADMIN))
            .replace("$NAME", object);
        let mut request = Request::builder()
            .method(call.method)
            .uri(path)
            .header("Content-Type", call.content);
        if let Some(user) = user {
            request = request.header(
                "Impersonate-User",
                HeaderValue::from_bytes(user.as_bytes())?,
            );
        }
        let body = if call.method == "DELETE" {
            Vec::new()
        } else {
            body.into_bytes()
        };
        match self.admin.request_text(request.body(body)?).await {
            Ok(text) => Ok(Answer::Done(serde_json::from_str(&text)?)),
            Err(kube::Error::Api(status)) => Ok(Answer::Refused(status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The secret as it is stored.
    pub(super) async fn stored(&self, object: &str) -> Result<Option<Value>> {
        let get = Call::new("GET", true, "", Value::Null);
        match self.ask(Person::Admin, object, &get).await? {
            Answer::Done(object) => Ok(Some(object)),
            Answer::Refused(_) => Ok(None),
        }
    }

    /// Has `secret` made anew by `person`, or as before the installation, whatever was there before.
    pub(super) async fn make(&self, person: Option<Person>, secret: &Value) -> Result<String> {
        let object = secret["metadata"]["name"].as_str().unwrap_or_default();
        self.ask(Person::Admin, object, &delete("")).await?;
        let create = create(secret.clone());
        let answer = if let Some(person) = person {
            self.ask(person, object, &create).await?
        } else {
            let user = Some(BEFORE_INSTALLATION);
            self.ask_as(user, object, &create).await?
        };
        match answer {
            Answer::Done(_) => Ok(object.to_owned()),
            Answer::Refused(sentence) => Err(sentence.into()),
        }
    }
}

impl Call {
    fn new(method: &'static str, named: bool, query: &str, body: Value) -> Self {
        Self {
            method,
            named,
            query: query.to_owned(),
            content: "application/json",
            body,
        }
    }
}

impl Answer {
    /// Whether a value of a secret is in it.
    pub(super) fn tells(&self) -> bool {
        canary::is_in(&format!("{self:?}"))
    }
}

/// POST.
pub(super) fn create(body: Value) -> Call {
    Call::new("POST", false, "", body)
}

/// A merge patch, as of `kubectl patch` and `kubectl annotate`.
pub(super) fn patch(body: Value) -> Call {
    Call {
        content: "application/merge-patch+json",
        ..Call::new("PATCH", true, "", body)
    }
}

/// A JSON patch.
pub(super) fn json_patch(body: Value) -> Call {
    Call {
        content: "application/json-patch+json",
        ..Call::new("PATCH", true, "", body)
    }
}

/// Server-side apply that takes what others have set.
pub(super) fn apply(body: Value) -> Call {
    Call {
        content: "application/apply-patch+yaml",
        ..Call::new("PATCH", true, "?fieldManager=test&force=true", body)
    }
}

/// PUT, as of `kubectl replace`.
pub(super) fn replace(body: Value) -> Call {
    Call::new("PUT", true, "", body)
}

/// DELETE of one, with a query that begins with `?`.
pub(super) fn delete(query: &str) -> Call {
    Call::new("DELETE", true, query, Value::Null)
}

/// DELETE of all that bear the name: the request itself names none.
pub(super) fn delete_collection(query: &str) -> Call {
    let query = format!("?fieldSelector=metadata.name%3D$NAME{query}");
    Call::new("DELETE", false, &query, Value::Null)
}

/// The same, stored nowhere.
pub(super) fn dry_run(mut call: Call) -> Call {
    call.query
        .push(if call.query.contains('?') { '&' } else { '?' });
    call.query.push_str("dryRun=All");
    call
}

/// A Secret of these labels and annotations.
pub(super) fn secret(name: &str, labels: &Value, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "data": {"TOKEN": canary::ENCODED},
    })
}

/// A secret of keyporter's; its owner is who makes it.
pub(super) fn token() -> Value {
    let labels = json!({"keyporter.dev/kind": "env", "keyporter.dev/name": "token"});
    secret(&user_object("alice", "token"), &labels, &json!({}))
}

/// A secret of the project.
pub(super) fn project() -> Value {
    let labels = json!({"keyporter.dev/kind": "env", "keyporter.dev/scope": "project"});
    secret("shared", &labels, &json!({}))
}

/// The store of the namespace.
pub(super) fn store() -> Value {
    secret("iomete-secret-store", &json!({}), &json!({}))
}

/// A Secret as Konduktor's client makes it.
pub(super) fn konduktors() -> Value {
    let labels = json!({
        "parent": "konduktor",
        "trainy.ai/secret-owner": "0a1b2c3d",
        "trainy.ai/secret-basename": "wandb",
        "trainy.ai/secret-kind": "env",
    });
    secret("wandb-0a1b2c3d", &labels, &json!({}))
}

/// A Secret that keyporter has nothing to do with.
pub(super) fn ordinary() -> Value {
    secret("database", &json!({"app": "database"}), &json!({}))
}
