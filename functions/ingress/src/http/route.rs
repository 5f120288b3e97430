//! The routes of all protocols.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use rendezvous_core::{EndpointName, RequestId, names::shown};

use super::{
    problem::{Problem, Protocol},
    v1, v2,
};

/// What a call is for, by method and path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    V1(v1::Route),
    V2(v2::Route),
    /// The description of the interface.
    OpenApi,
}

/// A method, a path whose parts in braces are parameters, and what is there.
type Entry = (&'static str, &'static str, fn(&Parameters<'_>) -> Result<Route, Problem>);

const TABLE: [Entry; 16] = [
    ("GET", "/health", |_| Ok(Route::V1(v1::Route::Health))),
    ("GET", "/openapi.json", |_| Ok(Route::OpenApi)),
    ("GET", "/v1/endpoints", |_| Ok(Route::V1(v1::Route::List))),
    ("GET", "/v1/endpoints/{endpoint}", |p| Ok(Route::V1(v1::Route::Describe(p.endpoint()?)))),
    ("POST", "/v1/endpoints/{endpoint}/requests", |p| Ok(Route::V1(v1::Route::Ask(p.endpoint()?)))),
    ("GET", "/v1/endpoints/{endpoint}/requests/{id}", |p| {
        Ok(Route::V1(v1::Route::Read(p.endpoint()?, p.id()?)))
    }),
    ("PUT", "/v1/endpoints/{endpoint}/requests/{id}/outcome", |p| {
        Ok(Route::V1(v1::Route::Report(p.endpoint()?, p.id()?)))
    }),
    ("GET", "/v2", |_| Ok(Route::V2(v2::Route::Server))),
    ("GET", "/v2/health/live", |_| Ok(Route::V2(v2::Route::Live))),
    ("GET", "/v2/health/ready", |_| Ok(Route::V2(v2::Route::Ready))),
    ("GET", "/v2/models/{endpoint}", |p| Ok(Route::V2(v2::Route::Model(p.endpoint()?)))),
    ("GET", "/v2/models/{endpoint}/ready", |p| Ok(Route::V2(v2::Route::ModelReady(p.endpoint()?)))),
    ("POST", "/v2/models/{endpoint}/infer", |p| Ok(Route::V2(v2::Route::Infer(p.endpoint()?)))),
    ("GET", "/v2/models/{endpoint}/versions/{version}", version),
    ("GET", "/v2/models/{endpoint}/versions/{version}/ready", version),
    ("POST", "/v2/models/{endpoint}/versions/{version}/infer", version),
];

fn version(parameters: &Parameters<'_>) -> Result<Route, Problem> {
    Ok(Route::V2(v2::Route::Version(parameters.endpoint()?)))
}

/// Every route: its method and its path, in which parameters are in braces. HEAD is answered where
/// GET is.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|(method, path, _)| (*method, *path))
}

/// The parameters of a path.
#[derive(Default)]
struct Parameters<'a> {
    endpoint: &'a str,
    id: &'a str,
}

impl Parameters<'_> {
    fn endpoint(&self) -> Result<EndpointName, Problem> {
        let name = self.endpoint;
        let unknown = |_| Problem::not_found(format!("There is no endpoint {}.", shown(name)));
        name.parse().map_err(unknown)
    }

    fn id(&self) -> Result<RequestId, Problem> {
        self.id.parse().map_err(|_| {
            let id = shown(self.id);
            Problem::not_found(format!("{id} is not the id of a request; ids are UUIDs."))
        })
    }
}

impl Route {
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, Problem> {
        let parts = path.trim_matches('/').split('/');
        let parts = parts.map(|part| percent_decode_str(part).decode_utf8());
        let parts: Vec<Cow<'_, str>> = parts
            .collect::<Result<_, _>>()
            .map_err(|_| Problem::malformed("The path is not percent-encoded UTF-8.".to_owned()))?;
        for (expected, pattern, route) in &TABLE {
            if let Some(parameters) = matches(pattern, &parts) {
                allowed(method, expected)?;
                return route(&parameters);
            }
        }
        let requests = match Protocol::of(path) {
            Protocol::V1 => "/v1/endpoints/{endpoint}/requests",
            Protocol::V2 => "/v2/models/{endpoint}/infer",
        };
        let detail = format!("There is nothing at this path. Requests go to POST {requests}.");
        Err(Problem::not_found(detail))
    }
}

/// The parameters of a path that has this pattern.
fn matches<'a>(pattern: &str, parts: &'a [Cow<'_, str>]) -> Option<Parameters<'a>> {
    let mut expected = pattern.trim_start_matches('/').split('/');
    let mut parameters = Parameters::default();
    for part in parts {
        match expected.next()? {
            "{endpoint}" => parameters.endpoint = part,
            "{id}" => parameters.id = part,
            "{version}" => {}
            name if name == part => {}
            _ => return None,
        }
    }
    expected.next().is_none().then_some(parameters)
}

/// A route that reads is answered to GET, and to HEAD as RFC 9110 asks for.
fn allowed(method: &Method, expected: &'static str) -> Result<(), Problem> {
    let reads = expected == "GET";
    if method.as_str() == expected || (reads && *method == Method::HEAD) {
        return Ok(());
    }
    Err(Problem::method(method, expected, if reads { "GET, HEAD" } else { expected }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_percent_decoded() {
        let route = |path| Route::of(&Method::POST, path).unwrap();
        let asked = || Route::V1(v1::Route::Ask("flight-delay".parse().unwrap()));
        assert_eq!(route("/v1/endpoints/flight%2Ddelay/requests"), asked());
        assert_eq!(route("/v1/endpoints/flight-delay/requests/"), asked());
        let infer = Route::V2(v2::Route::Infer("flight-delay".parse().unwrap()));
        assert_eq!(route("/v2/models/flight%2Ddelay/infer"), infer);
        assert!(Route::of(&Method::GET, "/v1/endpoints/%ff").is_err());
    }

    #[test]
    fn head_goes_where_get_goes() {
        for (method, path) in routes() {
            let path = path.replace("{endpoint}", "e");
            let path = path.replace("{id}", "0199d3a0-0000-7000-8000-000000000000");
            let route = |method| Route::of(&method, &path);
            match method {
                "GET" => assert_eq!(route(Method::HEAD).unwrap(), route(Method::GET).unwrap()),
                _ => assert!(route(Method::HEAD).is_err(), "{path}"),
            }
        }
    }
}
