//! Many watches over TLS, which rest between what they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use kedge_apiserver::Identity;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::sockets::{Served, serve};
use crate::support::{CONFIG_MAPS, config_map, server};

/// Enough that they rest.
const WATCHES: usize = 90;
/// Clients that write at once.
const WRITERS: usize = 4;
/// What each of them makes, changes and, every other one, deletes.
const EACH: usize = 40;

/// A watch over a connection of its own.
struct Watch {
    stream: TlsStream<TcpStream>,
    /// What has come of the current chunks.
    raw: Vec<u8>,
    /// What has come of the current lines.
    text: Vec<u8>,
}

impl Watch {
    async fn open(served: &Served, query: &str) -> Watch {
        let mut stream = served.connect(None, &[]).await;
        let head = format!(
            "GET {CONFIG_MAPS}?watch=true&resourceVersion=1{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut raw = Vec::new();
        let end = loop {
            assert!(stream.read_buf(&mut raw).await.unwrap() > 0);
            if let Some(at) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        assert!(raw.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&raw));
        raw.drain(..end);
        Watch { stream, raw, text: Vec::new() }
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            match self.chunk() {
                Some(chunk) => self.text.extend(chunk),
                None => {
                    let more = self.stream.read_buf(&mut self.raw);
                    let more = tokio::time::timeout(Duration::from_secs(30), more).await.expect("more comes").unwrap();
                    assert!(more > 0, "the watch goes on");
                }
            }
        }
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.raw.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..line]).unwrap(), 16).unwrap();
        let whole = line + 2 + size + 2;
        (self.raw.len() >= whole).then(|| self.raw.drain(..whole).skip(line + 2).take(size).collect())
    }

    /// What was told of each object, until one is called `end`; revisions only rise.
    async fn all(mut self) -> BTreeMap<String, Vec<String>> {
        let (mut told, mut newest) = (BTreeMap::<String, Vec<String>>::new(), 0);
        loop {
            let event = self.next().await;
            let meta = &event["object"]["metadata"];
            let revision: u64 = meta["resourceVersion"].as_str().unwrap().parse().unwrap();
            assert!(revision > newest, "{revision} after {newest}");
            newest = revision;
            match meta["name"].as_str().unwrap() {
                "end" => return told,
                name => told.entry(name.to_owned()).or_default().push(event["type"].as_str().unwrap().to_owned()),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_told_in_another_order() {
    let served = serve(server().await).await;
    served.server.api.add_static_token("secret", Identity::master("token"));
    // Three audiences, each of which is told the same bytes.
    let queries = ["", "&fieldSelector=metadata.name!=kube-root-ca.crt", "&labelSelector=odd"];
    let mut watches = tokio::task::JoinSet::new();
    for at in 0..WATCHES {
        let which = at % queries.len();
        let watch = Watch::open(&served, queries[which]).await;
        watches.spawn(async move { (which, watch.all().await) });
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let admin = served.server.admin.clone();
        writers.spawn(async move {
            for at in 0..EACH {
                let name = format!("m{writer}-{at}");
                let mut map = config_map(&name);
                if at % 2 == 1 {
                    map["metadata"]["labels"] = json!({"odd": ""});
                }
                let path = format!("{CONFIG_MAPS}/{name}");
                admin.post(CONFIG_MAPS, map).await.ok();
                admin.patch("merge", &path, json!({"data": {"k": "w"}})).await.ok();
                if at % 4 < 2 {
                    admin.delete(&path, Value::Null).await.ok();
                }
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let mut end = config_map("end");
    end["metadata"]["labels"] = json!({"odd": ""});
    served.server.admin.post(CONFIG_MAPS, end).await.ok();
    while let Some(watch) = watches.join_next().await {
        let (which, told) = watch.unwrap();
        let odd_only = queries[which].contains("odd");
        let names = told.iter().filter(|(name, _)| name.starts_with('m'));
        assert_eq!(names.clone().count(), WRITERS * EACH / if odd_only { 2 } else { 1 }, "{}", queries[which]);
        for (name, events) in names {
            let at: usize = name.split('-').nth(1).unwrap().parse().unwrap();
            let expected = ["ADDED", "MODIFIED", "DELETED"];
            assert_eq!(*events, expected[..if at % 4 < 2 { 3 } else { 2 }], "{name} {}", queries[which]);
        }
    }
    served.end().await;
}
