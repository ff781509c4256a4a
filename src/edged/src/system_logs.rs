//! `/logs/`: the machine's log files, as a kubelet shows them.
//!
//! In: a request that the API server has authorized, and the folder, if it is shown at all. Out: a file as it is now, or
//! the names in a folder as links. Never a file outside the folder (`kedge_node::system_logs`), never a query of a
//! journal.

use std::path::PathBuf;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header};
use kedge_api::status::{Reason, Status};
use kedge_apiserver::percent_decode;
use kedge_node::system_logs::{SystemLog, open};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::device::text;

/// Answers.
pub async fn answer(root: Option<PathBuf>, request: &Request<Bytes>) -> Result<Response<Body>, Status> {
    let Some(root) = root else { return Ok(not_allowed("logs endpoint is disabled.")) };
    if request.method() != Method::GET {
        return Ok(not_allowed("logs are only read"));
    }
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(Status::bad_request("log queries are not supported: name a file"));
    }
    let path = request.uri().path().trim_start_matches('/').trim_start_matches("logs");
    let path = percent_decode(path);
    let shown = path.clone();
    let found = tokio::task::spawn_blocking(move || open(&root, &path)).await;
    let found = found.map_err(|e| Status::internal(e.to_string()))?;
    match found.map_err(|e| Status::new(404, Reason::NotFound, format!("the log {shown:?} cannot be read: {e}")))? {
        SystemLog::File(file, size) => {
            // What is written meanwhile is for the next reader: the answer ends.
            let content = ReaderStream::new(tokio::fs::File::from_std(file).take(size));
            let mut answer = text(String::new());
            *answer.body_mut() = Body::from_stream(content.boxed());
            Ok(answer)
        }
        SystemLog::Folder(names) => {
            let rows = names.iter().map(|name| {
                let name = name.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&#34;");
                format!("<a href=\"{name}\">{name}</a>\n")
            });
            let mut answer = text(format!("<pre>\n{}</pre>\n", rows.collect::<String>()));
            let html = header::HeaderValue::from_static("text/html; charset=utf-8");
            answer.headers_mut().insert(header::CONTENT_TYPE, html);
            Ok(answer)
        }
    }
}

fn not_allowed(words: &str) -> Response<Body> {
    let mut answer = text(format!("{words}\n"));
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(root: Option<&std::path::Path>, method: Method, uri: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(uri).body(Bytes::new()).unwrap();
        match answer(root.map(Into::into), &request).await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
                (head.status.as_u16(), String::from_utf8_lossy(&bytes).into_owned())
            }
            Err(status) => (status.code, status.message),
        }
    }

    #[tokio::test]
    async fn logs_are_shown_where_that_is_wanted_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("log")).unwrap();
        std::fs::write(folder.path().join("secret"), "no").unwrap();
        std::fs::write(folder.path().join("log/sys log"), "line\n").unwrap();
        std::fs::write(folder.path().join("log/<b>"), "").unwrap();
        let log = folder.path().join("log");
        let root = Some(log.as_path());
        let list = "<pre>\n<a href=\"&lt;b>\">&lt;b></a>\n<a href=\"sys log\">sys log</a>\n</pre>\n";
        assert_eq!(ask(root, Method::GET, "/logs/").await, (200, list.to_owned()));
        assert_eq!(ask(root, Method::GET, "/logs/sys%20log").await, (200, "line\n".to_owned()));
        for (method, uri, code) in [
            (Method::GET, "/logs/none", 404),
            (Method::GET, "/logs/../secret", 404),
            (Method::GET, "/logs/%2e%2e/secret", 404),
            (Method::GET, "/logs/..%2fsecret", 404),
            (Method::GET, "/logs/sys%00log", 404),
            (Method::GET, "/logs/?query=kubelet", 400),
            (Method::POST, "/logs/", 405),
        ] {
            assert_eq!(ask(root, method, uri).await.0, code, "{uri}");
        }
        assert_eq!(ask(None, Method::GET, "/logs/").await, (405, "logs endpoint is disabled.\n".to_owned()));
    }
}
