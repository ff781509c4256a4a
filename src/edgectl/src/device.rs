//! `image` and `plugin`: what is particular to a device, through its node's proxy.
//!
//! In: archives, node names. Out: tables. Archives are streamed, never held.

use std::process::ExitCode;

use http::Method;
use kedge_client::{ClientError, ResourcePath};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::args::{Image, ImageWhat, Plugin, PluginWhat};
use crate::error::Failure;
use crate::output::{self, columns};
use crate::session::Session;

/// Bytes of an archive in one request: within the 3 MiB that the API takes.
const PIECE: usize = 2 << 20;
/// Tries of one piece over a link that breaks.
const RETRIES: usize = 3;
const BYTES: &str = "application/octet-stream";

/// Runs `image`.
pub async fn images(session: Session, args: Image) -> Result<ExitCode, Failure> {
    match args.what {
        ImageWhat::Load { archive, node, pin } => {
            let loaded = upload(&session, &archive, &proxy(&session.node(node).await?), pin).await?;
            for image in loaded["images"].as_array().into_iter().flatten() {
                let tags = image["tags"].as_array().cloned().unwrap_or_default();
                for tag in &tags {
                    println!("Loaded image: {}", tag.as_str().unwrap_or(""));
                }
                if tags.is_empty() {
                    println!("Loaded image: {}", image["id"].as_str().unwrap_or(""));
                }
            }
        }
        ImageWhat::List { node, output } => {
            let list = fetch(&session, &session.node(node).await?, "images").await?;
            if print_json(&list, output.as_deref())? {
                return Ok(ExitCode::SUCCESS);
            }
            let mut rows = vec![["IMAGE", "IMAGE ID", "SIZE", "PINNED"].map(str::to_owned).to_vec()];
            for image in list["images"].as_array().into_iter().flatten() {
                let id = image["id"].as_str().unwrap_or("").trim_start_matches("sha256:");
                let size = mebibytes(image["size"].as_u64().unwrap_or(0));
                let tags: Vec<&str> =
                    image["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                for tag in if tags.is_empty() { vec!["<none>"] } else { tags } {
                    let short = id.get(..12).unwrap_or(id).to_owned();
                    rows.push(vec![tag.to_owned(), short, size.clone(), image["pinned"].to_string()]);
                }
            }
            print!("{}", columns(&rows));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `plugin`.
pub async fn plugins(session: Session, args: Plugin) -> Result<ExitCode, Failure> {
    let PluginWhat::List { node, output } = args.what;
    let list = fetch(&session, &session.node(node).await?, "plugins").await?;
    if print_json(&list, output.as_deref())? {
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["NAME", "KIND", "OFFERS", "CALLS", "TRAPS", "MEMORY", "STATE"].map(str::to_owned).to_vec()];
    for plugin in list["plugins"].as_array().into_iter().flatten() {
        let text = |field: &str| plugin[field].as_str().unwrap_or("").to_owned();
        let offers: Vec<&str> = plugin["offers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        rows.push(vec![
            text("name"),
            text("kind"),
            offers.len().to_string(),
            plugin["calls"].to_string(),
            plugin["traps"].to_string(),
            mebibytes(plugin["peakMemory"].as_u64().unwrap_or(0)),
            text("state"),
        ]);
    }
    print!("{}", columns(&rows));
    Ok(ExitCode::SUCCESS)
}

/// The node agent's own interface, behind the API server's authorization (`nodes/proxy`).
fn proxy(node: &str) -> String {
    format!("{}/kedge/v1", ResourcePath::core("nodes").name(node).subresource("proxy"))
}

async fn fetch(session: &Session, node: &str, what: &str) -> Result<Value, Failure> {
    json(session, Method::GET, &format!("{}/{what}", proxy(node)), Vec::new()).await
}

/// Sends the archive piece by piece, so that neither side holds it and a lost piece is sent again alone.
async fn upload(session: &Session, archive: &str, proxy: &str, pin: bool) -> Result<Value, Failure> {
    let fail = |source| Failure::Read { path: archive.into(), source };
    let mut reader: Box<dyn AsyncRead + Send + Unpin> = if archive == "-" {
        Box::new(tokio::io::stdin())
    } else {
        let file = tokio::fs::File::open(archive).await.map_err(fail)?;
        if file.metadata().await.map_err(fail)?.is_dir() {
            return Err(Failure::said(format!("{archive} is a folder; give an archive file")));
        }
        Box::new(file)
    };
    let begun = json(session, Method::POST, &format!("{proxy}/uploads"), Vec::new()).await?;
    let id = begun["id"].as_str().ok_or_else(|| Failure::said("the device did not name the upload"))?.to_owned();
    let mut offset = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut reader).take(PIECE as u64).read_to_end(&mut piece).await.map_err(fail)?;
        if piece.is_empty() {
            break;
        }
        let length = piece.len();
        let target = format!("{proxy}/uploads/{id}?offset={offset}");
        let mut tries = 0;
        loop {
            match session.client.call(Method::PUT, &target, Some(BYTES), piece.clone()).await {
                Ok(_) => break,
                Err(ClientError::Unreachable(_)) if tries < RETRIES => tries += 1,
                Err(e) => return Err(e.into()),
            }
        }
        offset += length;
    }
    json(session, Method::POST, &format!("{proxy}/images?upload={id}&pin={pin}"), Vec::new()).await
}

async fn json(session: &Session, method: Method, target: &str, body: Vec<u8>) -> Result<Value, Failure> {
    let answer = session.client.call(method, target, Some(BYTES), body).await?;
    Ok(serde_json::from_slice(&answer).map_err(|source| ClientError::Decode { path: target.to_owned(), source })?)
}

fn print_json(value: &Value, format: Option<&str>) -> Result<bool, Failure> {
    match format {
        None => Ok(false),
        Some("json") => {
            print!("{}", output::json(value));
            Ok(true)
        }
        Some(other) => Err(Failure::said(format!("--output must be 'json', not '{other}'"))),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}MiB", bytes as f64 / f64::from(1 << 20))
}
