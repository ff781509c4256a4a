//! Manifests from elsewhere: `-f https://…`.
//!
//! In: an address. Out: what is there, of a bounded size and in bounded time. A server's certificate is checked with the
//! machine's own roots (SSL_CERT_FILE and SSL_CERT_DIR name others). Never sends a credential of the cluster, and never
//! follows a redirect from https to http.

use std::time::Duration;

use http::{Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kedge_api::base64;
use kedge_api::decode::Limits;
use kedge_client::kube::{self, client::Body};
use tokio::time::{sleep, timeout};

use crate::error::{Failure, causes};

/// The longest time for one address: a manifest of the largest size over a slow link.
const LIMIT: Duration = Duration::from_secs(60);
/// Tries while the server has a fault of its own, and the wait between two, as kubectl does.
const TRIES: usize = 3;
const AGAIN: Duration = Duration::from_secs(1);
/// Redirects that are followed, as in Go.
const HOPS: usize = 10;

/// Whether a word of `-f` is an address.
pub fn is_address(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

/// What is at an address.
pub async fn read(address: &str) -> Result<Vec<u8>, Failure> {
    within(address, LIMIT, AGAIN).await
}

async fn within(address: &str, limit: Duration, again: Duration) -> Result<Vec<u8>, Failure> {
    match timeout(limit, tries(address, again)).await {
        Ok(done) => done,
        Err(_) => Err(fault(address, format!("there was no whole answer within {limit:?}"))),
    }
}

fn fault(address: &str, why: impl std::fmt::Display) -> Failure {
    Failure::said(format!("unable to read URL \"{}\": {why}", shown(address)))
}

/// An address as it may be told: without a password.
fn shown(address: &str) -> String {
    match address.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (user, rest))) if !user.contains('/') => format!("{scheme}://{rest}"),
        _ => address.to_owned(),
    }
}

async fn tries(address: &str, again: Duration) -> Result<Vec<u8>, Failure> {
    let mut tried = 1;
    loop {
        let failure = match hops(address).await {
            Ok(Answer::Whole(bytes)) => return Ok(bytes),
            Ok(Answer::Refused(status)) => {
                let words = status.canonical_reason().unwrap_or("nothing more");
                let failure = Failure::said(format!(
                    "unable to read URL \"{}\", server reported {} {words}, status code={}",
                    shown(address),
                    status.as_u16(),
                    status.as_u16()
                ));
                if !status.is_server_error() {
                    return Err(failure);
                }
                failure
            }
            Err(Trouble::Passing(failure)) => failure,
            Err(Trouble::Lasting(failure)) => return Err(failure),
        };
        if tried == TRIES {
            return Err(failure);
        }
        tried += 1;
        sleep(again).await;
    }
}

enum Answer {
    Whole(Vec<u8>),
    Refused(StatusCode),
}

enum Trouble {
    /// A link that may be there a second later.
    Passing(Failure),
    /// What stays as it is.
    Lasting(Failure),
}

/// Follows redirects.
async fn hops(address: &str) -> Result<Answer, Trouble> {
    let lasting = |why: String| Trouble::Lasting(fault(address, why));
    let mut at: Uri = address.parse().map_err(|e| lasting(format!("it is no URL: {e}")))?;
    for hop in 0..=HOPS {
        let answer = one(&at, hop == 0).await.map_err(|e| Trouble::Passing(fault(address, e)))?;
        let status = answer.status();
        let follows = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        if let Some(place) = answer.headers().get(header::LOCATION).filter(|_| follows) {
            let place = place.to_str().map_err(|_| lasting("it redirects to what is no URL".to_owned()))?;
            let next =
                joined(&at, place).ok_or_else(|| lasting(format!("it redirects to {place}, which is no URL")))?;
            if at.scheme() == Some(&Scheme::HTTPS) && next.scheme() != Some(&Scheme::HTTPS) {
                return Err(lasting(format!("it redirects from https to {next}, which is not followed")));
            }
            at = next;
            continue;
        }
        if status != StatusCode::OK {
            return Ok(Answer::Refused(status));
        }
        let large = || lasting(format!("it is larger than {} bytes", Limits::MANIFEST.bytes));
        let told = answer.headers().get(header::CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
        if told.is_some_and(|size: u64| size > Limits::MANIFEST.bytes as u64) {
            return Err(large());
        }
        return match Limited::new(answer.into_body(), Limits::MANIFEST.bytes).collect().await {
            Ok(whole) => Ok(Answer::Whole(whole.to_bytes().into())),
            Err(e) if e.downcast_ref::<LengthLimitError>().is_some() => Err(large()),
            Err(e) => Err(Trouble::Passing(fault(address, e))),
        };
    }
    Err(lasting(format!("stopped after {HOPS} redirects")))
}

/// One request. A user and password that stand in the address go to its own server only.
async fn one(at: &Uri, is_first: bool) -> Result<http::Response<Body>, String> {
    let authority = at.authority().map_or("", |authority| authority.as_str());
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let scheme = at.scheme_str().unwrap_or("http");
    let server: Uri = format!("{scheme}://{host}").parse().map_err(|e| format!("it is no URL: {e}"))?;
    let mut config = kube::Config::new(server);
    config.default_retry = false;
    let client = kube::Client::try_from(config).map_err(|e| causes(&e))?;
    let path = at.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path).header(header::USER_AGENT, concat!("edgectl/", env!("CARGO_PKG_VERSION")));
    if let Some(user) = user.filter(|_| is_first) {
        request = request.header(header::AUTHORIZATION, format!("Basic {}", base64::encode(&plain(user))));
    }
    let request = request.body(Body::empty()).map_err(|e| e.to_string())?;
    client.send(request).await.map_err(|e| causes(&e))
}

/// `%40` as `@`.
fn plain(text: &str) -> Vec<u8> {
    let (mut found, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(code) => (found.push(code), rest = &after[2..]).0,
            None => (found.push(*first), rest = after).0,
        }
    }
    found
}

/// Where a redirect leads.
fn joined(at: &Uri, place: &str) -> Option<Uri> {
    if is_address(place) {
        return place.parse().ok();
    }
    let (scheme, authority) = (at.scheme_str()?, at.authority()?.as_str());
    let text = if let Some(rest) = place.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if place.starts_with('/') {
        format!("{scheme}://{authority}{place}")
    } else {
        let folder = at.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{place}")
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server that gives these answers to the paths `/0`, `/1` and so on; what it was asked.
    async fn serve(answers: Vec<String>) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let (log, own) = (Arc::<std::sync::Mutex<Vec<String>>>::default(), address.clone());
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok((mut link, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let count = link.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..count]).into_owned();
                let at: usize = head.split([' ', '/', '?']).nth(2).and_then(|at| at.parse().ok()).unwrap_or(0);
                kept.lock().unwrap().push(head);
                if let Some(answer) = answers.get(at) {
                    link.write_all(answer.replace("HOST", &own).as_bytes()).await.unwrap();
                }
            }
        });
        (address, log)
    }

    fn answer(code: u16, head: &str, body: &str) -> String {
        format!("HTTP/1.1 {code} X\r\nconnection: close\r\ncontent-length: {}\r\n{head}\r\n{body}", body.len())
    }

    async fn told(address: &str) -> String {
        match within(address, Duration::from_secs(20), Duration::ZERO).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(failure) => failure.to_string(),
        }
    }

    #[tokio::test]
    async fn an_address_is_read() {
        let answers = vec![
            answer(200, "", "kind: Pod"),
            answer(404, "", "no"),
            answer(503, "", "no"),
            answer(302, "location: 0\r\n", ""),
            answer(301, "location: http://HOST/0\r\n", ""),
            answer(302, "location: /5\r\n", ""),
            answer(302, "location: http://[\r\n", ""),
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", Limits::MANIFEST.bytes + 1),
        ];
        let (host, log) = serve(answers).await;
        for (path, expected, asks) in [
            ("0", "kind: Pod", 1),
            ("0?a=b", "kind: Pod", 1),
            ("1", "unable to read URL \"http://HOST/1\", server reported 404 Not Found, status code=404", 1),
            (
                "2",
                "unable to read URL \"http://HOST/2\", server reported 503 Service Unavailable, status code=503",
                TRIES,
            ),
            ("3", "kind: Pod", 2),
            ("4", "kind: Pod", 2),
            ("5", "unable to read URL \"http://HOST/5\": stopped after 10 redirects", HOPS + 1),
            ("6", "unable to read URL \"http://HOST/6\": it redirects to http://[, which is no URL", 1),
            ("7", "unable to read URL \"http://HOST/7\": it is larger than", 1),
        ] {
            log.lock().unwrap().clear();
            let said = told(&format!("http://{host}/{path}")).await;
            let expected = expected.replace("HOST", &host);
            assert!(said.starts_with(&expected), "{path}: {said}");
            assert_eq!(log.lock().unwrap().len(), asks, "{path}");
        }
        assert!(told("http://").await.contains("no URL"));
    }

    #[tokio::test]
    async fn a_password_goes_to_its_server_and_to_no_screen() {
        let answers = vec![answer(404, "", ""), answer(302, "location: http://HOST/0\r\n", "")];
        let (host, log) = serve(answers).await;
        let said = told(&format!("http://jane:a%40b@{host}/1")).await;
        assert!(!said.contains("jane") && said.contains(&format!("http://{host}/1")), "{said}");
        let asked: Vec<bool> = log.lock().unwrap().iter().map(|head| head.to_lowercase().contains("basic")).collect();
        assert_eq!(asked, [true, false]);
        assert!(log.lock().unwrap()[0].contains(&base64::encode(b"jane:a@b")));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/a", listener.local_addr().unwrap());
        let said = within(&address, Duration::from_millis(50), Duration::ZERO).await.unwrap_err().to_string();
        assert!(said.contains(&address) && said.contains("within 50ms"), "{said}");
        drop(listener);
        let said = told(&address).await;
        assert!(said.contains(&address) && said.contains("refused"), "{said}");
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_knows_is_refused() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = tokio_rustls::rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}/a", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((link, _)) = listener.accept().await {
                if let Ok(mut link) = acceptor.accept(link).await {
                    let _ = link.write_all(answer(200, "", "kind: Pod").as_bytes()).await;
                }
            }
        });
        let said = told(&address).await;
        assert!(said.contains("certificate") && !said.contains("kind: Pod"), "{said}");
    }

    #[test]
    fn redirects_lead_on() {
        let at: Uri = "https://a.lan:1/b/c?d".parse().unwrap();
        for (place, expected) in [
            ("https://b.lan/x", "https://b.lan/x"),
            ("//b.lan/x", "https://b.lan/x"),
            ("/x?y", "https://a.lan:1/x?y"),
            ("x", "https://a.lan:1/b/x"),
        ] {
            assert_eq!(joined(&at, place).unwrap().to_string(), expected);
        }
    }
}
