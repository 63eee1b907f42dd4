//! Admissions in this process, without a network: the routes of the webhook, called.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, atomic::AtomicBool};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::service::Service as _;
use hyper::{Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use keyporter::access::Access;
use keyporter::catalog::confirm::Confirmations;
use keyporter::catalog::{Catalog, files};
use keyporter::events::Events;
use keyporter::inject::owner::Owner;
use keyporter::inject::settings::Settings;
use keyporter::inject::{self, Decision, patch};
use keyporter::metrics::Metrics;
use keyporter::ownership::Ownership;
use keyporter::webhook::{self, Webhook, steps};

use crate::secrets::{NAMESPACE, OWNER};

/// A webhook that can be called.
pub struct Called(TowerToHyperService<Router>);

impl Called {
    /// One that knows the Secrets in a folder.
    #[must_use]
    pub fn with_secrets(folder: &Path) -> Self {
        let settings = Settings::default();
        let catalog = Catalog::of(&settings);
        let loaded = files::load(&[folder.to_owned()], "default").expect("Secrets");
        loaded.fill(&catalog);
        Self(TowerToHyperService::new(router(catalog, settings)))
    }

    /// Answers one review.
    pub async fn admit(&self, body: Bytes) -> Bytes {
        let request = Request::post("/mutate").body(Body::from(body));
        let response = self.0.call(request.expect("a request")).await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await;
        body.expect("a body").to_bytes()
    }
}

/// The webhook's routes, with everything that a standalone one has.
pub fn router(catalog: Catalog, settings: Settings) -> Router {
    webhook::router(Webhook {
        catalog,
        settings: Arc::new(settings),
        metrics: Metrics::new(),
        access: Access::default(),
        confirmations: Confirmations::default(),
        ownership: Ownership::standalone([7; 32]),
        events: Events::default(),
        complete: Arc::new(AtomicBool::new(true)),
    })
}

/// A step of an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// The body is read.
    Decode,
    /// What is read is decided on.
    Decide,
    /// The decision becomes a patch.
    Patch,
    /// The patch becomes an answer.
    Encode,
}

/// The steps one by one.
pub struct Steps {
    catalog: Catalog,
    settings: Settings,
}

impl Steps {
    /// With the Secrets in a folder.
    #[must_use]
    pub fn with_secrets(folder: &Path) -> Self {
        let settings = Settings::default();
        let catalog = Catalog::of(&settings);
        let loaded = files::load(&[folder.to_owned()], "default").expect("Secrets");
        loaded.fill(&catalog);
        Self { catalog, settings }
    }

    /// Admits as far as to this step.
    pub fn take(&self, step: Step, body: &[u8]) {
        let pod = steps::read(body).expect("a pod");
        if step == Step::Decode {
            return drop(black_box(pod));
        }
        let request = inject::Request {
            requester: OWNER,
            person: Some(OWNER),
            groups: &[],
            namespace: NAMESPACE,
        };
        let shelves = self.catalog.shelves(NAMESPACE, Some(OWNER));
        let owner = Owner::requester(request, &self.settings);
        let decision = inject::decide(request, &pod, owner, shelves.visible(), &self.settings);
        let Decision::Inject(plan) = &decision else {
            panic!("nothing is injected")
        };
        if step == Step::Decide {
            return drop(black_box(decision));
        }
        let patch = patch::write(plan, "");
        if step == Step::Patch {
            return drop(black_box(patch));
        }
        drop(black_box(steps::write(
            "0e0ef361-65f4-4d62-9700-b267277e02ef",
            patch,
        )));
    }
}
