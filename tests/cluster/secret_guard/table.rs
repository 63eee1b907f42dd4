//! The rows: what may be tried, on which secret, and what becomes of it for each who tries.

use serde_json::{Value, json};

use super::town::{
    Call, Person, Town, apply, create, delete, delete_collection, dry_run, json_patch, konduktors,
    ordinary, patch, project, replace, secret, store, token,
};
use crate::{project::user_object, support::Result};

/// What is to become of a try: `None` is success, else one of these is in the sentence, separated by `|`.
pub(super) type Verdict = Option<&'static str>;

pub(super) const OK: Verdict = None;
pub(super) const FOREIGN: Verdict = Some("belongs to another user; only its owner may");
const FORGED: Verdict = Some("names another user as its owner; leave");
const OWNER: Verdict = Some("cannot change; create a new secret, as the user who");
const NO_OWNER: Verdict = Some("has no owner; set the annotation");
const KIND: Verdict = Some("cannot change; delete the secret and create it again");
const OLD: Verdict = Some("is older than keyporter and has no owner; delete it");
const PROJECT: Verdict = Some("is a project secret, which needs the right to ");
const STORE: Verdict = Some("is a store, which needs the right to ");
// Two policies speak, and which one is heard is not known.
const FOREIGN_PROJECT: Verdict = Some("belongs to another user|is a project secret");
const FORGED_PROJECT: Verdict = Some("names another user|is a project secret");
const NO_OWNER_PROJECT: Verdict = Some("has no owner|is a project secret");
const KIND_PROJECT: Verdict = Some("cannot change; delete the secret|is a project secret");
const OLD_PROJECT: Verdict = Some("is older than keyporter|is a project secret");

/// Only alice, and who may act for her.
const ALICES: [Verdict; 5] = [OK, FOREIGN, FOREIGN, FOREIGN, OK];
/// Alice and the administrator may try; the owner stays alice.
const ALICE_STAYS: [Verdict; 5] = [OK, FOREIGN, FOREIGN, FOREIGN, OWNER];
/// Not even alice and the administrator.
const KIND_STAYS: [Verdict; 5] = [KIND, FOREIGN, FOREIGN, FOREIGN, KIND];
/// A name on a new secret that only alice, and who may act for her, may write.
const ALICES_NAME: [Verdict; 5] = [OK, FORGED, FORGED, FORGED, OK];
/// A name that none of them bears.
const NOBODYS_NAME: [Verdict; 5] = [FORGED, FORGED, FORGED, FORGED, OK];
/// Who keeps project secrets.
const KEEPERS: [Verdict; 5] = [PROJECT, PROJECT, OK, PROJECT, OK];
/// Who keeps stores.
const STORE_KEEPERS: [Verdict; 5] = [STORE, STORE, OK, STORE, OK];
/// Who may act for everybody.
const ADMINISTRATORS: [Verdict; 5] = [OLD, OLD, OLD, OLD, OK];
const EVERYBODYS: [Verdict; 5] = [OK; 5];

/// The secret that a row is about, made anew for each who tries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// There is none yet.
    Nothing,
    /// Alice's, of kind env.
    Token,
    /// Alice's, made by Konduktor's client.
    Konduktors,
    /// The same with our label too, which comes first.
    Both,
    /// The project's.
    Project,
    /// The project's, with alice's name in the annotation that does not count there.
    Named,
    /// The store of the namespace.
    Store,
    /// Konduktor's, older than the installation.
    Old,
    /// Nobody's, and not keyporter's.
    Ordinary,
}

use Target::{Both, Konduktors, Named, Nothing, Old, Ordinary, Project, Store, Token};

impl Target {
    /// Returns the name of the object.
    pub(super) async fn make(self, town: &Town) -> Result<String> {
        let (person, secret) = match self {
            Nothing => {
                town.ask(Person::Admin, "new", &delete("")).await?;
                return Ok("new".to_owned());
            }
            Token => (Some(Person::Alice), token()),
            Konduktors => (Some(Person::Alice), konduktors()),
            Both => {
                let mut both = konduktors();
                both["metadata"]["labels"]["keyporter.dev/kind"] = "env".into();
                (Some(Person::Alice), both)
            }
            Project => (Some(Person::Carol), project()),
            Named => {
                let labels = project()["metadata"]["labels"].clone();
                let named = secret("shared", &labels, &owner("alice"));
                (Some(Person::Admin), named)
            }
            Store => (Some(Person::Carol), store()),
            Old => (None, konduktors()),
            Ordinary => (Some(Person::Alice), ordinary()),
        };
        town.make(person, &secret).await
    }
}

/// What, on which secret, how, and what becomes of it for alice, bob, carol, the service account and the administrator.
pub(super) type Row = (&'static str, Target, Call, [Verdict; 5]);

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    [
        reading(),
        changing(),
        taking_over(),
        changing_kinds(),
        forging(),
        converting(),
        making_project_secrets(),
        changing_project_secrets(),
        keeping_stores(),
        old_ones(),
    ]
    .concat()
}

/// A change that changes nothing answers the object, with its values.
#[rustfmt::skip]
fn reading() -> Vec<Row> {
    let foreground = delete("?propagationPolicy=Foreground");
    vec![
        ("patch that changes nothing", Token, patch(json!({})), ALICES),
        ("dry run of a patch that changes nothing", Token, dry_run(patch(json!({}))), ALICES),
        ("empty JSON patch", Token, json_patch(json!([])), ALICES),
        ("dry run of a server-side apply", Token, dry_run(apply(bare())), ALICES),
        ("dry run of a replace", Token, dry_run(replace(new(&json!({}), &json!({})))), ALICES),
        ("dry run of a delete", Token, dry_run(delete("")), ALICES),
        ("dry run of a delete in the foreground, which answers the object", Token, dry_run(foreground), ALICES),
        ("dry run of a deletecollection, which answers the objects", Token, dry_run(delete_collection("")), ALICES),
    ]
}

#[rustfmt::skip]
fn changing() -> Vec<Row> {
    let mut with_values = bare();
    with_values["stringData"] = json!({"A": ""});
    let mut mine = bare();
    mine["metadata"]["annotations"] = owner("$WHO");
    let collected = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "b0a7c1de-0000-4000-8000-000000000000"},
    ]}});
    let kept = json!({"metadata": {"finalizers": ["example.com/keep"]}});
    let added = json!([{"op": "add", "path": "/data/A", "value": ""}]);
    let forced = json!({"keyporter.dev/force-delete": "true"});
    vec![
        ("change values", Token, patch(values()), ALICES),
        ("change values of Konduktor's", Konduktors, patch(values()), ALICES),
        ("change values by JSON patch", Token, json_patch(added), ALICES),
        ("server-side apply with force", Token, apply(with_values), ALICES),
        ("server-side apply with force as one's own", Token, apply(mine), ALICE_STAYS),
        ("replace by one's own", Token, replace(new(&env(), &owner("$WHO"))), ALICE_STAYS),
        ("replace without a word of an owner", Token, replace(new(&env(), &json!({}))), ALICES),
        ("replace by an ordinary Secret", Token, replace(new(&json!({}), &json!({}))), ALICES),
        ("delete", Token, delete(""), ALICES),
        ("delete Konduktor's", Konduktors, delete(""), ALICES),
        ("deletecollection", Token, delete_collection(""), ALICES),
        ("make it immutable", Token, patch(json!({"immutable": true})), ALICES),
        ("have the garbage collector delete it", Token, patch(collected), ALICES),
        ("keep it from going by a finalizer", Token, dry_run(patch(kept)), ALICES),
        ("let it go by force", Token, annotate(&forced), ALICES),
        ("let Konduktor's go by force", Konduktors, annotate(&forced), ALICES),
        ("let a project secret go by force", Project, annotate(&forced), KEEPERS),
        ("create one that goes by force", Nothing, create(new(&env(), &forced)), EVERYBODYS),
    ]
}

#[rustfmt::skip]
fn taking_over() -> Vec<Row> {
    let no_kind = json!({"keyporter.dev/kind": null});
    let no_mark = json!({"parent": null});
    let no_owner = json!({"keyporter.dev/owner": null});
    let both = |labels: &Value, annotations: &Value| patch(metadata(labels, annotations));
    vec![
        ("take the owner's place", Token, annotate(&owner("$WHO")), ALICE_STAYS),
        ("give it to bob", Token, annotate(&owner("bob")), [FORGED, FOREIGN, FOREIGN, FOREIGN, OWNER]),
        ("write the owner in capitals", Token, annotate(&owner("ALICE")), [FORGED, FOREIGN, FOREIGN, FOREIGN, OWNER]),
        ("remove the owner, who is written again", Token, annotate(&no_owner), ALICES),
        ("empty the owner, who is written again", Token, annotate(&owner("")), ALICES),
        ("remove the kind", Token, label(&no_kind), ALICES),
        ("remove the kind and the owner", Token, both(&no_kind, &no_owner), ALICES),
        ("remove the kind and take the owner's place", Token, both(&no_kind, &owner("$WHO")), ALICE_STAYS),
        ("remove Konduktor's mark", Konduktors, label(&no_mark), ALICES),
        ("remove Konduktor's mark and the owner", Konduktors, both(&no_mark, &no_owner), ALICES),
        ("move it from our label to Konduktor's", Token, label(&to_konduktors("env")), ALICES),
        ("change its name", Token, label(&json!({"keyporter.dev/name": "other"})), ALICES),
        ("change the owner id", Token, label(&json!({"keyporter.dev/owner-id": "0a1b2c3d"})), ALICES),
        ("give it an unknown scope", Token, label(&json!({"keyporter.dev/scope": "galaxy"})), ALICES),
    ]
}

#[rustfmt::skip]
fn changing_kinds() -> Vec<Row> {
    let to = |label: &str, kind: &str| json!({label: kind});
    let projects = [KIND_PROJECT, KIND_PROJECT, KIND, KIND_PROJECT, KIND];
    vec![
        ("change the kind", Token, label(&to("keyporter.dev/kind", "default")), KIND_STAYS),
        ("change Konduktor's kind", Konduktors, label(&to("trainy.ai/secret-kind", "git-ssh")), KIND_STAYS),
        ("change Konduktor's kind under our label", Both, label(&to("trainy.ai/secret-kind", "git-ssh")), KIND_STAYS),
        ("change Konduktor's kind by our label", Konduktors, label(&to("keyporter.dev/kind", "auth")), KIND_STAYS),
        ("change the kind by moving to Konduktor's label", Token, label(&to_konduktors("default")), KIND_STAYS),
        ("change the kind of a project secret", Project, label(&to("keyporter.dev/kind", "default")), projects),
    ]
}

#[rustfmt::skip]
fn forging() -> Vec<Row> {
    let alices = new(&env(), &owner("alice"));
    let konduktors_labels = konduktors()["metadata"]["labels"].clone();
    let made = |user: &str| create(new(&env(), &owner(user)));
    let controller = "system:serviceaccount:kube-system:job-controller";
    let id = json!({"keyporter.dev/kind": "env", "keyporter.dev/owner-id": "2bd806c97f0e00af1a1fc3328fa763a9"});
    let like_alices = secret(&user_object("alice", "other"), &env(), &json!({}));
    vec![
        ("create with a forged owner", Nothing, made("alice"), ALICES_NAME),
        ("create Konduktor's with a forged owner", Nothing, create(new(&konduktors_labels, &owner("alice"))), ALICES_NAME),
        ("create with a forged owner and no kind yet", Nothing, create(new(&json!({}), &owner("alice"))), ALICES_NAME),
        ("dry run of a create with a forged owner", Nothing, dry_run(made("alice")), ALICES_NAME),
        ("create by server-side apply with a forged owner", Nothing, apply(alices.clone()), ALICES_NAME),
        ("create with generateName and a forged owner", Nothing, create(generated(alices)), ALICES_NAME),
        ("create for the owner in capitals", Nothing, made("Alice"), NOBODYS_NAME),
        ("create for an owner with a Cyrillic letter", Nothing, made("ali\u{441}e"), NOBODYS_NAME),
        ("create for an owner with a space", Nothing, made("alice "), NOBODYS_NAME),
        ("create for a controller", Nothing, made(controller), NOBODYS_NAME),
        ("create a project secret with a forged owner", Nothing, create(new(&shared(), &owner("alice"))),
            [PROJECT, FORGED_PROJECT, FORGED, FORGED_PROJECT, OK]),
        // Another's owner id counts for nothing: the requester is written, and the catalog sees that they differ.
        ("create with alice's owner id", Nothing, create(new(&id, &json!({}))), EVERYBODYS),
        ("create with an object name like alice's", Nothing, dry_run(create(like_alices)), EVERYBODYS),
    ]
}

/// Whoever may change an ordinary Secret may make it their own, and not another's.
#[rustfmt::skip]
fn converting() -> Vec<Row> {
    let into = |user: &str| patch(metadata(&env(), &owner(user)));
    vec![
        ("turn an ordinary Secret into one's own", Ordinary, into("$WHO"), EVERYBODYS),
        ("turn an ordinary Secret into alice's", Ordinary, into("alice"), ALICES_NAME),
        ("turn an ordinary Secret into nobody's", Ordinary, label(&env()), [NO_OWNER; 5]),
    ]
}

#[rustfmt::skip]
fn making_project_secrets() -> Vec<Row> {
    let project = new(&shared(), &json!({}));
    let mut applied = bare();
    applied["metadata"]["labels"] = shared();
    let scope = json!({"keyporter.dev/scope": "project"});
    let konduktors = json!({"parent": "konduktor", "trainy.ai/secret-kind": "env", "keyporter.dev/scope": "project"});
    vec![
        ("create a project secret", Nothing, create(project.clone()), KEEPERS),
        ("create a project secret with generateName", Nothing, create(generated(project)), KEEPERS),
        ("create a project secret by server-side apply", Nothing, apply(applied), KEEPERS),
        ("create a project secret without its kind yet", Nothing, create(new(&scope, &json!({}))), KEEPERS),
        ("create Konduktor's as a project secret", Nothing, create(new(&konduktors, &json!({}))), KEEPERS),
        ("turn an ordinary Secret into a project secret", Ordinary, label(&shared()), KEEPERS),
        ("turn alice's into a project secret", Token, label(&scope),
            [PROJECT, FOREIGN_PROJECT, FOREIGN, FOREIGN_PROJECT, OK]),
    ]
}

#[rustfmt::skip]
fn changing_project_secrets() -> Vec<Row> {
    let mut applied = bare();
    applied["metadata"]["labels"] = shared();
    let no_scope = json!({"keyporter.dev/scope": null});
    let into = |user: &str| patch(metadata(&no_scope, &owner(user)));
    let into_alices = [PROJECT, FORGED_PROJECT, FORGED, FORGED_PROJECT, OK];
    let into_nobodys = [NO_OWNER_PROJECT, NO_OWNER_PROJECT, NO_OWNER, NO_OWNER_PROJECT, NO_OWNER];
    vec![
        ("change values of a project secret", Project, patch(values()), KEEPERS),
        ("dry run of a patch of a project secret", Project, dry_run(patch(json!({}))), KEEPERS),
        ("replace a project secret", Project, replace(new(&shared(), &json!({}))), KEEPERS),
        ("server-side apply to a project secret", Project, apply(applied), KEEPERS),
        ("delete a project secret", Project, delete(""), KEEPERS),
        ("deletecollection of project secrets", Project, delete_collection(""), KEEPERS),
        ("dry run of a deletecollection of project secrets", Project, dry_run(delete_collection("")), KEEPERS),
        ("make a project secret one's own", Project, into("$WHO"), KEEPERS),
        ("make a project secret alice's", Project, into("alice"), into_alices),
        ("make a project secret nobody's", Project, label(&no_scope), into_nobodys),
        ("make a project secret with alice's name nobody's", Named,
            patch(metadata(&no_scope, &json!({"keyporter.dev/owner": null}))), into_nobodys),
        ("make a project secret with alice's name alice's", Named, label(&no_scope), into_alices),
        ("change a project secret with alice's name", Named, patch(values()), KEEPERS),
    ]
}

/// Their names make them stores, whatever their labels say.
#[rustfmt::skip]
fn keeping_stores() -> Vec<Row> {
    let called = |name: &str| secret(name, &json!({}), &json!({}));
    let try_create = |object: Value| dry_run(create(object));
    let mut generated = generated(called(""));
    generated["metadata"]["generateName"] = "iomete-secret-store-".into();
    let own = metadata(&env(), &owner("$WHO"));
    vec![
        ("create a store", Nothing, try_create(called("iomete-secret-store")), STORE_KEEPERS),
        ("create the store of a domain", Nothing, try_create(called("iomete-secret-store-finance")), STORE_KEEPERS),
        ("create the store of a domain with generateName", Nothing, try_create(generated), STORE_KEEPERS),
        ("create what is called nearly so", Nothing, try_create(called("iomete-secret-stores")), EVERYBODYS),
        ("create what ends so", Nothing, try_create(called("my-iomete-secret-store")), EVERYBODYS),
        ("change values of a store", Store, patch(values()), STORE_KEEPERS),
        ("dry run of a patch of a store", Store, dry_run(patch(json!({}))), STORE_KEEPERS),
        ("replace a store", Store, replace(new(&json!({}), &json!({}))), STORE_KEEPERS),
        ("server-side apply to a store", Store, apply(bare()), STORE_KEEPERS),
        ("make a store one's own", Store, patch(own), STORE_KEEPERS),
        ("make a store a project secret", Store, label(&shared()), STORE_KEEPERS),
        ("delete a store", Store, delete(""), STORE_KEEPERS),
        ("deletecollection of stores", Store, delete_collection(""), STORE_KEEPERS),
    ]
}

/// Whose the older ones are is not known.
#[rustfmt::skip]
fn old_ones() -> Vec<Row> {
    let mut mine = bare();
    mine["metadata"]["annotations"] = owner("$WHO");
    let scope = json!({"keyporter.dev/scope": "project"});
    vec![
        ("change values of an old one", Old, patch(values()), ADMINISTRATORS),
        ("dry run of a patch of an old one", Old, dry_run(patch(json!({}))), ADMINISTRATORS),
        ("replace an old one", Old, replace(konduktors()), ADMINISTRATORS),
        ("claim an old one", Old, annotate(&owner("$WHO")), ADMINISTRATORS),
        ("claim an old one for alice", Old, annotate(&owner("alice")), ADMINISTRATORS),
        ("claim an old one by server-side apply", Old, apply(mine), ADMINISTRATORS),
        ("make an old one ordinary", Old, label(&json!({"parent": null})), ADMINISTRATORS),
        ("make an old one a project secret", Old, label(&scope), [OLD_PROJECT, OLD_PROJECT, OLD, OLD_PROJECT, OK]),
        ("delete an old one", Old, delete(""), EVERYBODYS),
        ("deletecollection of old ones", Old, delete_collection(""), EVERYBODYS),
    ]
}

/// An object without anything in it, for server-side apply.
fn bare() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "$NAME"}})
}

fn new(labels: &Value, annotations: &Value) -> Value {
    secret("$NAME", labels, annotations)
}

fn generated(mut object: Value) -> Value {
    object["metadata"]["name"] = Value::Null;
    object["metadata"]["generateName"] = "generated-".into();
    object
}

fn metadata(labels: &Value, annotations: &Value) -> Value {
    json!({"metadata": {"labels": labels, "annotations": annotations}})
}

fn label(labels: &Value) -> Call {
    patch(json!({"metadata": {"labels": labels}}))
}

/// As of `kubectl annotate`; keyporter's owner for the most part.
pub(super) fn annotate(annotations: &Value) -> Call {
    patch(json!({"metadata": {"annotations": annotations}}))
}

/// The annotation; `$WHO` is who tries.
pub(super) fn owner(user: &str) -> Value {
    json!({"keyporter.dev/owner": user})
}

fn env() -> Value {
    json!({"keyporter.dev/kind": "env"})
}

fn shared() -> Value {
    json!({"keyporter.dev/kind": "env", "keyporter.dev/scope": "project"})
}

fn to_konduktors(kind: &str) -> Value {
    json!({"keyporter.dev/kind": null, "parent": "konduktor", "trainy.ai/secret-kind": kind})
}

/// What would take the credentials of everybody's pods.
fn values() -> Value {
    json!({"stringData": {"HTTP_PROXY": "http://proxy.invalid"}})
}
