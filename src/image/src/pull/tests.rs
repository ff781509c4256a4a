//! Pulls from a registry that answers as told: well, wrongly, slowly, or not at all.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::build::{Layer, OciImage, Recipe};
use crate::images::Options;
use crate::registry::config::Patience;
use crate::registry::http::causes;

/// What the registry does with a request.
enum Answer {
    Reply(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Claims this length and closes after the bytes.
    Cut(usize, Vec<u8>),
    /// Sends nothing and keeps the connection.
    Silence,
    /// Sends the same piece for ever.
    Endless,
}

#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: BTreeMap<String, String>,
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A registry on a free port, and what it was asked.
struct Fake {
    host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    fn start(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, handler): (_, Arc<Handler>) = (asked.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, handler) = (log.clone(), handler.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &log, &*handler));
            }
        });
        Self { host, asked }
    }

    fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|a| a.path.clone()).collect()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Asked>>, handler: &Handler) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap_or("").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let asked = Asked { path, headers };
    log.lock().unwrap().push(asked.clone());
    let mut stream = stream;
    let head = |status: u16, length: usize, headers: &[(&str, String)]| {
        let extra: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{extra}\r\n").into_bytes()
    };
    // Whoever asked may be gone already.
    let _ = match handler(&asked) {
        Answer::Reply(status, headers, body) => stream.write_all(&[head(status, body.len(), &headers), body].concat()),
        Answer::Cut(length, body) => stream.write_all(&[head(200, length, &[]), body].concat()),
        Answer::Silence => {
            // Ends when the other side has had enough.
            let _ = reader.read_line(&mut String::new());
            Ok(())
        }
        Answer::Endless => {
            let mut result = stream.write_all(&head(200, usize::MAX >> 1, &[]));
            while result.is_ok() {
                result = stream.write_all(&[b' '; 65536]);
            }
            Ok(())
        }
    };
}

fn ok(body: Vec<u8>) -> Answer {
    Answer::Reply(200, Vec::new(), body)
}

fn not_found() -> Answer {
    Answer::Reply(404, Vec::new(), br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.to_vec())
}

/// What a registry holds: paths after `/v2/` and their contents.
#[derive(Clone, Default)]
struct Content(BTreeMap<String, Vec<u8>>);

impl Content {
    fn answer(&self, asked: &Asked) -> Answer {
        let path = asked.path.split('?').next().unwrap();
        match path.strip_prefix("/v2/").and_then(|p| self.0.get(p)) {
            Some(body) => ok(body.clone()),
            None => not_found(),
        }
    }
}

fn recipe() -> Recipe {
    let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let mut recipe = Recipe::new("x", Layer::new().file("f", 0o644, "hello"));
    recipe.layers.push(Layer::new().file("big", 0o644, noise));
    recipe.config.cmd = vec!["/f".into()];
    recipe
}

/// The image under the tag `v1` of the repository `a/b`. Returns the manifest's digest and the layers'.
fn content(recipe: &Recipe) -> (Content, Digest, Vec<Digest>) {
    let image = OciImage::new(recipe).unwrap();
    let mut content = Content::default();
    let layers: Vec<Digest> = image.layers().cloned().collect();
    for (i, digest) in layers.iter().enumerate() {
        let mut bytes = Vec::new();
        image.write_layer(i, &mut bytes).unwrap();
        content.0.insert(format!("a/b/blobs/{digest}"), bytes);
    }
    content.0.insert(format!("a/b/blobs/{}", Digest::of(&image.config)), image.config.clone());
    let digest = Digest::of(&image.manifest);
    for name in ["v1", digest.as_str()] {
        content.0.insert(format!("a/b/manifests/{name}"), image.manifest.clone());
    }
    (content, digest, layers)
}

struct Bench {
    images: Images,
    _folder: tempfile::TempDir,
}

fn bench_with(change: impl FnOnce(&mut Options)) -> Option<Bench> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: unpacking layers needs root");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path().join("store"));
    change(&mut options);
    Some(Bench { images: Images::open(options).unwrap(), _folder: folder })
}

fn bench() -> Option<Bench> {
    bench_with(|_| {})
}

impl Bench {
    async fn pull(&self, reference: &str) -> Result<ImageInfo, String> {
        self.images.pull(reference, &Keys::default(), |_| {}).await.map_err(|e| causes(&e))
    }
}

/// Pulls from a registry that answers like this and expects a refusal with these words; no image is left.
#[track_caller]
fn refused(expected: &str, handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
    refused_by(bench(), expected, handler);
}

/// The same for a registry that falls silent: nobody waits long for it.
#[track_caller]
fn given_up(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
    let short = Duration::from_millis(300);
    let hasty = bench_with(|o| o.registries.patience = Patience { answer: short, stall: short, ..Patience::default() });
    refused_by(hasty, "did not answer within 0.3 seconds", handler);
}

#[track_caller]
fn refused_by(bench: Option<Bench>, expected: &str, handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
    let Some(bench) = bench else { return };
    let fake = Fake::start(handler);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let error = bench.pull(&format!("{}/a/b:v1", fake.host)).await.unwrap_err();
        assert!(error.contains(expected), "{error:?} should contain {expected:?}");
        assert!(bench.images.list().await.is_empty());
    });
}

#[tokio::test]
async fn an_image_is_pulled_by_tag_and_by_digest_and_once() {
    let Some(bench) = bench() else { return };
    for gzip in [false, true] {
        let (content, digest, layers) = content(&Recipe { gzip, ..recipe() });
        let fake = Fake::start(move |asked| content.answer(asked));
        let last = Mutex::new(None);
        let name = format!("{}/a/b", fake.host);
        let image = bench
            .images
            .pull(&format!("{name}:v1"), &Keys::default(), |p| *last.lock().unwrap() = Some(p))
            .await
            .unwrap();
        let last = last.into_inner().unwrap().unwrap();
        assert_eq!(last.done, last.total);
        assert!(image.tags.contains(&format!("{name}:v1")) && image.digests.contains(&format!("{name}@{digest}")));
        assert_eq!(std::fs::read(image.layers[1].join("f")).unwrap(), b"hello");
        let before = fake.paths().len();
        let again = bench.pull(&format!("{name}@{digest}")).await.unwrap();
        assert_eq!(again.id, image.id);
        assert_eq!(fake.paths().len() - before, 2, "manifest and configuration, no layer");
        assert!(bench.images.present(&format!("{name}@{digest}")).await.is_some());
        assert_eq!(fake.paths().iter().filter(|p| p.contains(layers[0].as_str())).count(), usize::from(!gzip));
        assert_eq!(std::fs::read_dir(bench.images.store.partial()).unwrap().count(), 0);
    }
    assert_eq!(bench.images.list().await.len(), 1);
}

#[tokio::test]
async fn an_index_leads_to_the_manifest_for_this_machine() {
    let Some(bench) = bench() else { return };
    let (mut content, digest, _) = content(&recipe());
    let here = crate::manifest::Platform::here();
    let other = Digest::of(b"other");
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [
        {"digest": other, "size": 1, "platform": {"os": "linux", "architecture": "other"}},
        {"digest": digest, "size": 1, "platform": here},
    ]});
    content.0.insert("a/b/manifests/v1".into(), index.to_string().into_bytes());
    let fake = Fake::start(move |asked| content.answer(asked));
    let image = bench.pull(&format!("{}/a/b:v1", fake.host)).await.unwrap();
    let top = Digest::of(index.to_string().as_bytes());
    for digest in [top, digest] {
        assert!(image.digests.contains(&format!("{}/a/b@{digest}", fake.host)));
    }
}

#[tokio::test]
async fn a_token_is_fetched_with_the_credentials_that_fit() {
    let Some(bench) = bench() else { return };
    let (content, ..) = content(&recipe());
    let own = Arc::new(Mutex::new(String::new()));
    let host = own.clone();
    let fake = Fake::start(move |asked| {
        let host = host.lock().unwrap().clone();
        let sent = asked.headers.get("authorization").map(String::as_str);
        if asked.path.starts_with("/token?") {
            let good = sent == Some("Basic bWU6c2VjcmV0")
                && asked.path == "/token?service=s%20x&scope=repository%3Aa%2Fb%3Apull";
            return if good {
                ok(br#"{"token":"T","expires_in":300}"#.to_vec())
            } else {
                Answer::Reply(401, Vec::new(), Vec::new())
            };
        }
        if sent == Some("Bearer T") {
            return content.answer(asked);
        }
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s x\",scope=\"repository:a/b:pull\"");
        Answer::Reply(401, vec![("www-authenticate", challenge)], Vec::new())
    });
    own.lock().unwrap().clone_from(&fake.host);
    let name = format!("{}/a/b:v1", fake.host);
    let keys = |user: &str| {
        let mut keys = Keys::default();
        let auths = serde_json::json!({"auths": {
            &fake.host: {"username": user, "password": "secret"},
            "other.example": {"username": "me", "password": "secret"},
        }});
        keys.add_docker_config(auths.to_string().as_bytes()).unwrap();
        keys
    };
    let denied = bench.pull(&name).await.unwrap_err();
    assert!(denied.contains("refused access"), "{denied}");
    assert!(bench.images.pull(&name, &keys("you"), |_| {}).await.is_err());
    let pulled = bench.images.pull_and_tell(&name, &keys("me"), |_| {}).await.unwrap();
    let me = Credential::Basic { user: "me".into(), password: "secret".into() };
    assert_eq!(pulled.proof, Some(me), "what opened the registry is told");
}

#[tokio::test]
async fn blobs_may_come_from_another_host_which_learns_no_secret() {
    let Some(bench) = bench() else { return };
    let (content, ..) = content(&recipe());
    let elsewhere = content.clone();
    let store = Fake::start(move |asked| elsewhere.answer(asked));
    let host = store.host.clone();
    let fake = Fake::start(move |asked| {
        if asked.headers.get("authorization").map(String::as_str) != Some("Basic bWU6c2VjcmV0") {
            return Answer::Reply(401, vec![("www-authenticate", "Basic realm=\"x\"".into())], Vec::new());
        }
        if asked.path.contains("/blobs/") {
            return Answer::Reply(307, vec![("location", format!("http://{host}{}", asked.path))], Vec::new());
        }
        content.answer(asked)
    });
    let mut keys = Keys::default();
    let auths = serde_json::json!({"auths": {&fake.host: {"username": "me", "password": "secret"}}});
    keys.add_docker_config(auths.to_string().as_bytes()).unwrap();
    bench.images.pull(&format!("{}/a/b:v1", fake.host), &keys, |_| {}).await.unwrap();
    assert!(store.asked.lock().unwrap().iter().all(|a| !a.headers.contains_key("authorization")));
    assert_eq!(store.paths().len(), 3);
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_stopped() {
    let Some(bench) = bench() else { return };
    let (content, _, layers) = content(&recipe());
    let cuts = Mutex::new(0);
    let big = layers[1].clone();
    let fake = Fake::start(move |asked| {
        let Some(body) =
            content.0.get(asked.path.trim_start_matches("/v2/")).filter(|_| asked.path.contains(big.as_str()))
        else {
            return content.answer(asked);
        };
        let from = asked
            .headers
            .get("range")
            .map_or(0, |r| r.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap());
        let mut cuts = cuts.lock().unwrap();
        *cuts += 1;
        match *cuts {
            // Twice it breaks off: once at the start, once in a part.
            1 => Answer::Cut(body.len(), body[..80_000].to_vec()),
            _ => {
                let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
                Answer::Reply(206, vec![("content-range", range)], body[from..].to_vec())
            }
        }
    });
    bench.pull(&format!("{}/a/b:v1", fake.host)).await.unwrap();
    let ranges: Vec<String> =
        fake.asked.lock().unwrap().iter().filter_map(|a| a.headers.get("range").cloned()).collect();
    assert_eq!(ranges, ["bytes=80000-"]);
}

#[tokio::test]
async fn what_one_pull_brought_the_next_need_not_bring_again() {
    let Some(bench) = bench() else { return };
    let (content, _, layers) = content(&recipe());
    let (down, big) = (Arc::new(std::sync::atomic::AtomicBool::new(true)), layers[1].clone());
    let is_down = down.clone();
    let fake = Fake::start(move |asked| {
        let body = content.0.get(asked.path.trim_start_matches("/v2/")).filter(|_| asked.path.contains(big.as_str()));
        match body {
            Some(body) if is_down.load(Ordering::SeqCst) => {
                if asked.headers.contains_key("range") {
                    Answer::Reply(503, Vec::new(), Vec::new())
                } else {
                    Answer::Cut(body.len(), body[..50_000].to_vec())
                }
            }
            // This one cannot send parts: it starts from 0.
            _ => content.answer(asked),
        }
    });
    let name = format!("{}/a/b:v1", fake.host);
    let error = bench.pull(&name).await.unwrap_err();
    assert!(error.contains("503"), "{error}");
    assert_eq!(std::fs::metadata(bench.images.store.partial().join(layers[1].hex())).unwrap().len(), 50_000);
    down.store(false, Ordering::SeqCst);
    bench.pull(&name).await.unwrap();
}

#[tokio::test]
async fn mirrors_are_asked_first_and_the_registry_when_they_fail() {
    let (content, ..) = content(&recipe());
    let mirror = Fake::start(|_| Answer::Reply(502, Vec::new(), Vec::new()));
    let fake = Fake::start(move |asked| content.answer(asked));
    let (first, registry) = (format!("http://{}", mirror.host), fake.host.clone());
    let Some(bench) = bench_with(move |o| {
        o.registries.mirrors.insert(registry, vec!["http://127.0.0.1:1".into(), first]);
    }) else {
        return;
    };
    bench.pull(&format!("{}/a/b:v1", fake.host)).await.unwrap();
    assert_eq!(mirror.paths(), [format!("/v2/a/b/manifests/v1?ns={}", fake.host.replace(':', "%3A"))]);
}

#[test]
fn bad_answers_are_named() {
    let (good, _, layers) = content(&recipe());
    refused("has no a/b:v1", |_| not_found());
    refused("garbage", |_| Answer::Reply(302, vec![("location", "ftp://x/".into())], Vec::new()));
    refused("more than 5 redirects", |asked| Answer::Reply(307, vec![("location", asked.path.clone())], Vec::new()));
    refused("expected value", |_| ok(b"<html>Please log in</html>".to_vec()));
    refused("schemaVersion", |_| ok(b"{}".to_vec()));
    refused("more than 4194304 bytes", |_| Answer::Endless);
    given_up(|_| Answer::Silence);
    refused("answered 500", |_| Answer::Reply(500, Vec::new(), vec![0xff; 100]));
    refused("answered 429", |_| {
        Answer::Reply(429, vec![("retry-after", "7".into())], br#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#.to_vec())
    });
    refused("which credentials it wants", |_| Answer::Reply(401, Vec::new(), Vec::new()));
    refused("an empty token", |asked| {
        let host = asked.headers["host"].clone();
        if asked.path.starts_with("/token") {
            ok(b"{}".to_vec())
        } else {
            Answer::Reply(401, vec![("www-authenticate", format!("Bearer realm=\"http://{host}/token\""))], Vec::new())
        }
    });
    refused("its digest is", |_| {
        let claimed = Digest::of(b"something").to_string();
        Answer::Reply(200, vec![("docker-content-digest", claimed)], b"else".to_vec())
    });
    // Layers: other bytes, more bytes, fewer bytes, a stall, none.
    let layer = format!("/v2/a/b/blobs/{}", layers[1]);
    type Spoil = fn(Vec<u8>) -> Answer;
    let spoiled: [(&str, Spoil); 4] = [
        ("its digest is", |mut b| {
            b[1000] ^= 1;
            ok(b)
        }),
        ("more than the", |mut b| {
            b.push(0);
            ok(b)
        }),
        ("connection ended after", |b| ok(b[..b.len() - 1].to_vec())),
        ("has no a/b@sha256", |_| not_found()),
    ];
    for (expected, spoil) in spoiled {
        let (good, layer) = (good.clone(), layer.clone());
        refused(expected, move |asked| match good.answer(asked) {
            Answer::Reply(200, _, body) if asked.path == layer => spoil(body),
            answer => answer,
        });
    }
    {
        let (good, layer) = (good.clone(), layer.clone());
        given_up(move |asked| if asked.path == layer { Answer::Silence } else { good.answer(asked) });
    }
    // A manifest that claims sizes of nobody.
    let manifest = String::from_utf8(good.0["a/b/manifests/v1"].clone()).unwrap();
    let size = good.0[&format!("a/b/blobs/{}", layers[1])].len();
    let mut greedy = good.clone();
    greedy.0.insert("a/b/manifests/v1".into(), manifest.replace(&size.to_string(), "9000000000000000000").into_bytes());
    refused("the limit is", move |asked| greedy.answer(asked));
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let Some(bench) = bench() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(bench.pull("127.0.0.1:1/a/b:v1")).unwrap_err();
    assert!(error.contains("127.0.0.1:1: ") && error.contains("refused"), "{error}");
    assert!(runtime.block_on(bench.pull("UPPER/x y")).unwrap_err().contains("couldn't parse image name"));
}

#[test]
fn pulls_may_move_between_threads() {
    fn is_send(_: impl Send) {}
    let Some(bench) = bench() else { return };
    is_send(bench.images.pull("x", &Keys::default(), |_| {}));
}
