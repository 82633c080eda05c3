//! Encryption of connections, with a certificate that may be replaced while the server runs.
//!
//! The files are looked at when somebody connects, at most once a second: nothing has to wake up for it, and a link that is
//! pointed elsewhere is seen like a file that is written anew.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::platform::TlsFiles;

/// How long a look at the files is good for.
const LOOK: Duration = Duration::from_secs(1);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {0}")]
    Read(String, #[source] pem::Error),
    #[error("cannot find {0}")]
    Find(String, #[source] io::Error),
    #[error("the certificate {0} and its key cannot be used")]
    Unfit(String, #[source] rustls::Error),
}

impl TlsFiles {
    /// Whether a server can encrypt with them, as they are now.
    ///
    /// # Errors
    /// When one is missing or is no such file, or they do not belong together.
    pub fn check(&self) -> Result<(), TlsError> {
        read(self).map(drop)
    }
}

/// Gives each connection what the files held when it came.
pub(crate) struct Tls {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    read_from: [Version; 2],
    looked: Instant,
}

/// What differs when a file was changed or another one stands in its place.
type Version = (u64, u64, i64, i64);

impl Tls {
    pub(crate) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let read_from = versions(&files)?;
        let current = Current {
            config: read(&files)?,
            read_from,
            looked: Instant::now(),
        };
        Ok(Self {
            files,
            current: Mutex::new(current),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            self.look(&mut current);
        }
        TlsAcceptor::from(Arc::clone(&current.config))
    }

    fn look(&self, current: &mut Current) {
        let renewed = versions(&self.files).and_then(|found| {
            if found == current.read_from {
                return Ok(None);
            }
            // One of the two may be there while the other is still the old one: the next look sees the rest.
            Ok(Some((read(&self.files)?, found)))
        });
        match renewed {
            Ok(None) => {}
            Ok(Some((config, found))) => {
                tracing::info!("the certificate was read again");
                (current.config, current.read_from) = (config, found);
            }
            Err(error) => {
                tracing::warn!("the certificate that was read before stays in use: {error}");
            }
        }
    }
}

fn versions(files: &TlsFiles) -> Result<[Version; 2], TlsError> {
    let version = |path: &Path| {
        let seen = std::fs::metadata(path);
        seen.map(|seen: Metadata| (seen.ino(), seen.len(), seen.mtime(), seen.mtime_nsec()))
            .map_err(|error| TlsError::Find(path.display().to_string(), error))
    };
    Ok([version(&files.certificate)?, version(&files.key)?])
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let named = |path: &Path, error| TlsError::Read(path.display().to_string(), error);
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| named(&files.certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| named(&files.key, error))?;
    let unfit = |error| TlsError::Unfit(files.certificate.display().to_string(), error);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
