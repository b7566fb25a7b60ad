//! Certificates of a test's servers and of those who talk to them.
use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// Makes `ca.crt`, and `server.crt` for 127.0.0.1 and a certificate for each of `users` with their keys, in `dir`. A user is
/// a file's name and a subject.
pub(crate) fn make_certificates(dir: &Path, users: &[(&str, &str)]) -> anyhow::Result<()> {
    fs::write(dir.join("extensions"), "subjectAltName=IP:127.0.0.1")?;
    openssl(dir, &format!("req -x509 {NEW_KEY} -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca"))?;
    for (name, subject) in [("server", "/CN=server")].iter().chain(users) {
        openssl(dir, &format!("req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj {subject}"))?;
        let signed_by = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions";
        openssl(dir, &format!("x509 -req -in {name}.csr -out {name}.crt {signed_by}"))?;
    }
    Ok(())
}

fn openssl(dir: &Path, arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
    let output = output.context("openssl is missing: install the package openssl")?;
    ensure!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A kubeconfig for `user` with the certificates in `dir`, for the server at `port` of 127.0.0.1.
pub(crate) fn kubeconfig(dir: &Path, port: u16, user: &str) -> String {
    let dir = dir.display();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: {dir}/ca.crt}}}}]\n\
         users: [{{name: {user}, user: {{client-certificate: {dir}/{user}.crt, client-key: {dir}/{user}.key}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: {user}}}}}]\n"
    )
}
