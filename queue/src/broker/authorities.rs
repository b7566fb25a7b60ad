//! The certificate authorities that Redis' certificate is checked against, from the file that holds them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Longest file, in bytes: several times the list of all public authorities.
const MAX_BYTES: u64 = 1 << 20;

/// Certificates of authorities in PEM, at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities {
    pem: Vec<u8>,
    count: usize,
}

/// Why there are no authorities.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The file can't be read.
    #[error("reading Redis' certificate authorities from {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file is longer than any list of authorities.
    #[error("reading Redis' certificate authorities from {0}: more than {MAX_BYTES} bytes")]
    TooLong(PathBuf),
    /// It holds no certificate.
    #[error("{0} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    Empty(PathBuf),
    /// It holds something else.
    #[error("{path} holds a certificate that can't be used: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Authorities {
    /// Those in the file at `path`, of at most 1 MiB.
    pub fn read(path: &Path) -> Result<Self, AuthoritiesError> {
        let mut pem = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut pem));
        let bytes = read.map_err(|source| AuthoritiesError::Read { path: path.to_owned(), source })?;
        if bytes as u64 > MAX_BYTES {
            return Err(AuthoritiesError::TooLong(path.to_owned()));
        }
        match count(&pem) {
            Ok(0) => Err(AuthoritiesError::Empty(path.to_owned())),
            Ok(count) => Ok(Self { pem, count }),
            Err(reason) => Err(AuthoritiesError::Malformed { path: path.to_owned(), reason }),
        }
    }

    pub(super) fn pem(&self) -> &[u8] {
        &self.pem
    }
}

/// The certificates in `pem`, each of which must be one that can be trusted.
fn count(pem: &[u8]) -> Result<usize, String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(store.len())
}

/// Whether this machine trusts any authority: by `SSL_CERT_FILE` and `SSL_CERT_DIR`, or where distributions keep them.
pub(super) fn system_has_some() -> bool {
    !rustls_native_certs::load_native_certs().certs.is_empty()
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_of_certificates_is_refused_with_the_files_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        let said = |content: &str| {
            std::fs::write(&path, content).unwrap();
            let error = Authorities::read(&path).unwrap_err().to_string();
            assert!(error.contains("ca.crt"), "{error}");
            error
        };
        assert!(said("").contains("no certificate"));
        assert!(said("hunter2").contains("no certificate"));
        let framed = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(said(framed).contains("can't be used"));
        assert!(said("-----BEGIN CERTIFICATE-----\nAAAA\n").contains("can't be used"));
        assert!(said(&"x".repeat((1 << 20) + 1)).contains("more than 1048576 bytes"));
        let missing = Authorities::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none: No such file"), "{missing}");
    }
}
