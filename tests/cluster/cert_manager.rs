//! The chart with certificates from cert-manager: its real controllers and injector, on an API server of their own that calls
//! keyporter by its Service.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
};
use keyporter::documents::Documents;
use kube::{Api, Client, api::DeleteParams};
use libtest_mimic::Trial;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval, sleep},
};

use crate::{
    chart::{self, NAMESPACE, authorities, timeouts},
    harness::{Cluster, Harness},
    https,
    support::{
        Result,
        cert_manager::CertManager,
        control_plane::{ADMIN, ControlPlane, Nodes},
        helm::{CHART, Helm},
        keyporter::{Keyporter, USER},
        kubectl::Kubectl,
        objects,
        pod_network::PodNetwork,
        wait_for,
    },
};

const MODE: &str = "--set=certificates.mode=cert-manager";
const SECRET: &str = "keyporter-tls";
const SERVICE: &str = "keyporter.keyporter-system.svc";
const CONFIGURATION: &str = "keyporter";
/// How long after a Secret the kubelet's folder follows. A real one takes up to a minute and more.
const KUBELET_BEHIND: Duration = Duration::from_secs(3);
/// The last of the renewals.
const RENEWED_CA: &str = "asked for, of a renewed CA";
/// As on a cluster with some traffic.
const CALL_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_cert_manager("cert_manager::issues_injects_and_renews", life)]
}

async fn life(cluster: &Cluster) -> Result<()> {
    let network = PodNetwork::start()?;
    let egress = network.configuration().display();
    let flags = [format!("--egress-selector-config-file={egress}")];
    let plane =
        ControlPlane::start_with(cluster.binaries().clone(), Nodes::Objects, &flags).await?;
    let manager = CertManager::start(&plane).await?;
    let outcome = installed_and_renewed(&plane, &network).await;
    outcome.map_err(|error| format!("{error}\ncert-manager said:\n{}", manager.tail()).into())
}

async fn installed_and_renewed(plane: &ControlPlane, network: &PodNetwork) -> Result<()> {
    let kubectl = plane.kubectl(ADMIN)?;
    let helm = Helm::of_admin(plane, NAMESPACE)?;
    let arguments = ["install", "keyporter", CHART, MODE, "--create-namespace"];
    helm.run(&arguments)?.ok()?;

    let secrets: Api<Secret> = Api::namespaced(plane.admin(), NAMESPACE);
    let first = issued(&secrets, None).await?;
    let within = Duration::from_secs(30);
    wait_for("the CA in all webhooks", within, async || {
        let injected = authorities(plane, CONFIGURATION).await?;
        Ok((injected == vec![first.authority_in_base64(); 4]).then_some(()))
    })
    .await?;

    let kubelet = Kubelet::start(&plane.folder().join("tls"), secrets.clone(), &first)?;
    let binary = env!("CARGO_BIN_EXE_keyporter");
    let mut keyporter =
        Keyporter::with_files(plane, binary.as_ref(), "keyporter", USER, &kubelet.folder)?;
    keyporter.start_again().await?;
    network.lead_to(keyporter.port());
    chart::serves(plane, &kubectl).await?;

    let installation = Installation {
        plane,
        kubectl: kubectl.within(NAMESPACE),
        secrets,
        keyporter,
        alice: plane.client("alice").await?,
    };
    installation.renewals_are_noticed_by_nobody(first).await?;
    installation.stays_over_updates(&helm)?;
    let before = authorities(plane, CONFIGURATION).await?;
    assert_eq!(before.len(), 4);
    let arguments = [
        "upgrade",
        "keyporter",
        CHART,
        MODE,
        "--set=webhook.timeoutSeconds=7",
    ];
    helm.run(&arguments)?.ok()?;
    assert_eq!(timeouts(plane).await?, [7; 4]);
    assert_eq!(authorities(plane, CONFIGURATION).await?, before);
    installation.call().await
}

/// What cert-manager wrote into the Secret.
#[derive(Clone, PartialEq)]
struct Issued {
    certificate: String,
    key: String,
    authority: String,
}

impl Issued {
    fn read(secret: Secret) -> Option<Self> {
        let mut data = secret.data?;
        let mut text = |name| {
            let ByteString(bytes) = data.remove(name)?;
            String::from_utf8(bytes)
                .ok()
                .filter(|text| !text.is_empty())
        };
        Some(Self {
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            authority: text("ca.crt")?,
        })
    }

    fn authority_in_base64(&self) -> String {
        data_encoding::BASE64.encode(self.authority.as_bytes())
    }

    /// The certificate itself, without what follows it in the chain.
    fn leaf(&self) -> Result<CertificateDer<'static>> {
        Ok(CertificateDer::from_pem_slice(self.certificate.as_bytes())?)
    }
}

/// The certificate in the Secret, once there is one that is not `before`.
async fn issued(secrets: &Api<Secret>, before: Option<&Issued>) -> Result<Issued> {
    let within = Duration::from_secs(40);
    wait_for("a certificate in the Secret", within, async || {
        let issued = secrets.get_opt(SECRET).await?.and_then(Issued::read);
        Ok(issued.filter(|issued| before != Some(issued)))
    })
    .await
}

/// What the kubelet does with a volume of that Secret: its files are links into `..data`, and that is exchanged as a whole.
struct Kubelet {
    folder: PathBuf,
    task: JoinHandle<()>,
}

impl Kubelet {
    fn start(folder: &Path, secrets: Api<Secret>, first: &Issued) -> Result<Self> {
        fs::create_dir_all(folder)?;
        exchange(folder, first, 0)?;
        for name in ["ca.crt", "tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), folder.join(name))?;
        }
        let mut there = first.clone();
        let own = folder.to_owned();
        let task = tokio::spawn(async move {
            for number in 1.. {
                sleep(KUBELET_BEHIND).await;
                let secret = secrets.get_opt(SECRET).await.ok().flatten();
                // While the Secret is away the files stay.
                let Some(new) = secret.and_then(Issued::read).filter(|new| *new != there) else {
                    continue;
                };
                sleep(KUBELET_BEHIND).await;
                exchange(&own, &new, number).expect("the files can be written");
                there = new;
            }
        });
        Ok(Self {
            folder: folder.to_owned(),
            task,
        })
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// <https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go>
fn exchange(folder: &Path, issued: &Issued, number: u32) -> Result<()> {
    let data = format!("..2026_11_29_{number}");
    fs::create_dir(folder.join(&data))?;
    let Issued {
        certificate,
        key,
        authority,
    } = issued;
    for (name, content) in [
        ("tls.crt", certificate),
        ("tls.key", key),
        ("ca.crt", authority),
    ] {
        fs::write(folder.join(&data).join(name), content)?;
    }
    let next = folder.join("..data_tmp");
    symlink(&data, &next)?;
    let before = fs::read_link(folder.join("..data")).ok();
    fs::rename(next, folder.join("..data"))?;
    if let Some(before) = before {
        fs::remove_dir_all(folder.join(before))?;
    }
    Ok(())
}

struct Installation<'a> {
    plane: &'a ControlPlane,
    kubectl: Kubectl,
    secrets: Api<Secret>,
    keyporter: Keyporter,
    alice: Client,
}

impl Installation<'_> {
    /// As a pod of alice's is made: by a connection that the API server has, or a new one.
    async fn call(&self) -> Result<()> {
        let pod = objects::dry_run(&self.alice, objects::pod("vision", "probe")).await?;
        let pod: Pod = objects::as_pod(pod)?;
        let annotations = pod.metadata.annotations.unwrap_or_default();
        assert_eq!(annotations["keyporter.dev/owner"], "alice");
        Ok(())
    }

    /// A new connection by who trusts what the webhook configurations say; gives the certificate that is shown.
    async fn connect(&self) -> Result<CertificateDer<'static>> {
        loop {
            let bundles = authorities(self.plane, CONFIGURATION).await?;
            let bundle = bundles.first().ok_or("no webhook has a CA")?;
            let client = https::Client::new(data_encoding::BASE64.decode(bundle.as_bytes())?);
            let address = self.keyporter.address();
            match client.handshake_as(&address, SERVICE).await {
                Ok(stream) => {
                    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    let shown = shown.first().ok_or("no certificate is shown")?;
                    return Ok(shown.clone().into_owned());
                }
                // On a busy machine the bundle may be an old one by now.
                Err(error) if authorities(self.plane, CONFIGURATION).await? == bundles => {
                    return Err(format!("{error}\n{}", self.keyporter.log()).into());
                }
                Err(_) => {}
            }
        }
    }

    /// The Secret goes; somebody asks for a renewal; the CA itself is renewed, and then what it signs. A pod is made every
    /// 50 ms all the time, and a connection by who trusts what the configurations say at that moment.
    async fn renewals_are_noticed_by_nobody(&self, first: Issued) -> Result<()> {
        let mut last = first;
        let mut calls = 0;
        for renewal in ["deleted", "asked for", RENEWED_CA] {
            let describe = |error| format!("{renewal}, after {calls} calls: {error}");
            self.call().await.map_err(describe)?;
            match renewal {
                "deleted" => drop(
                    self.secrets
                        .delete(SECRET, &DeleteParams::default())
                        .await?,
                ),
                "asked for" => self.renew("keyporter")?,
                _ => {
                    self.renew_authority().await?;
                    self.renew("keyporter")?;
                }
            }
            let mut ticks = interval(CALL_EVERY);
            let deadline = Instant::now() + Duration::from_secs(40);
            let mut new = None;
            loop {
                ticks.tick().await;
                let describe = |error| format!("{renewal}, after {calls} calls: {error}");
                self.call().await.map_err(describe)?;
                let shown = self.connect().await.map_err(describe)?;
                calls += 1;
                let there = self.secrets.get_opt(SECRET).await?.and_then(Issued::read);
                new = there.filter(|there| *there != last).or(new);
                if let Some(new) = &new
                    && shown == new.leaf()?
                {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "{renewal}: after {calls} calls the new certificate is not in use\n{}",
                    self.keyporter.log()
                );
            }
            let new = new.ok_or("there is a new certificate")?;
            // Of another CA only where that was renewed.
            let of_another = new.authority != last.authority;
            assert_eq!(of_another, renewal == RENEWED_CA);
            last = new;
        }
        println!("{calls} calls through three renewals, none failed");
        Ok(())
    }

    /// What `cmctl renew` writes.
    fn renew(&self, certificate: &str) -> Result<()> {
        let condition = json!({
            "type": "Issuing",
            "status": "True",
            "reason": "ManuallyTriggered",
            "message": "Certificate re-issuance manually triggered",
            "lastTransitionTime": "2026-11-29T00:00:00Z",
        });
        let read = self
            .kubectl
            .run(&["get", "certificate", certificate, "-o", "json"])?
            .ok()?;
        let mut object: Value = serde_json::from_str(&read)?;
        let conditions = object["status"]["conditions"].as_array_mut();
        let conditions = conditions.ok_or("the certificate has conditions")?;
        conditions.retain(|condition| condition["type"] != "Issuing");
        conditions.push(condition);
        let replace = ["replace", "--subresource=status", "-f", "-"];
        self.kubectl
            .run_with_input(&replace, &object.to_string())?
            .ok()?;
        Ok(())
    }

    /// As it is renewed some time before its end.
    async fn renew_authority(&self) -> Result<()> {
        let secret = "keyporter-cert-manager-ca";
        let read = async |name: &str| -> Result<Option<ByteString>> {
            let secret = self.secrets.get(secret).await?;
            Ok(secret.data.and_then(|mut data| data.remove(name)))
        };
        let (before, key) = (read("tls.crt").await?, read("tls.key").await?);
        self.renew(secret)?;
        let within = Duration::from_secs(30);
        wait_for("the CA to be renewed", within, async || {
            Ok((read("tls.crt").await? != before).then_some(()))
        })
        .await?;
        // cert-manager tells the webhooks of a new CA at once; the pods' files are behind. Only what the key signs itself
        // holds for both.
        assert!(key.is_some() && read("tls.key").await? == key);
        Ok(())
    }

    /// Who applies what the chart renders, as Argo CD and Flux do, finds no difference and makes none.
    fn stays_over_updates(&self, helm: &Helm) -> Result<()> {
        let rendered = helm.template(&[MODE, "--skip-tests"])?;
        let certificates = Documents::split(&rendered)
            .iter()
            .filter(|document| {
                let value = document.value("the chart");
                value.is_ok_and(|value| value["kind"] == "Certificate")
            })
            .count();
        assert_eq!(certificates, 2);
        let by_server = [
            "--server-side",
            "--force-conflicts",
            "--field-manager=gitops",
            "-f",
            "-",
        ];
        for verb in ["diff", "apply", "diff"] {
            let arguments = [&[verb], &by_server[..]].concat();
            let outcome = self.kubectl.run_with_input(&arguments, &rendered)?;
            assert!(outcome.success, "{verb}: {outcome:?}");
            assert!(verb == "apply" || outcome.stdout.is_empty(), "{outcome:?}");
        }
        Ok(())
    }
}
