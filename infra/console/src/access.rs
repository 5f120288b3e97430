//! Who may call.

use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HOST, ORIGIN},
};

use crate::refusal::Refusal;

/// What browsers say of where a call comes from (Fetch Metadata).
const FETCH_SITE: &str = "sec-fetch-site";

/// Refuses what a page of another site can make a browser send here: by another name of this machine (DNS
/// rebinding), or from another origin.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !["localhost", "127.0.0.1", "[::1]"].contains(&name) {
        let detail = "the console answers requests to localhost and 127.0.0.1 only";
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    let is_same = |origin: &str| origin.strip_prefix("http://") == Some(host);
    let foreign = text(ORIGIN).is_some_and(|origin| !is_same(origin));
    let site = headers.get(FETCH_SITE).map(|value| value.to_str().unwrap_or("?"));
    if foreign || site.is_some_and(|site| !["same-origin", "none"].contains(&site)) {
        let detail = "the console answers its own page only, not pages of other origins";
        return Err(Refusal::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// Refuses a call without the token: `Authorization: Bearer TOKEN`.
pub(crate) fn check_token(headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|given| given.strip_prefix("Bearer ")).unwrap_or_default();
    if is_equal(given.as_bytes(), token.as_bytes()) {
        return Ok(());
    }
    let detail = "this needs the token: open the URL that was printed when the console started";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, detail))
}

/// Compares all bytes, so that the time it takes does not tell how many are right.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn foreign_hosts_origins_and_sites_are_refused() {
        let own = ("host", "127.0.0.1:8080");
        for allowed in [
            vec![own],
            vec![("host", "localhost")],
            vec![own, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")],
            vec![own, ("sec-fetch-site", "none")],
        ] {
            assert!(check_origin(&headers(&allowed)).is_ok(), "{allowed:?}");
        }
        for refused in [
            vec![],
            vec![("host", "evil.example:8080")],
            vec![own, ("origin", "http://evil.example")],
            vec![own, ("origin", "http://127.0.0.1:9090")],
            vec![own, ("origin", "null")],
            vec![own, ("sec-fetch-site", "cross-site")],
            vec![own, ("sec-fetch-site", "same-site")],
        ] {
            assert!(check_origin(&headers(&refused)).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn only_the_whole_token_is_accepted() {
        let with = |value| check_token(&headers(&[("authorization", value)]), "abc").is_ok();
        assert!(with("Bearer abc"));
        for wrong in ["Bearer ab", "Bearer abd", "Bearer abcd", "Bearer ", "abc", "Basic abc"] {
            assert!(!with(wrong), "{wrong}");
        }
        assert!(check_token(&HeaderMap::new(), "abc").is_err());
    }
}
