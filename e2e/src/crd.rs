//! Installing a CRD on whichever server.
use std::time::Instant;

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{ListParams, PostParams, Request},
};

use crate::process::{POLL, READY_WITHIN};

/// Creates `crd` and waits until its objects can be listed.
pub(crate) async fn install(client: &Client, crd: &CustomResourceDefinition) -> anyhow::Result<()> {
    Api::all(client.clone()).create(&PostParams::default(), crd).await?;
    let list = format!("/apis/{}/{}/{}", crd.spec.group, crd.spec.versions[0].name, crd.spec.names.plural);
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        match client.request_text(Request::new(&list).list(&ListParams::default())?).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error).context("the CRD is not served"),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}
