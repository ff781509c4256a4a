//! Probes of containers in one line.
//!
//! In: a probe. Out: text. Never probes anything.

use serde_json::Value;

use super::values::{bracketed, number, words};

/// How a container is asked, and how often.
pub fn probe(probe: &Value) -> String {
    let is = |kind: &str| probe.get(kind).filter(|how| !how.is_null());
    let how = if let Some(exec) = is("exec") {
        format!("exec {}", bracketed(&exec["command"]))
    } else if let Some(http) = is("httpGet") {
        format!("http-get {}", address(http))
    } else if let Some(tcp) = is("tcpSocket") {
        format!("tcp-socket {}:{}", words(&tcp["host"]), port(&tcp["port"]))
    } else if let Some(grpc) = is("grpc") {
        format!("grpc <pod>:{} {}", number(&grpc["port"]), words(&grpc["service"]))
    } else {
        "unknown".to_owned()
    };
    let n = |field: &str| number(&probe[field]);
    format!(
        "{how} delay={}s timeout={}s period={}s #success={} #failure={}",
        n("initialDelaySeconds"),
        n("timeoutSeconds"),
        n("periodSeconds"),
        n("successThreshold"),
        n("failureThreshold")
    )
}

/// `http://:8080/healthz`, whose path is written as in a URL.
fn address(http: &Value) -> String {
    let (scheme, host, path) = (words(&http["scheme"]).to_lowercase(), words(&http["host"]), words(&http["path"]));
    let scheme = if scheme.is_empty() { scheme } else { scheme + ":" };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    let mut shown = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => shown.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => {
                shown.push(char::from(byte));
            }
            byte => shown += &format!("%{byte:02X}"),
        }
    }
    format!("{scheme}//{host}:{}{slash}{shown}", port(&http["port"]))
}

/// A port's number or name.
fn port(value: &Value) -> String {
    if value.is_null() { "0".to_owned() } else { words(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn probes_say_how_they_ask() {
        for (given, expected) in [
            (json!({"exec": {"command": ["cat", "/x"]}}), "exec [cat /x]"),
            (json!({"httpGet": {"path": "/a b?c", "port": 80, "scheme": "HTTPS"}}), "http-get https://:80/a%20b%3Fc"),
            (
                json!({"httpGet": {"path": "x", "port": "web", "scheme": "HTTP", "host": "::1"}}),
                "http-get http://[::1]:web/x",
            ),
            (json!({"tcpSocket": {"port": 1}}), "tcp-socket :1"),
            (json!({"grpc": {"port": 9, "service": ""}}), "grpc <pod>:9 "),
            (json!({}), "unknown"),
        ] {
            assert_eq!(probe(&given), format!("{expected} delay=0s timeout=0s period=0s #success=0 #failure=0"));
        }
    }
}
