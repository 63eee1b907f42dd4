//! Usernames that look like alice's or a controller's are neither.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    call::Call,
    people::People,
    table::{forged, pod},
};
use crate::{
    harness::{Cluster, Harness},
    project::{SHARED, secret_names},
    support::{Result, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("attacks::by_look_alike_names", look_alikes)]
}

async fn look_alikes(cluster: &Cluster) -> Result<()> {
    let people = People::new(cluster, "attacks-names").await?;
    let long = format!("alice{}", "e".repeat(1019));
    for user in [
        "Alice",
        "ALICE",
        "ali\u{441}e",
        "alice\u{200b}",
        "alice smith",
        "al\u{ed}ce",
        "alice@example.com",
        "oidc:alice",
        "system:serviceaccount:attacks-names:alice",
        "system:kube-controller-manager2",
        "System:kube-controller-manager",
        "system:serviceaccount:kube-system:job-controller2",
        "system:serviceaccount:attacks-names:job-controller",
        &long,
    ] {
        objects::allow_edit(&people.admin, &people.namespace, user).await?;
        let ask = async |annotations: Value| {
            let call = Call::create("Pod", pod(&annotations)).dry_run();
            let call = call.filled(&[("$TRY", "strange".to_owned())]);
            people.ask_as(Some(user), &call).await
        };
        let made = ask(json!({})).await??;
        assert_eq!(
            made["metadata"]["annotations"]["keyporter.dev/owner"], user,
            "{made}"
        );
        assert_eq!(
            secret_names(&serde_json::from_value(made)?),
            [SHARED],
            "{user}"
        );
        let refused = ask(forged()).await?;
        assert!(
            matches!(&refused, Err(sentence) if sentence.contains("names \"alice\"")),
            "{user}: {refused:?}"
        );
    }
    // And nobody gets to be alice by saying so.
    for way in [
        "--as=alice",
        "--as=system:serviceaccount:kube-system:job-controller",
    ] {
        let kubectl = cluster.kubectl("bob")?.within(&people.namespace);
        let outcome = kubectl.run(&["get", "pods", way])?;
        assert!(outcome.stderr.contains("cannot impersonate"), "{outcome:?}");
    }
    Ok(())
}
