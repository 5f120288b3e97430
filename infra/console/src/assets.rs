//! The page: files that are embedded in the binary.

use bytes::Bytes;
use http::{
    HeaderMap, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    },
};

use crate::body::Body;

/// The page may load nothing from elsewhere and cannot be framed. Styles of charts are attributes.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' \
                      data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal: $kind:expr),+ $(,)?) => {
        &[$(($name, $kind, include_bytes!(concat!("../page/", $name)))),+]
    };
}

/// Name, content type and content.
const FILES: &[(&str, &str, &[u8])] = files! {
    "index.html": "text/html; charset=utf-8",
    "console.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "api.js": SCRIPT,
    "change.js": SCRIPT,
    "charts.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "main.js": SCRIPT,
    "state.js": SCRIPT,
    "views/common.js": SCRIPT,
    "views/compare.js": SCRIPT,
    "views/decisions.js": SCRIPT,
    "views/editor.js": SCRIPT,
    "views/endpoint.js": SCRIPT,
    "views/history.js": SCRIPT,
    "views/models.js": SCRIPT,
    "views/overview.js": SCRIPT,
};

/// A file of the page; the page itself under every other path, which its script reads.
pub(crate) fn file(path: &str, headers: &HeaderMap) -> Response<Body> {
    let name = path.trim_start_matches('/');
    let is_file = |(of, ..): &&(&str, &str, &[u8])| *of == name;
    let found = FILES.iter().find(is_file).or_else(|| FILES.iter().find(|_| !name.contains('.')));
    let mut response = Response::new(Body::from(Bytes::new()));
    let Some((_, kind, content)) = found else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let tag = tag(content);
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Bytes::from_static(content).into();
    }
    let set = response.headers_mut();
    set.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    set.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    set.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = tag.parse() {
        set.insert(ETAG, tag);
    }
    response
}

/// FNV-1a: another content has another tag.
fn tag(content: &[u8]) -> String {
    let hash = content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_names_no_other_host() {
        let all: usize = FILES.iter().map(|(_, _, content)| content.len()).sum();
        assert!(all < 300_000, "{all} bytes");
        for (name, _, content) in FILES {
            let text = String::from_utf8_lossy(content);
            let urls = text.match_indices("://").filter(|(at, _)| {
                !text[..*at].ends_with("http") || !text[*at..].starts_with("://www.w3.org/")
            });
            assert_eq!(urls.count(), 0, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again_and_every_view_is_the_page() {
        let page = file("/endpoints/e", &HeaderMap::new());
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, page.headers()[ETAG].clone())]);
        assert_eq!(file("/", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(file("/main.js", &headers).status(), StatusCode::OK);
        assert_eq!(file("/other.js", &headers).status(), StatusCode::NOT_FOUND);
    }
}
