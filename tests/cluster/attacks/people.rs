//! The people of a namespace, each with a secret of their own, and requests in their names.

use axum::http::{HeaderValue, Request};
use kube::Client;
use serde_json::{Value, json};

use super::call::Call;
use crate::{
    harness::Cluster,
    project::{SHARED, project_secret, secret_names, user_object, user_secret, wait_until},
    support::{Result, control_plane::ADMIN, objects},
};

/// Who tries something. The order is that of the columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Person {
    /// Owns what is tried; role `edit`.
    Alice,
    /// Role `edit`.
    Bob,
    /// Role `admin` in the namespace.
    Carol,
    /// A service account of the namespace with role `edit`.
    Account,
    /// The controller of replica sets, which is trusted with them.
    Controller,
    /// Of the group `system:masters`, and so one who may impersonate alice.
    Admin,
}

/// Everybody.
pub(super) const EVERYBODY: [Person; 6] = [
    Person::Alice,
    Person::Bob,
    Person::Carol,
    Person::Account,
    Person::Controller,
    Person::Admin,
];

/// A namespace in which they work.
pub(super) struct People {
    /// The namespace.
    pub(super) namespace: String,
    /// May do everything, also in another's name.
    pub(super) admin: Client,
}

/// The answer to a request: the object, or the sentence of the refusal.
pub(super) type Answer = std::result::Result<Value, String>;

impl People {
    /// Makes the namespace, and returns when everybody's pods get what is theirs.
    pub(super) async fn new(cluster: &Cluster, namespace: &str) -> Result<Self> {
        cluster.keyporter().await?;
        let people = Self::of(cluster, namespace);
        let labels = json!({"keyporter.dev/inject": "enabled"});
        let accounts = cluster.has_controllers();
        objects::create_namespace(&people.admin, namespace, labels, accounts).await?;
        people.give_rights().await?;
        objects::create(&people.admin, project_secret(namespace, SHARED)).await?;
        for person in EVERYBODY {
            if person != Person::Controller {
                let secret = user_secret(namespace, &people.username(person), "token");
                objects::create(&people.admin, secret).await?;
            }
        }
        for person in EVERYBODY {
            if person != Person::Controller {
                let what = format!("{person:?} to get what is theirs");
                wait_until(&what, async || people.is_served(person).await).await?;
            }
        }
        Ok(people)
    }

    /// Those of a namespace that is there already.
    pub(super) fn of(cluster: &Cluster, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            admin: cluster.admin(),
        }
    }

    async fn give_rights(&self) -> Result<()> {
        let mut subjects = Vec::new();
        for person in [Person::Alice, Person::Bob, Person::Carol, Person::Account] {
            let user = self.username(person);
            objects::allow_edit(&self.admin, &self.namespace, &user).await?;
            subjects.push(objects::subject(&user));
        }
        let (group, namespace) = ("rbac.authorization.k8s.io", &self.namespace);
        // No role of Kubernetes lets people debug.
        let debug = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"namespace": namespace, "name": "debug"},
            "rules": [{"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["get", "patch", "update"]}],
        });
        objects::create(&self.admin, debug).await?;
        for (kind, role, subjects) in [
            ("Role", "debug", json!(subjects)),
            (
                "ClusterRole",
                "system:aggregate-to-admin",
                json!([objects::subject("carol")]),
            ),
        ] {
            let binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"namespace": namespace, "name": role},
                "roleRef": {"kind": kind, "name": role, "apiGroup": group},
                "subjects": subjects,
            });
            objects::create(&self.admin, binding).await?;
        }
        let debug = ("patch", "", "pods/ephemeralcontainers");
        let account = self.username(Person::Account);
        objects::wait_until_allowed(&self.admin, namespace, &account, debug).await?;
        let roles = ("create", group, "roles");
        objects::wait_until_allowed(&self.admin, namespace, "carol", roles).await
    }

    async fn is_served(&self, person: Person) -> Result<bool> {
        let probe = Call::create("Pod", objects::pod(&self.namespace, "probe")).dry_run();
        let pod = self.ask(person, &probe).await?;
        let pod = serde_json::from_value(pod?)?;
        let token = user_object(&self.username(person), "token");
        Ok(secret_names(&pod) == [SHARED.to_owned(), token])
    }

    /// What the API server calls a person.
    pub(super) fn username(&self, person: Person) -> String {
        match person {
            Person::Alice => "alice".to_owned(),
            Person::Bob => "bob".to_owned(),
            Person::Carol => "carol".to_owned(),
            Person::Account => format!("system:serviceaccount:{}:ci", self.namespace),
            Person::Controller => {
                "system:serviceaccount:kube-system:replicaset-controller".to_owned()
            }
            Person::Admin => ADMIN.to_owned(),
        }
    }

    /// Does it as a person.
    pub(super) async fn ask(&self, person: Person, call: &Call) -> Result<Answer> {
        let user = self.username(person);
        let user = (person != Person::Admin).then_some(user.as_str());
        self.ask_as(user, call).await
    }

    /// Does it as `user`, with the rights of nobody else.
    pub(super) async fn ask_as(&self, user: Option<&str>, call: &Call) -> Result<Answer> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.uri(&self.namespace))
            .header("Content-Type", call.content);
        if let Some(user) = user {
            request = request.header(
                "Impersonate-User",
                HeaderValue::from_bytes(user.as_bytes())?,
            );
        }
        let body = match &call.body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        match self.admin.request_text(request.body(body)?).await {
            Ok(text) => Ok(Ok(serde_json::from_str(&text)?)),
            Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }
}
