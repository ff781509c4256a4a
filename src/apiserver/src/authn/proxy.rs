//! Front proxies: whoever shows a certificate of the proxies' authority says for whom they ask.
//!
//! In: headers of a request on such a connection. Out: whom it names. Never looked at on other
//! connections, so nobody can say who they are by headers alone.

use http::HeaderMap;

use crate::identity::Identity;
use crate::request::percent_decode;

const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA: &str = "x-remote-extra-";

/// Whom the proxy names; `None` if it names nobody.
pub fn named(headers: &HeaderMap) -> Option<Identity> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").trim().to_owned();
    let user = text(USER);
    if user.is_empty() {
        return None;
    }
    let groups = headers.get_all(GROUP).iter().filter_map(|v| v.to_str().ok());
    let mut identity = Identity { uid: text(UID), ..Identity::user(user, groups) };
    for (name, value) in headers {
        let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) else { continue };
        identity.extra.entry(percent_decode(key).to_lowercase()).or_default().push(value.to_owned());
    }
    Some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_user_groups_and_extras() {
        let mut headers = HeaderMap::new();
        assert_eq!(named(&headers), None);
        headers.insert(USER, "jane".parse().unwrap());
        headers.append(GROUP, "a".parse().unwrap());
        headers.append(GROUP, "b".parse().unwrap());
        headers.append("x-remote-extra-acme.com%2fproject", "one".parse().unwrap());
        let who = named(&headers).unwrap();
        assert_eq!((who.name.as_str(), who.groups.join(" ").as_str()), ("jane", "a b system:authenticated"));
        assert_eq!(who.extra["acme.com/project"], ["one"]);
    }
}
