//! The server at its port: connections, encryption, and its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use ziet_core::Scope;
use ziet_server::{Server, ServerSettings, TlsFiles};

use crate::served::{PATIENCE, Served};

struct Listening {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Listening {
    async fn start(served: &Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let opened = Server::open(Arc::clone(&served.platform)).await.unwrap();
        let ended = tokio::spawn(opened.serve(listener, stop.clone()));
        Self {
            address,
            stop,
            ended,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.ended).await.unwrap().unwrap();
    }
}

fn submit(key: &str, action: &str, input: &str) -> String {
    let body = format!(r#"{{"action_id": "actions.{action}", "input": {input}}}"#);
    format!(
        "POST /v1/runs?wait=60 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn who_waits_when_the_server_stops_is_answered_before_it_ends() {
    let served = Served::start(ServerSettings::default());
    let key = served.key(Some("shop"), &[Scope::Run]).await;
    let listening = Listening::start(&served).await;
    let mut waiting = listening.connect().await;
    let mut idle = listening.connect().await;
    waiting
        .write_all(submit(&key, "rest", r#"{"seconds": 300}"#).as_bytes())
        .await
        .unwrap();
    while served.figures().executing == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let address = listening.address;
    timeout(PATIENCE, listening.end()).await.unwrap();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_engine_that_hangs_has_no_turn() {
    let served = Served::start(ServerSettings::default());
    timeout(PATIENCE, served.platform.turn()).await.unwrap();
    let release = served.hang();
    let mut turn = std::pin::pin!(served.platform.turn());
    assert!(
        timeout(Duration::from_millis(200), &mut turn)
            .await
            .is_err()
    );
    drop(release);
    timeout(PATIENCE, turn).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_used_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("server.pem"),
        key: folder.path().join("server.key"),
    };
    put(&files, "first");
    let settings = ServerSettings {
        tls: Some(files.clone()),
        ..ServerSettings::default()
    };
    let served = Served::start(settings);
    let listening = Listening::start(&served).await;
    assert_eq!(shown(&listening).await, certificate("first"));
    put(&files, "second");
    timeout(PATIENCE, async {
        while shown(&listening).await != certificate("second") {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    // One that cannot be used changes nothing.
    std::fs::write(&files.certificate, "nothing").unwrap();
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(shown(&listening).await, certificate("second"));
    listening.end().await;
}

#[tokio::test]
async fn a_server_without_its_certificate_does_not_begin() {
    let nowhere = Path::new("/nowhere/server.pem");
    let files = TlsFiles {
        certificate: nowhere.to_owned(),
        key: nowhere.to_owned(),
    };
    let served = Served::start(ServerSettings {
        tls: Some(files),
        ..ServerSettings::default()
    });
    let opened = Server::open(Arc::clone(&served.platform)).await;
    assert_eq!(
        opened.err().unwrap().to_string(),
        "cannot find /nowhere/server.pem"
    );
}

fn path(name: &str, kind: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/certificates");
    folder.join(format!("{name}.{kind}"))
}

fn put(files: &TlsFiles, name: &str) {
    std::fs::copy(path(name, "key"), &files.key).unwrap();
    std::fs::copy(path(name, "pem"), &files.certificate).unwrap();
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path(name, "pem")).unwrap()
}

/// The certificate that a client is shown, which has asked for something and got it.
async fn shown(listening: &Listening) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    for name in ["first", "second"] {
        roots.add(certificate(name)).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector
        .connect(name, listening.connect().await)
        .await
        .unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}
