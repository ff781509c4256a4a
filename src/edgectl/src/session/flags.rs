//! What the flags of every verb do, for tests.
//!
//! In: command lines. Out: sessions with servers of this machine, and what these hear. Never looks at a verb.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use kedge_client::ResourcePath;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::Session;
use crate::args::read;

type Heads = Arc<Mutex<Vec<String>>>;

/// Answers one request with an empty object.
async fn answer(mut link: impl AsyncRead + AsyncWrite + Unpin, heads: Heads) {
    let mut head = vec![0; 8192];
    let Ok(count) = link.read(&mut head).await else { return };
    heads.lock().unwrap().push(String::from_utf8_lossy(&head[..count]).to_lowercase());
    let _ = link.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await;
}

/// A server; its port, and what it hears. With a certificate it speaks TLS.
async fn serve(tls: Option<TlsAcceptor>) -> (u16, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, heads) = (listener.local_addr().unwrap().port(), Heads::default());
    let heard = heads.clone();
    tokio::spawn(async move {
        while let Ok((link, _)) = listener.accept().await {
            let (tls, heard) = (tls.clone(), heard.clone());
            tokio::spawn(async move {
                match tls {
                    None => answer(link, heard).await,
                    Some(tls) => {
                        if let Ok(link) = tls.accept(link).await {
                            answer(link, heard).await;
                        }
                    }
                }
            });
        }
    });
    (port, heads)
}

/// Asks for a pod with these flags.
async fn ask(flags: &str) -> Result<Session, String> {
    let global = read(&format!("edgectl get pods {flags}")).unwrap().global;
    let session = Session::open(&global, true).await.map_err(|e| e.to_string())?;
    session.client.get(&ResourcePath::core("pods").name("a")).await.map_err(|e| crate::Failure::Api(e).words())?;
    Ok(session)
}

#[tokio::test]
async fn the_server_hears_as_whom_one_asks() {
    let (port, heads) = serve(None).await;
    let server = format!("--kubeconfig=/dev/null -s http://127.0.0.1:{port}");
    for (flags, words) in [
        ("--token=t", &["authorization: bearer t\r\n"][..]),
        ("--as=jane", &["impersonate-user: jane\r\n"]),
        (
            "--as jane --as-group=dev --as-group=ops",
            &["impersonate-user: jane\r\n", "impersonate-group: dev\r\n", "impersonate-group: ops\r\n"],
        ),
        ("-n other --request-timeout=5s", &["get /api/v1/pods/a http/1.1\r\n"]),
    ] {
        heads.lock().unwrap().clear();
        ask(&format!("{server} {flags}")).await.unwrap();
        let heard = heads.lock().unwrap().join("");
        assert!(words.iter().all(|word| heard.contains(word)), "{flags}: {heard}");
    }
}

/// A folder of its own, which goes in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("edgectl-session-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn flags_choose_in_the_kubeconfig() {
    let ((one, of_one), (two, of_two)) = (serve(None).await, serve(None).await);
    let folder = Folder::new("context");
    let config = folder.file(
        "config",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- {{name: c, cluster: {{server: 'http://127.0.0.1:{one}'}}}}\n- {{name: d, cluster: {{server: 'http://127.0.0.1:{two}'}}}}\nusers:\n- {{name: u, user: {{token: tu}}}}\n- {{name: v, user: {{token: tv}}}}\ncontexts:\n- {{name: a, context: {{cluster: c, user: u, namespace: na}}}}\n- {{name: b, context: {{cluster: d, user: v, namespace: nb}}}}\n"
        ),
    );
    for (flags, port, namespace, token) in [
        ("", one, "na", "tu"),
        ("--context=b", two, "nb", "tv"),
        ("--cluster=d", two, "na", "tu"),
        ("--user=v", one, "na", "tv"),
        ("--context=b -n own", two, "own", "tv"),
        ("--context=b --token=other", two, "nb", "other"),
    ] {
        [&of_one, &of_two].into_iter().for_each(|heads| heads.lock().unwrap().clear());
        let session = ask(format!("--kubeconfig={config} {flags}").trim()).await.unwrap();
        assert_eq!(session.url, format!("http://127.0.0.1:{port}/"), "{flags}");
        assert_eq!((session.namespace.as_str(), session.namespace_given), (namespace, flags.contains("-n")), "{flags}");
        let heard = [of_one.lock().unwrap().join(""), of_two.lock().unwrap().join("")].concat();
        assert!(heard.contains(&format!("authorization: bearer {token}\r\n")), "{flags}: {heard}");
    }
    assert!(ask(&format!("--kubeconfig={config} --context=none")).await.is_err());
}

#[tokio::test]
async fn a_certificate_is_checked_unless_it_is_said_otherwise() {
    let made = rcgen::generate_simple_self_signed(["device.lan".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let (port, heads) = serve(Some(TlsAcceptor::from(Arc::new(config.unwrap())))).await;
    let folder = Folder::new("tls");
    let ca = folder.file("ca.crt", &made.cert.pem());
    let server = format!("--kubeconfig=/dev/null -s https://127.0.0.1:{port}");
    for (flags, ends_well) in [
        (String::new(), false),
        ("--insecure-skip-tls-verify".to_owned(), true),
        (format!("--certificate-authority={ca}"), false),
        (format!("--certificate-authority={ca} --tls-server-name=other.lan"), false),
        (format!("--certificate-authority={ca} --tls-server-name=device.lan"), true),
    ] {
        heads.lock().unwrap().clear();
        let done = ask(format!("{server} {flags}").trim()).await;
        assert_eq!(done.is_ok(), ends_well, "{flags}: {:?}", done.err());
        assert_eq!(heads.lock().unwrap().is_empty(), !ends_well, "{flags}");
    }
}
